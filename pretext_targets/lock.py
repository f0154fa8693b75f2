"""One build at a time in one store."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicomgeom.errors import WrongUse

LOCK = "lock"


@contextmanager
def only_one_build(folder: Path) -> Iterator[None]:
    """Hold the lock of an unfinished store while the block runs.

    The kernel lets go of it when the process ends, however it ends, so a killed build never
    leaves a lock behind.

    Raises
    ------
    WrongUse
        When another process holds it.
    """
    descriptor = _locked(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(folder: Path) -> int:
    while True:
        folder.mkdir(exist_ok=True)
        path = folder / LOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue  # another build just finished and took the folder away
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise WrongUse(
                f"{folder.parent} is being built by another process; wait for it to end"
            ) from error
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)
