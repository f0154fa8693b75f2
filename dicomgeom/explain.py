"""Why something was judged as it was: for a file, an image, a series, a stack, a study or a patient.

Every line says what was measured, against which limit, and what followed. All is computed
from the catalogue's tables, so that an old export need not be at hand.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from dicomgeom.catalogue import Catalogue
from dicomgeom.cine import INTERVAL_SLACK, PHASE_EVIDENCE
from dicomgeom.contrast import role_of
from dicomgeom.errors import WrongUse
from dicomgeom.explain_series import why_it_was_split
from dicomgeom.plane import COSINE_TOLERANCE
from dicomgeom.privacy import hashed
from dicomgeom.reasons import FILE_REASONS, FRAME_REASONS, IMAGE_REASONS, STACK_REASONS
from dicomgeom.stack import REGULAR_SHEAR_DEG, REGULAR_SPACING_FRACTION

CONTRAST_PARTS = ("sequence", "kind of image", "TE", "TR", "TI", "flip angle", "b-value")
"""The parts of a contrast key, in their order."""

LEVELS = (
    ("sop_instance_uid", "image"),
    ("series_instance_uid", "series"),
    ("study_instance_uid", "study"),
    ("patient_key", "patient"),
)

HEX_KEY = re.compile("[0-9a-f]{8,32}")
"""Keys as reports print them: the first digits of a salted hash."""

ROOTS_TOLD = 2
"""Scanned folders that a message names."""

ROUNDING: float = 1e-6
"""Residuals of direction cosines up to it are those of arithmetic."""


def explain(catalogue: Catalogue, identifier: str) -> list[str]:
    """Lines of text: what was measured, against which limit, what followed.

    Parameters
    ----------
    identifier
        A stack id; a path below the scanned folder, absolute, or from the current folder, with `#frame`
        behind it for one frame of it;
        any of the three UIDs; a patient key; or the first digits of a key in a report or store.

    Raises
    ------
    WrongUse
        When the catalogue knows nothing by that name.
    """
    stack = catalogue.stacks.filter(pl.col("stack_id") == identifier)
    if len(stack):
        return list(_stack(catalogue, stack.row(0, named=True)))
    for path, frame in _paths(identifier):
        file = _files_called(catalogue.files, path)
        if len(file):
            return [line for row in file.iter_rows(named=True) for line in _file(catalogue, row, frame)]
    for column, what in LEVELS:
        members = catalogue.images.filter(pl.col(column) == identifier)
        if len(members):
            return list(_group(catalogue, what, members))
    traced = _traced(catalogue, identifier)
    if traced is not None:
        return explain(catalogue, traced)
    raise WrongUse(
        f"nothing in the catalogue is called {identifier!r}; give a path (absolute, from here, or "
        f"below {_roots_told(catalogue.files)}), a stack id (anatprep show lists them), a UID, "
        "or a key from a report"
    )


def _files_called(files: pl.DataFrame, path: str) -> pl.DataFrame:
    """Rows of a path: below a scanned folder, else absolute or from the current folder, links followed."""
    found = files.filter(pl.col("path") == path)
    if len(found) or not path:
        return found
    roots = [(root, other) for root in files["root"].unique() for other in {root, os.path.realpath(root)}]
    for whole in (os.path.abspath(path), os.path.realpath(path)):
        for root, spelled in roots:
            if whole.startswith(f"{spelled}/"):
                below = whole.removeprefix(f"{spelled}/")
                found = files.filter((pl.col("root") == root) & (pl.col("path") == below))
                if len(found):
                    return found
    return found


def _roots_told(files: pl.DataFrame) -> str:
    """The scanned folders, the first of many."""
    roots = sorted(files["root"].unique())
    more = ", ..." if len(roots) > ROOTS_TOLD else ""
    return (", ".join(roots[:ROOTS_TOLD]) or "the scanned folder") + more


def _traced(catalogue: Catalogue, key: str) -> str | None:
    """What a salted key stands for, by its first digits: a stack, a study or a patient."""
    if not HEX_KEY.fullmatch(key):
        return None
    stacks = catalogue.stacks
    for column in ("stack_id", "study_instance_uid"):
        for name in stacks[column].unique(maintain_order=True):
            if hashed(catalogue.salt, name).hex().startswith(key):
                return str(name)
    patients = stacks["patient_key"].unique(maintain_order=True)
    return next((str(patient) for patient in patients if patient.startswith(key) and patient != key), None)


def _paths(identifier: str) -> Iterator[tuple[str, int | None]]:
    """A path as it stands, and as path#frame."""
    yield identifier, None
    path, separator, frame = identifier.rpartition("#")
    if separator and frame.isdecimal():
        yield path, int(frame)


