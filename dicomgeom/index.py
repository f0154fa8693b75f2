"""An export -> a catalogue: scan what changed, sort into stacks, judge views, cut planes with planes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from dicomgeom.catalogue import (
    FILES,
    HEADER,
    MARKER,
    TABLES,
    open_catalogue,
    read_marker,
    schema_of,
    write_catalogue,
)
from dicomgeom.errors import HalfWritten, NothingUsable, WrongUse
from dicomgeom.header import ImageHeader
from dicomgeom.privacy import hashed, new_salt, read_salt, split_position
from dicomgeom.progress import Progress, silent
from dicomgeom.scan import ScannedFile, scan_file
from dicomgeom.sources import FoundFile, list_files
from dicomgeom.study import sort_study

BATCH_ROWS: Final = 20_000
"""Header rows collected before they are packed into a table, which is far smaller."""


@dataclass(frozen=True)
class IndexSummary:
    """What `index` found."""

    catalogue: Path
    files: dict[str, int]
    reasons: dict[str, int]
    patients: int
    studies: int
    stacks: int
    views: dict[str, int]
    read: int
    unchanged: int

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self) | {"catalogue": str(self.catalogue)}


def index(
    sources: Sequence[Path],
    catalogue: Path,
    *,
    salt_file: Path | None = None,
    strict_frames: bool = False,
    progress: Progress = silent,
) -> IndexSummary:
    """Index folders and archives into a catalogue; files already in it are read only when they changed.

    Raises
    ------
    NothingUsable
        When no file is an MR image with a position; the catalogue then still says why.
    WrongUse, IntegrityError
        For sources that do not exist, and a target folder that holds something else.
    """
    _check_target(catalogue)
    found = [file for source in sources for file in list_files(source)]
    found = list({(file.root, file.path): file for file in found}.values())
    with _lock(catalogue):
        salt = _salt(catalogue, salt_file)
        known = _known(catalogue, salt)
        files, headers, read = _scan_changed(found, known, salt, progress)
        tables = _tables(files, headers, strict_frames, progress)
        write_catalogue(catalogue, salt, tables)
    summary = _summary(catalogue, tables, read=read, unchanged=len(found) - read)
    if not len(tables["images"]):
        reasons = (
            ", ".join(f"{count} {reason}" for reason, count in sorted(summary.reasons.items()))
            or "no file at all"
        )
        raise NothingUsable(
            f"no MR image with a position found among {len(found)} files ({reasons}); check the folder"
        )
    return summary


def _check_target(catalogue: Path) -> None:
    """Refuse to write into a folder that is something else."""
    if catalogue.exists() and not catalogue.is_dir():
        raise WrongUse(f"{catalogue} is a file; give a folder for the catalogue")
    if catalogue.is_dir() and not (catalogue / MARKER).exists():
        strangers = [p.name for p in catalogue.iterdir() if not p.name.startswith(".")]
        if strangers:
            raise WrongUse(f"{catalogue} is not empty and not a catalogue; give a new folder with -o")
    if (catalogue / MARKER).exists():
        read_marker(catalogue)


@contextmanager
def _lock(catalogue: Path) -> Iterator[None]:
    """One index at a time; the lock goes with its process, however that ends."""
    catalogue.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(catalogue / ".lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WrongUse(
                f"another index is writing {catalogue}; wait for it or give another folder with -o"
            ) from error
        yield


def _salt(catalogue: Path, salt_file: Path | None) -> bytes:
    kept = bytes.fromhex(read_marker(catalogue)["salt"]) if (catalogue / MARKER).exists() else None
    if salt_file is None:
        return kept or new_salt()
    given = read_salt(salt_file)
    if kept is not None and kept != given:
        raise WrongUse(
            f"catalogue {catalogue} was made with another salt; give that one, or a new folder with -o"
        )
    return given


def _known(catalogue: Path, salt: bytes) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Files and header rows of the last finished run; empty when there is none."""
    if (catalogue / MARKER).exists():
        try:
            last = open_catalogue(catalogue)
            return last.files, last.images.select(schema_of(HEADER).names())
        except HalfWritten:
            pass  # tables of two runs may be mixed: read everything again
    return pl.DataFrame(schema=schema_of(FILES)), pl.DataFrame(schema=schema_of(HEADER))


