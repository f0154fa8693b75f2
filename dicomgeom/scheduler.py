"""Knocking at the door of a dask scheduler before a dask client does.

A client that finds nobody waits twice as long once more to be closed, and prints a traceback then.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dicomgeom.errors import WrongUse, first_line


def check_answers(address: str, wait_s: float) -> None:
    """Ask a scheduler what it is.

    Parameters
    ----------
    address
        tcp://HOST:PORT, or another address that dask knows.
    wait_s
        How long an answer is waited for.

    Raises
    ------
    WrongUse
        At once when this is no address; after `wait_s` when nobody answers; when somebody does who is
        no scheduler.
    """
    with ThreadPoolExecutor(1) as elsewhere:  # the caller may be a notebook, whose loop runs already
        try:
            found = elsewhere.submit(lambda: asyncio.run(_kind_of(address, wait_s))).result()
        except ValueError as error:
            raise WrongUse(
                f"no dask scheduler answers at {address}, which is no address of one; give tcp://HOST:PORT"
            ) from error
        except (TypeError, RuntimeError, ImportError) as error:  # certificates or packages are missing
            raise WrongUse(
                f"{address} cannot be spoken to ({first_line(error)}); give tcp://HOST:PORT"
            ) from error
        except OSError as error:
            raise WrongUse(
                f"no dask scheduler answers at {address} within {wait_s:g} s; "
                "start one with: dask scheduler, and give tcp://HOST:PORT"
            ) from error
    if "Scheduler" not in found:
        raise WrongUse(f"a dask {found} answers at {address}; give the address of its scheduler")


async def _kind_of(address: str, wait_s: float) -> str:
    """What a server of dask calls itself: Scheduler, Worker, Nanny."""
    import distributed
    from distributed import comm, core

    dask: Any = distributed  # it ships no types
    speaking: Any = comm
    asking: Any = core
    speaking.parse_address(address, strict=True)
    secrets = dask.Security().get_connection_args("client")
    async with asyncio.timeout(wait_s):
        line = await speaking.connect(address, timeout=wait_s, **secrets)
        try:
            return str((await asking.send_recv(line, op="identity"))["type"])
        finally:
            line.abort()