def _file(catalogue: Catalogue, row: dict[str, Any], frame: int | None) -> Iterator[str]:
    said = [row["status"], *filter(None, [row["reason"]])]
    yield f"file {row['path']}: {', '.join(said)}" + (f" ({row['detail']})" if row["detail"] else "")
    if row["reason"] in FILE_REASONS:
        yield f"  {row['reason']}: {FILE_REASONS[row['reason']]}"
    frames = catalogue.images.filter((pl.col("path") == row["path"]) & (pl.col("root") == row["root"]))
    if frame is not None:
        frames = frames.filter(pl.col("frame") == frame)
        if not len(frames):
            raise WrongUse(f"{row['path']} has no frame {frame} in the catalogue; frames count from 0")
    if len(frames):
        yield from _group(catalogue, "file" if frame is None else f"frame {frame}", frames)


def _group(catalogue: Catalogue, what: str, images: pl.DataFrame) -> Iterator[str]:
    roles = ", ".join(f"{count} {role}" for role, count in _counted(images["role"]))
    yield f"{what}: {len(images)} frames ({roles})"
    for reason, count in _counted(images.filter(pl.col("left_out") != "")["left_out"]):
        yield f"  {count} in no stack, {reason}: {IMAGE_REASONS.get(reason, reason)}"
    worst = images["cosine_residual"].max()
    if isinstance(worst, float) and worst > ROUNDING:
        yield (
            f"  direction cosines mended, largest residual {worst:.2g} "
            f"(against {COSINE_TOLERANCE:g}) -> counted as rounding"
        )
    ids = images["stack_id"].drop_nulls().unique(maintain_order=True)
    stacks = catalogue.stacks.filter(pl.col("stack_id").is_in(ids.implode()))
    if len(images) == 1:
        yield from _image(images.row(0, named=True))
    if what == "series":
        yield from why_it_was_split(images, seen_through=bool(stacks["frame_assumed"].any()))
    if what in ("study", "patient"):
        yield from _frames_of_reference(catalogue, images, stacks)
    for row in stacks.iter_rows(named=True):
        yield from _stack(catalogue, row)


def _counted(column: pl.Series) -> list[tuple[str, int]]:
    return sorted(column.value_counts().iter_rows())


def _image(row: dict[str, Any]) -> Iterator[str]:
    """What one frame's header was read as."""
    tokens = {token.upper() for token in row["image_type"].split("\\")}
    role, word = role_of(tokens, f"{row['series_description']} {row['protocol_name']}")
    because = f"by the word {word}" if word else "no word says otherwise"
    yield f"  image type {row['image_type'] or 'not stated'} -> {role} ({because})"
    if row["role"] != role:
        yield f"  its stack, by geometry and time -> {row['role']}"
    if row["contrast_kind"]:
        yield f"  by type, component, sequence and description -> {row['contrast_kind']}"
    origin = ", ".join(f"{value:.2f}" for value in row["origin_mm"])
    pixel = f"{row['column_spacing_mm']:g} x {row['row_spacing_mm']:g} mm"
    yield f"  {row['columns']} x {row['rows']} pixels of {pixel}"
    yield f"  centre of pixel (0, 0) at ({origin}) mm LPS"
    for name, axis in (("columns", row["right"]), ("rows", row["down"])):
        direction = ", ".join(f"{value:.4f}" for value in axis)
        yield f"  {name} grow along ({direction})"
    times = {"trigger time": row["trigger_time_ms"], "R-R interval": row["nominal_interval_ms"]}
    stated = [f"{name} {value:g} ms" for name, value in times.items() if value is not None]
    if stated:
        yield f"  {', '.join(stated)}"
    if row["stack_id"]:
        phase = "order unknown" if row["phase_index"] is None else str(row["phase_index"])
        yield f"  slice {row['slice_index']}, phase {phase} (by {row['phase_source'] or 'nothing'})"


def _frames_of_reference(catalogue: Catalogue, images: pl.DataFrame, stacks: pl.DataFrame) -> Iterator[str]:
    stated = images.filter(pl.col("frame_of_reference") != "")["frame_of_reference"].n_unique()
    without = images.filter(pl.col("frame_of_reference") == "").height
    yield f"  {stated} frames of reference stated, {without} frames without one"
    for reason, count in _counted(stacks.filter(pl.col("frame_reason") != "")["frame_reason"]):
        yield f"  {count} stacks in an assumed frame, {reason}: {FRAME_REASONS.get(reason, reason)}"
    lines = catalogue.lines.filter(pl.col("stack_id").is_in(stacks["stack_id"].implode()))
    yield f"  {len(lines)} lines between its planes, {lines['crosses'].sum()} of them inside both images"