def _scan_changed(
    found: Sequence[FoundFile], known: tuple[pl.DataFrame, pl.DataFrame], salt: bytes, progress: Progress
) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Verdicts and header rows of all files; only new and changed ones are opened."""
    last_files, last_headers = known
    identity = ["root", "path", "size_bytes", "modified_ns"]
    kept = dict.fromkeys(last_files.select(identity).iter_rows())
    changed = [f for f in found if (f.root, f.path, f.size_bytes, f.modified_ns) not in kept]
    unchanged = pl.DataFrame(
        [(f.root, f.path, f.size_bytes, f.modified_ns) for f in found],
        schema=dict(schema_of(FILES[:4])),
        orient="row",
    )
    same_files = last_files.join(unchanged, on=identity, how="semi")
    same_headers = last_headers.join(same_files, on=["root", "path"], how="semi")
    fresh_files, fresh_headers = [same_files], [same_headers]
    for scanned in _batches(_scanned(changed, progress)):
        fresh_files.append(_file_rows(scanned))
        fresh_headers.append(_header_rows(scanned, salt))
    return pl.concat(fresh_files).sort("root", "path"), pl.concat(fresh_headers), len(changed)


def _scanned(files: Sequence[FoundFile], progress: Progress) -> Iterator[ScannedFile]:
    for done, file in enumerate(files):
        progress("reading headers", done=done, total=len(files))
        yield scan_file(file)
    progress("reading headers", done=len(files), total=len(files))


def _batches(scanned: Iterable[ScannedFile]) -> Iterator[list[ScannedFile]]:
    batch: list[ScannedFile] = []
    rows = 0
    for one in scanned:
        batch.append(one)
        rows += max(1, len(one.headers))
        if rows >= BATCH_ROWS:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _file_rows(scanned: Sequence[ScannedFile]) -> pl.DataFrame:
    rows = [
        (s.found.root, s.found.path, s.found.size_bytes, s.found.modified_ns, s.status, s.reason, s.detail)
        for s in scanned
    ]
    return pl.DataFrame(rows, schema=schema_of(FILES), orient="row")


def _header_rows(scanned: Sequence[ScannedFile], salt: bytes) -> pl.DataFrame:
    rows = [header_row(s.found, header, salt) for s in scanned for header in s.headers]
    return pl.DataFrame(rows, schema=schema_of(HEADER))


def header_row(found: FoundFile, header: ImageHeader, salt: bytes) -> dict[str, Any]:
    """One frame as a row of the images table, before it is placed in a stack."""
    # A de-identified file may name no patient: then its study stands for one.
    patient = header.patient_id or header.study_instance_uid
    plane = header.plane
    row = {name: getattr(header, name) for name in schema_of(HEADER).names() if hasattr(header, name)}
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


def _tables(
    files: pl.DataFrame, headers: pl.DataFrame, strict_frames: bool, progress: Progress
) -> dict[str, pl.DataFrame]:
    """Stacks, views and lines, study by study."""
    headers = headers.sort("patient_key", "study_instance_uid", "root", "path", "frame")
    parts = {name: [pl.DataFrame(schema=schema_of(columns))] for name, columns in TABLES.items()}
    studies = headers.partition_by("patient_key", "study_instance_uid", maintain_order=True)
    for done, study in enumerate(studies):
        progress("sorting studies into stacks", done=done, total=len(studies))
        rows = sort_study(study.to_dicts(), strict_frames=strict_frames)
        for name, found in (("images", rows.images), ("stacks", rows.stacks), ("lines", rows.lines)):
            parts[name].append(pl.DataFrame(found, schema=schema_of(TABLES[name])))
    progress("sorting studies into stacks", done=len(studies), total=len(studies))
    return {name: pl.concat(found) for name, found in parts.items()} | {"files": files}


def _summary(catalogue: Path, tables: dict[str, pl.DataFrame], *, read: int, unchanged: int) -> IndexSummary:
    files, images, stacks = tables["files"], tables["images"], tables["stacks"]
    skipped = files.filter(pl.col("status") != "ok")

    def counted(column: pl.Series) -> dict[str, int]:
        return dict(sorted(column.value_counts().iter_rows()))

    return IndexSummary(
        catalogue=catalogue,
        files=counted(files["status"]),
        reasons=counted(skipped["reason"]),
        patients=images["patient_key"].n_unique(),
        studies=images["study_instance_uid"].n_unique(),
        stacks=len(stacks),
        views=counted(stacks.filter(pl.col("kind") != "localizer")["view"]),
        read=read,
        unchanged=unchanged,
    )
