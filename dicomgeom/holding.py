"""A file that one process holds at a time, so that two never write into one place."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicomgeom.errors import WrongUse

WITHOUT_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP})
"""What a file system answers that knows no locks: Lustre mounted without `flock`, some network drives."""


@contextmanager
def held(path: Path, *, needed: bool = True) -> Iterator[bool]:
    """Hold a lock while the block runs; False when another process has it.

    The kernel lets go of it when the process ends, however it ends. The file is taken away with the lock; one
    that a killed process left says nothing. The block may take the file's folder away.

    Parameters
    ----------
    path
        The file. Its folder is made where it is missing, the folder above is there.
    needed
        Whether to refuse a file system without locks. Else the block runs as if the lock were held.

    Raises
    ------
    WrongUse
        The file system knows no locks, and one is needed.
    """
    descriptor = _taken(path, needed=needed)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        if _is_at(path, descriptor):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _taken(path: Path, *, needed: bool) -> int | None:
    """The locked file; None when another process has it."""
    while True:
        path.parent.mkdir(exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue  # whoever had it just took the folder away
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            if error.errno in WITHOUT_LOCKS and not needed:
                return descriptor
            os.close(descriptor)
            if error.errno in WITHOUT_LOCKS:
                raise WrongUse(
                    f"{path.parent} lies on a file system that knows no locks ({error.strerror}); "
                    "choose a folder on another one, or mount it with flock"
                ) from error
            raise
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)  # whoever had it just took the file away


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one of this name; a later holder's file is not ours."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
