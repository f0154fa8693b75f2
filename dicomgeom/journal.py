"""What a scan has read so far, so that a killed one does not read it again.

A folder in the catalogue with one folder for some seconds of reading each. It gets its name,
the hash of its content, when it is complete; one that is not what its name says is ignored.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from pathlib import Path
from typing import Final

import polars as pl

from dicomgeom.batches import Rows, widened
from dicomgeom.catalogue import FILES, HEADER, schema_of

FOLDER: Final = ".journal"
_FILES: Final = "files.parquet"
_HEADERS: Final = "headers.parquet"


class Journal:
    """The journal of a catalogue.

    Parameters
    ----------
    catalogue
        Folder of the catalogue; only one process may write there (see `index`).
    made_by
        What wrote it: rows of another program are not believed.
    """

    def __init__(self, catalogue: Path, made_by: str) -> None:
        self._folder = catalogue / FOLDER / made_by

    def write(self, rows: Rows) -> None:
        """Keep some rows for good."""
        mark = uuid.uuid4().hex
        fresh = self._folder / f".new-{mark}"
        fresh.mkdir(mode=0o700, parents=True)
        rows.files.write_parquet(fresh / _FILES, compression="lz4")
        widened(rows.headers).write_parquet(fresh / _HEADERS, compression="lz4")
        fresh.rename(self._folder / f"{_digest(fresh)}-{mark}")

    def read(self) -> Rows:
        """All rows that were kept, the later of two for one file; what is damaged is left out."""
        parts = []
        written = [p for p in self._folder.glob("[!.]*") if p.is_dir()] if self._folder.is_dir() else []
        for part in sorted(written, key=lambda p: p.stat().st_mtime_ns):
            rows = _read(part)
            if rows is not None:
                parts.append(rows)
        rows = Rows.joined(parts)
        if rows.files.select(pl.struct("root", "path").is_duplicated().any()).item():
            return _latest(parts)
        return rows

    def clear(self) -> None:
        """Forget everything: the catalogue holds it now."""
        shutil.rmtree(self._folder.parent, ignore_errors=True)


def _read(part: Path) -> Rows | None:
    try:
        if _digest(part) != part.name.partition("-")[0]:
            return None
        rows = Rows(pl.read_parquet(part / _FILES), pl.read_parquet(part / _HEADERS))
    except (OSError, pl.exceptions.PolarsError):
        return None
    sound = rows.files.schema == schema_of(FILES) and rows.headers.schema == schema_of(HEADER)
    return rows if sound else None


def _latest(parts: list[Rows]) -> Rows:
    files = pl.concat([p.files.with_columns(part=n) for n, p in enumerate(parts)])
    headers = pl.concat([p.headers.with_columns(part=n) for n, p in enumerate(parts)])
    files = files.unique(["root", "path"], keep="last", maintain_order=True)
    headers = headers.join(files, on=["root", "path", "part"], how="semi", maintain_order="left")
    return Rows(files.drop("part"), headers.drop("part"))


def _digest(part: Path) -> str:
    content = hashlib.sha256()
    for name in (_FILES, _HEADERS):
        content.update((part / name).read_bytes())
    return content.hexdigest()[:32]
