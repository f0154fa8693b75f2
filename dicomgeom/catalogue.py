"""The catalogue: what an export contains, as a folder of Parquet tables.

::

    catalogue/                 mode 0700: it holds paths and UIDs and never leaves the hospital
        catalogue.json         format, version, state ("writing" or "complete"), salt, hash of each table
        files.parquet          every path seen, with its verdict
        images.parquet         every frame that has a place in the patient
        stacks.parquet         parallel planes that belong together, with their view
        lines.parquet          where the stacks of a study cut each other

The tables' columns are spelled once, in `TABLES`; other programs read them (SQL through
DuckDB works as they are), so names change only with `VERSION`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from dicomgeom.errors import AnatprepError, HalfWritten, IntegrityError, WrongUse, WrongVersion
from dicomgeom.folder_marks import CATALOGUE_MARK, WORKSPACE_CATALOGUE, looks_like

FORMAT: Final = "anatprep-catalogue"
VERSION: Final = 1
MARKER: Final = CATALOGUE_MARK

ROW_GROUP_ROWS: Final = 50_000
"""Rows that are packed, and held, together while a table is written."""

VECTOR: Final = pl.Array(pl.Float64, 3)


@dataclass(frozen=True)
class Column:
    """One column: its name (units included), type and meaning."""

    name: str
    dtype: Any
    meaning: str


FILES: Final = (
    Column("root", pl.String, "absolute path of the scanned folder"),
    Column("path", pl.String, "relative to the root; archive!member inside archives"),
    Column("size_bytes", pl.Int64, "size"),
    Column("modified_ns", pl.Int64, "modification time"),
    Column("status", pl.String, "ok, skipped or unreadable"),
    Column("reason", pl.String, "a word for machines; empty when ok"),
    Column("detail", pl.String, "the reason for people"),
)

HEADER: Final = (
    Column("root", pl.String, "absolute path of the scanned folder"),
    Column("path", pl.String, "file, relative to the root"),
    Column("frame", pl.Int32, "frame in the file, from 0"),
    Column("sop_instance_uid", pl.String, "(0008,0018)"),
    Column("series_instance_uid", pl.String, "(0020,000E)"),
    Column("study_instance_uid", pl.String, "(0020,000D)"),
    Column(
        "patient_key",
        pl.String,
        "salted hash of Patient ID, else of the study, series or folder; 32 hexadecimal digits",
    ),
    Column("split_position", pl.Float64, "where the patient stands in [0, 1) when patients are split"),
    Column("frame_of_reference", pl.String, "(0020,0052); empty when absent"),
    Column("role", pl.String, "original, localizer, derived or other"),
    Column("modality", pl.String, "(0008,0060)"),
    Column("series_description", pl.String, "(0008,103E)"),
    Column("protocol_name", pl.String, "(0018,1030)"),
    Column("body_part", pl.String, "(0018,0015)"),
    Column("rows", pl.Int32, "image height, pixels"),
    Column("columns", pl.Int32, "image width, pixels"),
    Column("origin_mm", VECTOR, "centre of pixel (0, 0), LPS"),
    Column("right", VECTOR, "unit vector of growing column"),
    Column("down", VECTOR, "unit vector of growing row"),
    Column("row_spacing_mm", pl.Float64, "between the centres of neighbouring rows"),
    Column("column_spacing_mm", pl.Float64, "between the centres of neighbouring columns"),
    Column("cosine_residual", pl.Float64, "by how much the cosines of the file missed orthonormality"),
    Column("image_type", pl.String, "(0008,0008), values joined by backslashes"),
    Column("manufacturer", pl.String, "(0008,0070)"),
    Column("sequence", pl.String, "Scanning Sequence (0018,0020), and the velocity that is encoded"),
    Column("contrast_kind", pl.String, "map, flow-phase, flow-magnitude, phase, real, imaginary, or empty"),
    Column("fat_suppressed", pl.Boolean, "by scan options or description"),
    Column("series_number", pl.Int64, "(0020,0011)"),
    Column("acquisition_number", pl.Int64, "(0020,0012)"),
    Column("instance_number", pl.Int64, "(0020,0013); never a key"),
    Column("acquired_at", pl.Datetime("us"), "moment of acquisition; null when the file has no real one"),
    Column("content_time", pl.String, "(0008,0033)"),
    Column("echo_time_ms", pl.Float64, "TE"),
    Column("repetition_time_ms", pl.Float64, "TR"),
    Column("inversion_time_ms", pl.Float64, "TI"),
    Column("flip_angle_deg", pl.Float64, "flip angle"),
    Column("b_value", pl.Float64, "diffusion weighting, s/mm2"),
    Column("trigger_time_ms", pl.Float64, "after the R wave"),
    Column("nominal_interval_ms", pl.Float64, "R-R interval"),
    Column("cardiac_images", pl.Int64, "Cardiac Number of Images (0018,1090)"),
    Column("temporal_position", pl.Int64, "Temporal Position Identifier or Index"),
    Column("transfer_syntax", pl.String, "(0002,0010)"),
)

IMAGES: Final = (
    *HEADER,
    Column("kind", pl.String, "kind of the stack; null when in none"),
    Column("stack_id", pl.String, "stack; null when in none"),
    Column("slice_index", pl.Int32, "along the stack's normal, from 0"),
    Column("phase_index", pl.Int32, "in time, from 0; null when the order is not known"),
    Column("phase_source", pl.String, "the evidence that ordered the phases"),
    Column("rr_fraction", pl.Float64, "moment in the beat, 0 to 1 of R-R; null when not stated"),
    Column("left_out", pl.String, "why the image is in no stack; empty when it is in one"),
)

STACKS: Final = (
    Column("stack_id", pl.String, "hash of the images it holds and whose they are"),
    Column("study_instance_uid", pl.String, "study; the first of several that are seen as one"),
    Column("patient_key", pl.String, "salted hash"),
    Column("frame_of_reference", pl.String, "shared frame; empty when assumed"),
    Column("frame_assumed", pl.Boolean, "whether the files' own frames were seen through"),
    Column("frame_reason", pl.String, "why the frame was assumed: a word, see Reasons"),
    Column("kind", pl.String, "cine, static, dynamic, localizer, or the contrast_kind of its images"),
    Column("contrast_key", pl.String, "what tells this contrast from others on the same planes"),
    Column("fat_suppressed", pl.Boolean, "by scan options or description"),
    Column("view", pl.String, "SAX, 2CH, 3CH, 4CH, RV2CH, RVOT, LAX, SAG, COR, AX or OTHER"),
    Column("confidence", pl.Float64, "of the view, 0 to 1"),
    Column("evidence", pl.String, "JSON list of what was measured, the limit, and what followed"),
    Column("normal", VECTOR, "unit vector of growing slice_index"),
    Column("apex_known", pl.Boolean, "SAX only: the normal surely points from base to apex"),
    Column("n_slices", pl.Int32, "planes"),
    Column("n_phases", pl.Int32, "most images at one plane"),
    Column("complete", pl.Boolean, "every plane has as many images as the fullest one"),
    Column("spacing_mm", pl.Float64, "median distance of neighbouring planes; null for one plane"),
    Column("spacing_max_deviation_mm", pl.Float64, "largest departure from the median"),
    Column("regular", pl.Boolean, "departures within 5 % of the spacing and no shear"),
    Column("shear_deg", pl.Float64, "angle between the normal and the line through the middles"),
    Column("acquired_at", pl.Datetime("us"), "latest of its images"),
    Column("series_number", pl.Int64, "highest of its series"),
    Column("series_description", pl.String, "distinct ones joined by ' | '"),
    Column("superseded_by", pl.String, "stack_id of a later repeat at the same planes; empty when none"),
    Column("reason", pl.String, 'what a user should know of it: words joined by "; ", see Reasons'),
)

LINES: Final = (
    Column("stack_id", pl.String, "stack whose image is cut"),
    Column("slice_index", pl.Int32, "plane that is cut"),
    Column("partner_stack_id", pl.String, "stack that cuts it"),
    Column("partner_slice_index", pl.Int32, "its only or central plane"),
    Column("partner_view", pl.String, "view of the partner"),
    Column("a", pl.Float64, "a*x + b*y + c = 0 in the image's pixels, a^2 + b^2 = 1"),
    Column("b", pl.Float64, "see a"),
    Column("c", pl.Float64, "see a, pixels"),
    Column("angle_deg", pl.Float64, "dihedral angle, 0 to 90"),
    Column("crosses", pl.Boolean, "the common line passes through both images at one place"),
    Column("frames_assumed", pl.Boolean, "the frame of reference was seen through, not stated"),
)

TABLES: Final[dict[str, tuple[Column, ...]]] = {
    "files": FILES,
    "images": IMAGES,
    "stacks": STACKS,
    "lines": LINES,
}


def schema_of(columns: tuple[Column, ...]) -> pl.Schema:
    """The polars schema of a table."""
    return pl.Schema({column.name: column.dtype for column in columns})


@dataclass(frozen=True)
class Catalogue:
    """An opened catalogue; tables are read when first asked for."""

    folder: Path
    salt: bytes

    @cached_property
    def files(self) -> pl.DataFrame:
        return _read_table(self.folder, "files")

    @cached_property
    def images(self) -> pl.DataFrame:
        return _read_table(self.folder, "images")

    @cached_property
    def stacks(self) -> pl.DataFrame:
        return _read_table(self.folder, "stacks")

    @cached_property
    def lines(self) -> pl.DataFrame:
        return _read_table(self.folder, "lines")


def open_catalogue(folder: Path) -> Catalogue:
    """Open a finished catalogue.

    Raises
    ------
    WrongUse
        When there is no such folder.
    IntegrityError
        HalfWritten when indexing was interrupted, WrongVersion for another format's
        version, IntegrityError when the folder is no catalogue or lacks a table.
    """
    marker = read_marker(folder)
    if marker["state"] != "complete":
        raise HalfWritten(
            f"catalogue {folder} is half-written; run the same index command again to finish it"
        )
    missing = [name for name in TABLES if not (folder / f"{name}.parquet").is_file()]
    if missing:
        lacking = ", ".join(f"{name}.parquet" for name in missing)
        raise IntegrityError(f"catalogue {folder} lacks {lacking}; index the export again")
    return Catalogue(folder=folder, salt=bytes.fromhex(marker["salt"]))


def read_marker(folder: Path) -> dict[str, Any]:
    """Read and check catalogue.json.

    Raises
    ------
    WrongUse
        When there is no such folder.
    IntegrityError
        WrongVersion for another format's version, IntegrityError for all else that is no catalogue.
    """
    path = folder / MARKER
    if not path.is_file():
        raise _no_catalogue(folder)
    try:
        marker = json.loads(path.read_text())
        found, version = marker["format"], marker["version"]
        bytes.fromhex(marker["salt"]), marker["state"]
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} is damaged; remove the catalogue and index the export again") from error
    if found != FORMAT:
        raise IntegrityError(f"{folder} is not a catalogue: {MARKER} says {found!r}, expected {FORMAT!r}")
    if version != VERSION:
        raise WrongVersion(
            f"catalogue {folder} has version {version}, this program reads version {VERSION}; "
            "index the export again into a new folder"
        )
    return dict(marker)


def _no_catalogue(folder: Path) -> AnatprepError:
    """What a path without a catalogue is instead, and what to do."""
    if not os.path.lexists(folder):
        return WrongUse(f"{folder} does not exist; name the folder that anatprep index wrote")
    if not folder.is_dir():
        return IntegrityError(f"{folder} is a file, no catalogue; name the folder that anatprep index wrote")
    found = looks_like(folder)
    if found == "workspace":
        inner = folder / WORKSPACE_CATALOGUE
        return IntegrityError(f"{folder} is a workspace, not a catalogue; name the one in it: {inner}")
    if found == "DICOM files":
        return IntegrityError(
            f"{folder} holds DICOM files and is not a catalogue (no {MARKER}); "
            f"index them first: anatprep index {shlex.quote(str(folder))}"
        )
    seen = f", it is a {found}" if found else f" (no {MARKER})"
    return IntegrityError(f"{folder} is not a catalogue{seen}; name the folder that anatprep index wrote")


def begin_catalogue(folder: Path, salt: bytes) -> None:
    """Write down the salt before the first table is there: what is read meanwhile is hashed with it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if not (folder / MARKER).exists():
        _write_marker(folder, salt, state="writing")


