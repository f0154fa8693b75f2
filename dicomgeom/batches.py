"""A batch of files -> rows of the tables `files` and `images`: the unit of work of a scan.

What the images of a series share becomes one row, which is then repeated; only the fields in
which they differ are collected image by image.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from dicomgeom.catalogue import FILES, HEADER, VECTOR, schema_of
from dicomgeom.errors import UnusableFile
from dicomgeom.header import ImageHeader
from dicomgeom.image_fields import IMAGE_FIELDS
from dicomgeom.privacy import hashed, split_position
from dicomgeom.quietness import quiet
from dicomgeom.scan import Frame, Scanner, status_of
from dicomgeom.sources import FoundFile, is_member

SLOW_S: Final = 1e-3
"""Files that are waited for longer than this come from a slow disk or over a network."""

PROBED: Final = 6
"""Files read one after the other before it is decided whether to read many at once."""

THREADS: Final = 64
"""Files on their way at once where each of them waits."""

SHARE: Final = 24
"""Neighbouring files that one thread reads, so that it meets the images of one series."""


class Rows(NamedTuple):
    """Rows of a batch for the tables `files` and `images` (as far as headers go)."""

    files: pl.DataFrame
    headers: pl.DataFrame

    @classmethod
    def none(cls) -> Rows:
        return cls(pl.DataFrame(schema=_FILE_SCHEMA), pl.DataFrame(schema=_HEADER_SCHEMA))

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Rows of several batches, in their order."""
        if not parts:
            return cls.none()
        return cls(pl.concat([p.files for p in parts]), pl.concat([p.headers for p in parts]))


_FILE_SCHEMA: Final = schema_of(FILES)
_HEADER_SCHEMA: Final = schema_of(HEADER)
_HEADER_NAMES: Final = _HEADER_SCHEMA.names()

SHARED_TEXTS: Final = (
    "root", "series_instance_uid", "study_instance_uid", "frame_of_reference", "role", "modality",
    "series_description", "protocol_name", "body_part", "image_type", "manufacturer", "sequence",
    "contrast_kind", "transfer_syntax",
)  # fmt: skip
"""Columns of header rows in which few texts stand many times."""


def narrowed(headers: pl.DataFrame) -> pl.DataFrame:
    """Header rows with every text that repeats held once: a third less memory."""
    return headers.cast(dict.fromkeys(SHARED_TEXTS, pl.Categorical()))


def widened(headers: pl.DataFrame) -> pl.DataFrame:
    """Undo `narrowed`."""
    return headers.cast(dict.fromkeys(SHARED_TEXTS, pl.String()))


class _Judged(NamedTuple):
    found: FoundFile
    frames: Sequence[Frame]
    refused: UnusableFile | None


def scan_batch(files: Sequence[FoundFile], salt: bytes, *, threads: int | None = None) -> Rows:
    """Read the headers of some files.

    Parameters
    ----------
    files
        Neighbours, as `list_files` gives them.
    salt
        Of the patients' keys.
    threads
        Files read at once; None: one, or many where the first files were slow to come.
    """
    with quiet():
        scanner, judged, waits_s = Scanner(), [], []
        for found in files[:PROBED]:
            started_at, worked_from = time.perf_counter(), time.thread_time()
            judged.append(_judge(scanner, found))
            waits_s.append(time.perf_counter() - started_at - (time.thread_time() - worked_from))
        rest = files[PROBED:]
        if threads is None:
            threads = THREADS if rest and median(waits_s) > SLOW_S else 1
        if threads > 1:
            judged.extend(_judge_many(rest, threads))
        else:
            judged.extend(_judge(scanner, found) for found in rest)
    return Rows(_file_rows(judged), _header_rows(judged, salt))


def _judge_many(files: Sequence[FoundFile], threads: int) -> list[_Judged]:
    """Read with many threads: each waits for its own file."""
    shares = _shares(files)

    def read(share: Sequence[FoundFile]) -> list[_Judged]:
        scanner = Scanner()
        return [_judge(scanner, found) for found in share]

    with ThreadPoolExecutor(threads) as pool:
        return [judged for share in pool.map(read, shares) for judged in share]


