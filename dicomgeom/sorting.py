"""Header rows -> the tables `images`, `stacks` and `lines`, some patients at a time.

Patients are independent of each other, so that they are sorted in parts, by many hands, and
anew only where something changed. Only what sorting adds to an image is passed back and
joined to its row: the rows of a million images are never held twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from dicomgeom.batches import widened
from dicomgeom.catalogue import HEADER, IMAGES, LINES, STACKS, schema_of
from dicomgeom.overrides import Override
from dicomgeom.progress import Progress
from dicomgeom.spool import Spool, Table
from dicomgeom.studies import examinations
from dicomgeom.study import sort_study
from dicomgeom.workers import Team

PART_ROWS: Final = 1_500
"""Images sorted by one hand at a time, more where one patient has more, fewer near the end."""

CHUNK_ROWS: Final = 50_000
"""Images put into order at a time."""

EXAMINATION: Final = "examination"
ORDER: Final = ("patient_key", EXAMINATION, "study_instance_uid", "root", "path", "frame")


class SortedRows(NamedTuple):
    """Three tables of the catalogue; large ones lie in a spool."""

    images: Table
    stacks: pl.DataFrame
    lines: pl.DataFrame


@dataclass(frozen=True)
class How:
    """Options that change what headers are sorted into."""

    strict_frames: bool = False
    overrides: tuple[Override, ...] = ()


class _Part(NamedTuple):
    start: int
    """Row of its chunk where it begins."""
    chunk: int
    headers: pl.DataFrame


class _Placed(NamedTuple):
    start: int
    chunk: int
    columns: pl.DataFrame
    stacks: pl.DataFrame
    lines: pl.DataFrame


def added_columns() -> list[str]:
    """Columns of the images table that sorting sets; the role is corrected by it."""
    return ["role", *(column.name for column in IMAGES[len(HEADER) :])]


def sort_headers(
    held: list[pl.DataFrame], how: How, team: Team, spool: Spool, progress: Progress
) -> SortedRows:
    """Sort all images of some patients into stacks.

    Parameters
    ----------
    held
        The only reference to the header rows (`narrowed` or not), in a list that is emptied.
    how, team, spool, progress
        Options; who does it; where sorted rows lie when they are many; who is told.
    """
    chunks = _Chunks(held.pop())
    images, stacks, lines = schema_of(IMAGES), schema_of(STACKS), schema_of(LINES)
    found: list[_Placed] = []
    done = 0
    for one in team.run(partial(_sort_part, how=how), chunks.parts(team.hands)):
        done += len(one.columns)
        found.append(one._replace(columns=pl.DataFrame()))
        whole = chunks.take(one)
        if whole is not None:
            spool.add(one.chunk, whole.select(images.names()))
        progress("sorting images into stacks", done=done, total=chunks.total)
    found.sort(key=lambda part: (part.chunk, part.start))
    return SortedRows(
        spool.table(images),
        pl.concat([pl.DataFrame(schema=stacks), *(part.stacks for part in found)]),
        pl.concat([pl.DataFrame(schema=lines), *(part.lines for part in found)]),
    )


def reordered(table: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    """Rows in another order; the given table is used up, column by column, so that none is held twice."""
    return pl.DataFrame([table.drop_in_place(name).gather(order) for name in table.columns])


class _Chunks:
    """Header rows by patient, some patients at a time; each chunk is kept until all its parts are back."""

    def __init__(self, headers: pl.DataFrame) -> None:
        self.total = len(headers)
        self._headers = headers
        self._waiting: dict[int, pl.DataFrame] = {}
        self._back: dict[int, list[_Placed]] = {}

    def parts(self, hands: int) -> Iterator[_Part]:
        """Whole examinations, patient by patient and in the order of paths, for so many hands."""
        headers, self._headers = self._headers, pl.DataFrame()
        by_patient = headers["patient_key"].arg_sort()
        ends = list(_ends(headers["patient_key"].gather(by_patient), CHUNK_ROWS))
        for number, (start, end) in enumerate(itertools.pairwise([0, *ends])):
            chunk = widened(headers[by_patient[start:end]])
            chunk = chunk.with_columns(examinations(chunk).alias(EXAMINATION))
            chunk = chunk[chunk.select(pl.arg_sort_by(*ORDER)).to_series()]
            self._waiting[number] = chunk
            self._back[number] = []
            last = 0
            # Examinations are sorted one by one: a whole archive may be filed under one "ANON".
            for part_end in _ends(_examined(chunk), PART_ROWS, hands):
                yield _Part(last, number, chunk[last:part_end])
                last = part_end

    def take(self, placed: _Placed) -> pl.DataFrame | None:
        """Rows of a chunk with what sorting adds to them, when the last of its parts is back."""
        back = self._back[placed.chunk]
        back.append(placed)
        if sum(len(part.columns) for part in back) < len(self._waiting[placed.chunk]):
            return None
        del self._back[placed.chunk]
        columns = pl.concat([part.columns for part in sorted(back, key=lambda part: part.start)])
        return self._waiting.pop(placed.chunk).drop(EXAMINATION).with_columns(columns.get_columns())


def _examined(rows: pl.DataFrame) -> pl.Series:
    """Patient and examination of each row."""
    return rows.select(pl.struct("patient_key", EXAMINATION)).to_series()


def _ends(whose: pl.Series, rows: int, hands: int = 1) -> Iterator[int]:
    """Where to cut rows that are sorted by whose they are: nobody's are parted, until there are enough rows.

    Many hands get fewer near the end, so that nobody waits long for another.
    """
    last, enough = 0, rows
    for end in np.cumsum(whose.rle().struct.field("len").to_numpy()).tolist():
        if hands > 1:
            enough = min(rows, (len(whose) - last) // (2 * hands))
        if end - last >= enough or end == len(whose):
            yield end
            last = end


def _sort_part(part: _Part, how: How) -> _Placed:
    headers = part.headers
    lengths = _examined(headers).rle().struct.field("len")
    rows = headers.drop(EXAMINATION).to_dicts()
    stacks: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    start = 0
    for length in lengths.to_list():
        found = sort_study(
            rows[start : start + length], strict_frames=how.strict_frames, overrides=how.overrides
        )
        stacks.extend(found.stacks)
        lines.extend(found.lines)
        start += length
    schema = schema_of(IMAGES)
    columns = {name: [row.get(name) for row in rows] for name in added_columns()}
    return _Placed(
        part.start,
        part.chunk,
        pl.DataFrame(columns, schema={name: schema[name] for name in columns}),
        pl.DataFrame(stacks, schema=schema_of(STACKS)),
        pl.DataFrame(lines, schema=schema_of(LINES)),
    )
