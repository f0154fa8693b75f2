"""Read many files: in batches of a good size, by many hands, kept in the journal as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Final

import polars as pl

from dicomgeom.batches import Rows, narrowed, scan_batch
from dicomgeom.journal import Journal
from dicomgeom.progress import Progress
from dicomgeom.sources import FoundFile
from dicomgeom.workers import Team

BATCH_S: Final = 0.2
"""How long reading one batch of files should take: progress is told and work shared out at its end."""

BATCH_FILES: Final = (100, 4_000)
"""Files of a batch, at least and at most."""

JOURNAL_S: Final = 5.0
"""Seconds of reading that a kill may lose."""


def read_files(
    held: list[pl.DataFrame], salt: bytes, journal: Journal, team: Team, progress: Progress
) -> list[Rows]:
    """Read files, batch by batch; what was read goes into the journal every few seconds."""
    found = held.pop()
    finished: list[Rows] = []
    unwritten: list[Rows] = []
    pace = _Pace(team.hands)
    done = 0
    written_at = time.monotonic()
    progress("reading headers", done=0, total=len(found))
    try:
        for rows, took_s in team.run(partial(_timed_scan, salt=salt), pace.batches(found)):
            pace.adapt(len(rows.files), took_s)
            unwritten.append(rows)
            done += len(rows.files)
            progress("reading headers", done=done, total=len(found))
            if time.monotonic() - written_at > JOURNAL_S:
                finished.append(_kept_for_good(journal, unwritten))
                unwritten, written_at = [], time.monotonic()
    except BaseException:  # an interrupt too: what was read is not read again
        if unwritten:
            _kept_for_good(journal, unwritten)
        raise
    return finished + unwritten


def _kept_for_good(journal: Journal, rows: list[Rows]) -> Rows:
    joined = Rows.joined(rows)
    journal.write(joined)
    return joined


def _timed_scan(files: list[FoundFile], salt: bytes) -> tuple[Rows, float]:
    started_at = time.monotonic()
    rows = scan_batch(files, salt)
    return Rows(rows.files, narrowed(rows.headers)), time.monotonic() - started_at


class _Pace:
    """Cuts the work into batches that take about as long as they should, and end together.

    Parameters
    ----------
    hands
        Batches that are read at once: near the end they get smaller, so that nobody waits long.
    """

    def __init__(self, hands: int) -> None:
        self._hands = hands
        self._files = BATCH_FILES[0]

    def batches(self, found: pl.DataFrame) -> Iterator[list[FoundFile]]:
        start = 0
        while start < len(found):
            size = self._files
            if self._hands > 1:
                size = max(BATCH_FILES[0], min(size, (len(found) - start) // (2 * self._hands)))
            yield [FoundFile(*row) for row in found[start : start + size].iter_rows()]
            start += size

    def adapt(self, files: int, took_s: float) -> None:
        fitting = int(files * BATCH_S / max(took_s, 1e-3))
        self._files = max(BATCH_FILES[0], min(fitting, BATCH_FILES[1]))
