"""Tables that grow piece by piece, on disk as soon as they are large.

A million images take most of a gigabyte as a table in memory; here only the piece in hand does.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import polars as pl

Table = pl.DataFrame | pl.LazyFrame

IN_MEMORY_ROWS: Final = 100_000
"""Smaller tables stay in memory."""

PREFIX: Final = ".spool-"


class Spool:
    """One table in pieces.

    Parameters
    ----------
    folder
        Where the pieces are put; see `spools_in`.
    name
        Of the table.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._pieces: dict[int, Table] = {}
        self._rows = 0

    def add(self, number: int, piece: pl.DataFrame) -> None:
        """Add a piece; numbers say in which order the pieces stand, not in which they come."""
        self._pieces[number] = piece
        self._rows += len(piece)
        if self._rows > IN_MEMORY_ROWS:
            for place, held in self._pieces.items():
                if isinstance(held, pl.DataFrame):
                    self._pieces[place] = self._written(place, held)

    def _written(self, number: int, piece: pl.DataFrame) -> pl.LazyFrame:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{self._name}-{number}.parquet"
        piece.write_parquet(path, compression="lz4")
        return pl.scan_parquet(path)

    def table(self, schema: pl.Schema) -> Table:
        """All pieces in their order: lazy when some lie on disk."""
        pieces = [self._pieces[number] for number in sorted(self._pieces)]
        if all(isinstance(piece, pl.DataFrame) for piece in pieces):
            return pl.concat(
                [pl.DataFrame(schema=schema), *(p for p in pieces if isinstance(p, pl.DataFrame))]
            )
        return pl.concat([piece.lazy() for piece in pieces])


@contextmanager
def spools_in(folder: Path) -> Iterator[Path]:
    """Give a private folder for spools; it and those that a killed run left behind are removed."""
    for abandoned in folder.glob(f"{PREFIX}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    mine = folder / f"{PREFIX}{uuid.uuid4().hex}"
    try:
        yield mine
    finally:
        shutil.rmtree(mine, ignore_errors=True)
