"""Why something was judged as it was: for a file, an image, a series, a stack, a study or a patient."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import polars as pl

from dicomgeom.catalogue import Catalogue
from dicomgeom.errors import WrongUse


def explain(catalogue: Catalogue, identifier: str) -> list[str]:
    """Lines of text: what was measured, against which limit, what followed.

    Parameters
    ----------
    identifier
        A stack id, a path as in the files table, any of the three UIDs, or a patient key.

    Raises
    ------
    WrongUse
        When the catalogue knows nothing by that name.
    """
    images, stacks, files = catalogue.images, catalogue.stacks, catalogue.files
    stack = stacks.filter(pl.col("stack_id") == identifier)
    if len(stack):
        return list(_stack(catalogue, stack.row(0, named=True)))
    file = files.filter(
        (pl.col("path") == identifier) | (pl.col("root") + "/" + pl.col("path") == identifier)
    )
    if len(file):
        return [line for row in file.iter_rows(named=True) for line in _file(catalogue, row)]
    for column, what in (
        ("sop_instance_uid", "image"),
        ("series_instance_uid", "series"),
        ("study_instance_uid", "study"),
        ("patient_key", "patient"),
    ):
        members = images.filter(pl.col(column) == identifier)
        if len(members):
            return list(_group(catalogue, what, members))
    raise WrongUse(
        f"nothing in the catalogue is called {identifier!r}; "
        "give a path, a stack id (anatprep show lists them), or a UID"
    )


def _file(catalogue: Catalogue, row: dict[str, Any]) -> Iterator[str]:
    yield f"file {row['path']}: {row['status']}" + (
        f", {row['reason']} ({row['detail']})" if row["reason"] else ""
    )
    frames = catalogue.images.filter((pl.col("path") == row["path"]) & (pl.col("root") == row["root"]))
    if len(frames):
        yield from _group(catalogue, "file", frames)


def _group(catalogue: Catalogue, what: str, images: pl.DataFrame) -> Iterator[str]:
    roles = ", ".join(f"{count} {role}" for role, count in sorted(images["role"].value_counts().iter_rows()))
    yield f"{what}: {len(images)} frames ({roles})"
    for reason, count in sorted(
        images.filter(pl.col("left_out") != "")["left_out"].value_counts().iter_rows()
    ):
        yield f"  {count} in no stack: {reason}"
    worst = images["cosine_residual"].max()
    if isinstance(worst, float) and worst > 1e-6:
        yield f"  direction cosines mended, largest residual {worst:.2g} (limit 0.002)"
    if len(images) == 1:
        yield from _place(images.row(0, named=True))
    ids = images["stack_id"].drop_nulls().unique(maintain_order=True)
    for row in catalogue.stacks.filter(pl.col("stack_id").is_in(ids.implode())).iter_rows(named=True):
        yield from _stack(catalogue, row)


def _place(row: dict[str, Any]) -> Iterator[str]:
    origin = ", ".join(f"{value:.2f}" for value in row["origin_mm"])
    pixel = f"{row['column_spacing_mm']:g} x {row['row_spacing_mm']:g} mm"
    yield f"  {row['columns']} x {row['rows']} pixels of {pixel}"
    yield f"  centre of pixel (0, 0) at ({origin}) mm LPS"
    if row["stack_id"]:
        phase = "order unknown" if row["phase_index"] is None else str(row["phase_index"])
        yield f"  slice {row['slice_index']}, phase {phase} (by {row['phase_source'] or 'nothing'})"


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
    if row["spacing_mm"] is not None:
        even = "regular" if row["regular"] else "irregular"
        yield (
            f"  spacing {row['spacing_mm']:.2f} mm, "
            f"largest deviation {row['spacing_max_deviation_mm']:.2f} mm, "
            f"shear {row['shear_deg']:.1f} degrees: {even}"
        )
    if not row["complete"]:
        yield "  some planes have fewer images than others"
    if row["reason"]:
        yield f"  {row['reason']}"
    if row["superseded_by"]:
        yield f"  superseded by {row['superseded_by']}"
    crossing = catalogue.lines.filter((pl.col("stack_id") == row["stack_id"]) & pl.col("crosses"))
    for view, count in sorted(crossing["partner_view"].value_counts().iter_rows()):
        yield f"  cut by {view} in {count} of its slices"
