"""The nine anatomical-position boxes of Bai et al., MICCAI 2019.

One box lies where the lines of two partner planes cross on the image, and two more each way
along each line. The paper's "30 pixels apart" is read as centre to centre, 30 and 60 either
way. Boxes are axis-aligned squares on the grid.

Class order: centre; near, far along the first direction of the first line; near, far the
other way; then the same along the second line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomgeom.plane import ImagePlane
from pretext_targets.lines import Floats, crossing_px

BOXES = 9

DIRECTION_TOLERANCE = 0.1
"""Smallest cosine between a line and the anatomical direction that tells its two ways apart
(84 degrees)."""

VISIBLE_FRACTION = 0.5
"""A box of which less lies on the image is background."""

NO_LINE = "partner-absent"
NO_DIRECTION = "base-unknown"
WEAK_DIRECTION = "direction-unclear"
PARALLEL = "lines-nearly-parallel"
OUTSIDE = "crossing-outside-image"
NO_GEOMETRY = "no-geometry"


@dataclass(frozen=True, eq=False)
class BoxLabels:
    """Nine boxes of one slice.

    Attributes
    ----------
    centre_px : array, shape (9, 2)
        (column, row) on the grid; NaN when the slice has no boxes.
    present : array of bool, shape (9,)
        Whether at least half of the box lies on the image.
    reason : str
        Why the slice has no boxes, a word for machines; empty when it has.
    """

    centre_px: Floats
    present: NDArray[np.bool_]
    reason: str = ""


def no_boxes(reason: str) -> BoxLabels:
    """A slice without boxes, and why."""
    return BoxLabels(np.full((BOXES, 2), np.nan), np.zeros(BOXES, dtype=bool), reason)


def visible_rectangle(plane: ImagePlane, grid: ImagePlane) -> tuple[Floats, Floats]:
    """The part of the grid where the image has pixels: low and high corner (column, row) in grid pixels.

    The padding of a small image is outside the image; so is what a small grid crops.
    """
    corners = grid.to_pixel(plane.corners_mm[[0, 2]])
    low = np.maximum(corners[0], -0.5)
    high = np.minimum(corners[1], np.array([grid.columns, grid.rows]) - 0.5)
    return low, high


def direction_px(line: ArrayLike, grid: ImagePlane, toward: ArrayLike) -> Floats | None:
    """Unit step (column, row) along a line, to the side of the patient's direction `toward`.

    Returns None when the line runs nearly across that direction.
    """
    a, b, _ = np.asarray(line, dtype=np.float64)
    step = np.array([-b, a])
    way = np.asarray(toward, dtype=np.float64)
    in_patient = grid.right * step[0] * grid.column_spacing_mm + grid.down * step[1] * grid.row_spacing_mm
    cosine = float(in_patient @ way / (np.linalg.norm(in_patient) * np.linalg.norm(way)))
    if abs(cosine) < DIRECTION_TOLERANCE:
        return None
    return np.asarray(step * np.sign(cosine))


def lay_boxes(
    grid: ImagePlane,
    plane: ImagePlane,
    lines: ArrayLike,
    toward: tuple[ArrayLike | None, ArrayLike | None],
    *,
    side_px: float,
    step_px: float,
) -> BoxLabels:
    """Lay the nine boxes of one slice.

    Parameters
    ----------
    grid, plane : ImagePlane
        The grid, and the image it was made from.
    lines : array_like, shape (2, 3)
        The two lines (a, b, c) on the grid; NaN where absent.
    toward : pair of array_like, shape (3,)
        LPS direction that is the first of each line; None when unknown for this exam.
    side_px, step_px : float
        Side of a box, and distance between neighbours, in pixels of the grid.
    """
    both = np.asarray(lines, dtype=np.float64)
    if np.isnan(both).any():
        return no_boxes(NO_LINE)
    crossing = crossing_px(both[0], both[1])
    if crossing is None:
        return no_boxes(PARALLEL)
    low, high = visible_rectangle(plane, grid)
    if (crossing < low).any() or (crossing > high).any():
        return no_boxes(OUTSIDE)
    centres = [crossing]
    for line, way in zip(both, toward, strict=True):
        if way is None:
            return no_boxes(NO_DIRECTION)
        step = direction_px(line, grid, way)
        if step is None:
            return no_boxes(WEAK_DIRECTION)
        centres += [crossing + factor * step_px * step for factor in (1, 2, -1, -2)]
    centre_px = np.array(centres)
    seen = np.minimum(centre_px + side_px / 2, high) - np.maximum(centre_px - side_px / 2, low)
    visible = np.clip(seen, 0, None).prod(axis=1) / side_px**2
    return BoxLabels(centre_px, visible >= VISIBLE_FRACTION)
