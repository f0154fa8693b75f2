"""A disk without room, told as such: libraries fail on it in words of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import polars as pl

from dicomgeom.errors import NO_ROOM, Unreachable

LITTLE_BYTES: Final = 1 << 20
"""A table is written in pieces of about so much: where less is free, room is what was missing."""


@contextmanager
def told_of_a_full_disk(folder: Path) -> Iterator[None]:
    """Say in one line that a catalogue's disk is full, and give back what the unfinished tables took of it.

    Raises
    ------
    Unreachable
        Instead of what the block raised, where there was no room.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        if not _is_of_room(error, folder):
            raise
        for unfinished in folder.glob(".new-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        raise Unreachable(
            f"the disk of {folder} is full; make room and run the same command again, what was read is kept"
        ) from error


def _is_of_room(error: Exception, folder: Path) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in NO_ROOM
    return shutil.disk_usage(folder).free < LITTLE_BYTES
