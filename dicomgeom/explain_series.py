"""Why the images of one series are one stack or several: what differs among them, and by how much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from dicomgeom.plane import Floats
from dicomgeom.units import (
    FLIP_ANGLE_TOLERANCE_DEG,
    IN_PLANE_TOLERANCE_DEG,
    LOCALIZER_SPREAD_DEG,
    PARALLEL_TOLERANCE_DEG,
    RELATIVE_TOLERANCE,
    clustered,
)

MOST_COMPARED: Final = 2000
"""Distinct orientations compared with each other; no series comes near."""

MOST_SHOWN: Final = 6
"""Values written out."""

NAMES: Final = {
    "echo_time_ms": "echo time",
    "repetition_time_ms": "repetition time",
    "inversion_time_ms": "inversion time",
}
WORDS: Final = {
    "contrast_kind": "kinds of image",
    "sequence": "sequences",
    "role": "roles",
    "b_value": "b-values",
}


def why_it_was_split(images: pl.DataFrame, *, seen_through: bool) -> Iterator[str]:
    """Lines for one series.

    Parameters
    ----------
    images
        Its rows of the images table.
    seen_through
        Whether its frames of reference were not believed.
    """
    yield from _orientations(images)
    for column, name in NAMES.items():
        yield from _numbers(images[column], f"{name}, ms", RELATIVE_TOLERANCE[column], relative=True)
    yield from _numbers(
        images["flip_angle_deg"], "flip angle, degrees", FLIP_ANGLE_TOLERANCE_DEG, relative=False
    )
    grids = images.select("rows", "columns", "row_spacing_mm", "column_spacing_mm").unique().height
    if grids > 1:
        yield f"  {grids} sizes or spacings of images -> told apart"
    for column, what in WORDS.items():
        count = images[column].n_unique()
        if count > 1:
            yield f"  {count} {what} -> told apart"
    frames = images["frame_of_reference"].n_unique()
    if frames > 1:
        yield f"  {frames} frames of reference for {len(images)} images -> " + (
            "seen through" if seen_through else "told apart"
        )
    stacks = images["stack_id"].drop_nulls().n_unique()
    yield f"  -> {stacks} stacks"


def _orientations(images: pl.DataFrame) -> Iterator[str]:
    axes = images.select("right", "down").unique(maintain_order=True)[:MOST_COMPARED]
    right, down = (np.array(axes[name].to_list(), dtype=np.float64) for name in ("right", "down"))
    normal = np.cross(right, down)
    tilt, turn = _largest_angle_deg(normal), _largest_angle_deg(right)
    split = tilt > PARALLEL_TOLERANCE_DEG
    yield f"  planes differ by up to {tilt:.2f} degrees (against {PARALLEL_TOLERANCE_DEG:g}) -> " + (
        "several orientations" if split else "parallel"
    )
    if split and tilt > LOCALIZER_SPREAD_DEG:
        yield f"  more than {LOCALIZER_SPREAD_DEG:g} degrees apart -> a localizer where it holds no phases"
    if not split and turn > IN_PLANE_TOLERANCE_DEG:
        yield f"  rows turned by up to {turn:.2f} degrees (against {IN_PLANE_TOLERANCE_DEG:g}) -> split"


def _largest_angle_deg(vectors: Floats) -> float:
    cosines = np.clip(vectors @ vectors.T, -1.0, 1.0)
    return float(np.degrees(np.arccos(cosines.min())))


def _numbers(column: pl.Series, name: str, tolerance: float, *, relative: bool) -> Iterator[str]:
    """Values that tell contrasts apart; a gap below the tolerance is none."""
    values: list[float] = sorted(column.drop_nulls().unique().to_list())
    if len(values) < 2:
        return
    shown = ", ".join(f"{value:g}" for value in values[:MOST_SHOWN]) + (
        " ..." if len(values) > MOST_SHOWN else ""
    )
    contrasts = len(set(clustered(values, tolerance, relative=relative)))
    limit = f"{tolerance:.0%}" if relative else f"{tolerance:g}"
    yield f"  {name}: {shown} (gaps against {limit}) -> " + (
        "one contrast" if contrasts == 1 else f"{contrasts} contrasts"
    )
