"""A core of its own for each process of one thread, where these are just as many as the cores.

The kernel moves processes about: now and then two share a core while another idles, and each move loses what
the core's cache held. With fewer processes than cores there is room, and one that stayed would only meet
another program's.
"""

from __future__ import annotations

import contextlib
import os


def cores_for(workers: int) -> list[int]:
    """The core of each worker; empty where they had better not be bound to any.

    Parameters
    ----------
    workers : int
        Processes of one thread on this machine.
    """
    if not hasattr(os, "sched_getaffinity"):  # only Linux tells, and binds
        return []
    usable = sorted(os.sched_getaffinity(0))
    return usable if workers == len(usable) > 1 else []


def usable_cores() -> int:
    """How many cores this process may use: those it was given, where the system tells, else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_to_core(core: int) -> None:
    """Bind the calling thread, and all that it starts from now on."""
    with contextlib.suppress(OSError):  # nothing but speed depends on it
        os.sched_setaffinity(0, {core})