def write_catalogue(
    folder: Path,
    salt: bytes,
    tables: Mapping[str, pl.DataFrame | pl.LazyFrame],
    made_by: Mapping[str, str] | None = None,
) -> None:
    """Write all tables so that a kill at any moment leaves a catalogue that is whole or says it is not.

    Tables are first written in full under another name; the marker says "writing" only
    while they are renamed into place. `made_by` is kept in it: see `index.Stamp`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for abandoned in folder.glob(".new-*"):
        shutil.rmtree(abandoned)
    fresh = folder / f".new-{uuid.uuid4().hex}"
    fresh.mkdir(mode=0o700)
    for name, columns in TABLES.items():
        schema = schema_of(columns)
        path = fresh / f"{name}.parquet"
        path.touch(mode=0o600)
        # Sorted in pieces on disk: a table of a million images is never whole in memory.
        tables[name].lazy().select(schema.names()).cast(schema).sink_parquet(
            path, row_group_size=ROW_GROUP_ROWS
        )
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    written = _table_hashes(fresh)
    _write_marker(folder, salt, state="writing")
    for name in TABLES:
        (fresh / f"{name}.parquet").replace(folder / f"{name}.parquet")
    _write_marker(folder, salt, state="complete", sha256=written, made_by=dict(made_by or {}))
    fresh.rmdir()


def is_as_written(folder: Path) -> bool:
    """Whether a catalogue is complete, and all its tables are those that were written."""
    if not (folder / MARKER).exists() or not all((folder / f"{name}.parquet").is_file() for name in TABLES):
        return False
    marker = read_marker(folder)
    return marker["state"] == "complete" and marker.get("sha256") == _table_hashes(folder)


def _table_hashes(folder: Path) -> dict[str, str]:
    hashes = {}
    for name in TABLES:
        with open(folder / f"{name}.parquet", "rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _write_marker(folder: Path, salt: bytes, state: str, **more: Any) -> None:
    marker = {"format": FORMAT, "version": VERSION, "state": state, "salt": salt.hex(), **more}
    fresh = folder / f".{MARKER}.{uuid.uuid4().hex}"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(marker, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / MARKER)


def _read_table(folder: Path, name: str) -> pl.DataFrame:
    try:
        table = pl.read_parquet(folder / f"{name}.parquet")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise IntegrityError(f"{folder / name}.parquet cannot be read; index the export again") from error
    missing = [column.name for column in TABLES[name] if column.name not in table.columns]
    if missing:
        raise IntegrityError(
            f"{folder / name}.parquet lacks columns {', '.join(missing)}; index the export again"
        )
    return table


def verify_catalogue(folder: Path) -> list[str]:
    """Every way in which the catalogue contradicts itself; empty when it is sound."""
    catalogue = open_catalogue(folder)
    written = read_marker(folder).get("sha256", {})
    changed = [name for name, found in _table_hashes(folder).items() if written.get(name) != found]
    if changed:
        return [f"{name}.parquet is not what was written (SHA-256 differs)" for name in changed]
    problems = []
    images, stacks, lines = catalogue.images, catalogue.stacks, catalogue.lines
    known = set(stacks["stack_id"])
    if len(known) < len(stacks):
        problems.append(f"stacks.parquet names {len(stacks) - len(known)} stacks by the id of another one")
    for name, used in (
        ("images", images["stack_id"].drop_nulls()),
        ("lines", lines["stack_id"]),
        ("lines", lines["partner_stack_id"]),
    ):
        strangers = set(used) - known
        if strangers:
            problems.append(f"{name}.parquet names {len(strangers)} stacks that stacks.parquet does not hold")
    empty = known - set(images["stack_id"].drop_nulls())
    if empty:
        problems.append(f"{len(empty)} stacks hold no image")
    readable = catalogue.files.filter(pl.col("status") == "ok").select("root", "path")
    orphans = images.select("root", "path").unique().join(readable, on=["root", "path"], how="anti")
    if len(orphans):
        problems.append(
            f"{len(orphans)} files of images.parquet are not among the readable ones of files.parquet"
        )
    axes = np.stack([images["right"].to_numpy(), images["down"].to_numpy()], axis=1).reshape(-1, 2, 3)
    gram = np.einsum("nij,nkj->nik", axes, axes)
    bent = int((np.abs(gram - np.eye(2)).max(axis=(1, 2), initial=0) > 1e-6).sum())
    if bent:
        problems.append(f"{bent} images have axes that are not orthonormal")
    norm = np.hypot(lines["a"].to_numpy(), lines["b"].to_numpy())
    if (np.abs(norm - 1) > 1e-6).any():
        problems.append("lines.parquet holds lines that are not normalised")
    return problems