def _shares(files: Sequence[FoundFile]) -> list[Sequence[FoundFile]]:
    """Cut into neighbours; members of archives stay together, since they are read in their order."""
    if any(is_member(found.path) for found in files):
        return [files]
    return [files[at : at + SHARE] for at in range(0, len(files), SHARE)]


def _judge(scanner: Scanner, found: FoundFile) -> _Judged:
    try:
        return _Judged(found, scanner.frames(found), None)
    except UnusableFile as unusable:
        return _Judged(found, (), unusable)


def _file_rows(judged: Sequence[_Judged]) -> pl.DataFrame:
    found = [one.found for one in judged]
    verdicts = [one.refused for one in judged]
    columns = {
        "root": repeated([f.root for f in found]),
        "path": [f.path for f in found],
        "size_bytes": [f.size_bytes for f in found],
        "modified_ns": [f.modified_ns for f in found],
        "status": [status_of(v) if v else "ok" for v in verdicts],
        "reason": repeated([v.reason if v else "" for v in verdicts]),
        "detail": repeated([v.detail if v else "" for v in verdicts]),
    }
    return pl.DataFrame(columns, schema=_FILE_SCHEMA)


def repeated(texts: Sequence[str]) -> pl.Series:
    """A column of texts of which each is held in memory once, however often it stands there."""
    place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return pl.Series(list(place), dtype=pl.String)[np.array([place[text] for text in texts], dtype=np.uint32)]


def _header_rows(judged: Sequence[_Judged], salt: bytes) -> pl.DataFrame:
    """One row for each frame, in the order of the files."""
    schema = _HEADER_SCHEMA
    shared: dict[tuple[int, str], int] = {}
    series: list[dict[str, Any]] = []
    number: list[int] = []
    roots: list[str] = []
    paths: list[str] = []
    own: list[list[Any]] = []
    for found, frames, _ in judged:
        for header, fields in frames:
            same = id(header), "" if _named(header) else _folder(found)
            place = shared.get(same)
            if place is None:
                place = shared[same] = len(series)
                series.append(header_row(found, header, salt))
            number.append(place)
            roots.append(found.root)
            paths.append(found.path)
            own.append(fields)
    if not own:
        return pl.DataFrame(schema=schema)
    rows = pl.DataFrame(series, schema=schema)[np.asarray(number)]
    columns = {"root": repeated(roots), "path": pl.Series(paths, dtype=pl.String)}
    for one, values in zip(IMAGE_FIELDS, zip(*own, strict=True), strict=True):
        if schema[one.name] == VECTOR:
            columns[one.name] = pl.Series(np.array(values, dtype=np.float64))
        else:
            columns[one.name] = pl.Series(values, dtype=schema[one.name])
    return rows.with_columns(**columns).select(_HEADER_NAMES)


def header_row(found: FoundFile, header: ImageHeader, salt: bytes) -> dict[str, Any]:
    """One frame as a row of the images table, before it is placed in a stack."""
    patient = _named(header) or _folder(found)
    plane = header.plane
    row = {name: getattr(header, name) for name in _HEADER_NAMES if hasattr(header, name)}
    return row | {
        "root": found.root,
        "path": found.path,
        "patient_key": hashed(salt, patient).hex(),
        "split_position": split_position(patient),
        "frame_of_reference": plane.frame_of_reference,
        "rows": plane.rows,
        "columns": plane.columns,
        "origin_mm": plane.origin_mm.tolist(),
        "right": plane.right.tolist(),
        "down": plane.down.tolist(),
        "row_spacing_mm": plane.row_spacing_mm,
        "column_spacing_mm": plane.column_spacing_mm,
    }


def _named(header: ImageHeader) -> str:
    """The patient. A de-identified file may name none: then its study stands for one, else its series."""
    return header.patient_id or header.study_instance_uid or header.series_instance_uid


def _folder(found: FoundFile) -> str:
    """Stands for the patient of files that name nothing: else all of them would be one patient."""
    return f"{found.root}/{PurePosixPath(found.path).parent}"