def _stack(catalogue: Catalogue, row: dict[str, Any]) -> Iterator[str]:
    yield (
        f"stack {row['stack_id']}: {row['view']} with confidence {row['confidence']:.2f}, {row['kind']}, "
        f"{row['n_slices']} slices x {row['n_phases']} phases"
    )
    for piece in json.loads(row["evidence"]):
        limit = f" (against {piece['limit']})" if piece["limit"] != "" else ""
        yield f"  {piece['what']}: {piece['value']}{limit}" + (
            f" -> {piece['says']}" if piece["says"] else ""
        )
    yield from _contrast(row)
    yield from _evenness(row)
    yield from _phases(catalogue, row)
    for word in filter(None, row["reason"].split("; ")):
        yield f"  {word}: {STACK_REASONS.get(word, word)}"
    if row["superseded_by"]:
        yield f"  superseded by {row['superseded_by']}"
    crossing = catalogue.lines.filter((pl.col("stack_id") == row["stack_id"]) & pl.col("crosses"))
    for view, count in _counted(crossing["partner_view"]):
        yield f"  cut by {view} in {count} of its slices"


def _contrast(row: dict[str, Any]) -> Iterator[str]:
    parts = row["contrast_key"].split("/")
    told = [f"{name} {value}" for name, value in zip(CONTRAST_PARTS, parts, strict=False) if value]
    if told:
        yield f"  contrast: {', '.join(told)}"


def _evenness(row: dict[str, Any]) -> Iterator[str]:
    if row["spacing_mm"] is None:
        return
    even = "regular" if row["regular"] else "irregular"
    limit_mm = REGULAR_SPACING_FRACTION * row["spacing_mm"]
    yield (
        f"  spacing {row['spacing_mm']:.2f} mm, "
        f"largest deviation {row['spacing_max_deviation_mm']:.2f} mm (against {limit_mm:.2f}), "
        f"shear {row['shear_deg']:.1f} degrees (against {REGULAR_SHEAR_DEG:g}) -> {even}"
    )


def _phases(catalogue: Catalogue, row: dict[str, Any]) -> Iterator[str]:
    """Which traces of time tell the images of every plane apart; the first that does decides."""
    images = catalogue.images.filter(pl.col("stack_id") == row["stack_id"])
    yield from _kind(row, images)
    if row["n_phases"] < 2:
        return
    deciding = {word for one in images["phase_source"].unique() for word in (one or "").split("+")}
    for source, (column,) in PHASE_EVIDENCE:
        value = pl.col(column).cast(pl.String).replace("", None)
        planes = images.group_by("slice_index").agg(
            (value.n_unique() == pl.len()).alias("apart"), value.null_count().alias("missing")
        )
        apart = planes.filter(pl.col("apart") & (pl.col("missing") == 0)).height
        yield f"  {source} tells the images apart in {apart} of {len(planes)} planes" + (
            " -> decides their order" if source in deciding else ""
        )
        if source in deciding:
            return


def _kind(row: dict[str, Any], images: pl.DataFrame) -> Iterator[str]:
    """What made the kind of a stack."""
    kind, stated = row["kind"], {one for one in images["contrast_kind"] if one}
    if kind == "localizer":
        yield "  by its description, or several orientations in one series -> localizer"
    elif stated:
        yield f"  its images are said to be {', '.join(sorted(stated))} -> {kind}"
    elif row["n_phases"] == 1:
        yield f"  one image at each plane -> {kind}"
    else:
        measured = {
            "trigger times up to": (_largest(images["trigger_time_ms"]), " ms"),
            "R-R interval": (_largest(images["nominal_interval_ms"]), " ms"),
            "cardiac images stated": (_largest(images["cardiac_images"]), ""),
        }
        told = [f"{name} {value:g}{unit}" for name, (value, unit) in measured.items() if value is not None]
        yield (
            f"  {row['n_phases']} images at a plane, {', '.join(told) or 'no time in the heartbeat stated'} "
            f"(against {INTERVAL_SLACK:g} intervals, and half the images) -> {kind}"
        )


def _largest(column: pl.Series) -> float | None:
    return max((float(value) for value in column.drop_nulls()), default=None)
