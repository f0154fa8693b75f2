"""The lines of the partner planes on the grid, and where two of them cross."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomgeom.lines import image_line
from dicomgeom.plane import ImagePlane

Floats = NDArray[np.float64]

CROSSING_TOLERANCE_DEG = 5.0
"""Lines of an image that meet at a smaller angle have no crossing worth a label: half a
millimetre of patient motion would move it by 6 mm and more."""


def lines_on_grid(grid: ImagePlane, partners: Sequence[ImagePlane | None]) -> Floats:
    """Where each partner plane cuts the grid.

    Parameters
    ----------
    grid : ImagePlane
        Plane of the resampled image.
    partners : sequence of K planes
        None where the exam has no such view.

    Returns
    -------
    array, shape (K, 3)
        a, b, c with a^2 + b^2 = 1, so that abs(a * column + b * row + c) is the distance in
        pixels; a > 0, or a = 0 and b > 0. NaN where the partner is absent or parallel.
    """
    lines = np.full((len(partners), 3), np.nan)
    for channel, partner in enumerate(partners):
        line = None if partner is None else image_line(grid, partner)
        if line is not None:
            lines[channel] = line.a, line.b, line.c
    return lines


def crossing_px(first: ArrayLike, second: ArrayLike) -> Floats | None:
    """Where two lines (a, b, c) cross: (column, row), or None when they are nearly parallel."""
    lines = np.array([first, second], dtype=np.float64)
    sine = float(np.linalg.det(lines[:, :2]))
    if abs(sine) < np.sin(np.radians(CROSSING_TOLERANCE_DEG)):
        return None
    return np.asarray(np.linalg.solve(lines[:, :2], -lines[:, 2]))


PLANES_TOLERANCE = 0.1
"""Smallest singular value of three unit normals whose planes meet in a point worth a crop: planes
at right angles have 1, two of them 8 degrees apart 0.1."""


def meeting_point(planes: Sequence[ImagePlane]) -> Floats | None:
    """The point (LPS mm) in which three planes meet; None when two of them are nearly parallel."""
    normals = np.array([plane.normal for plane in planes])
    if normals.shape != (3, 3) or np.linalg.svd(normals, compute_uv=False)[-1] < PLANES_TOLERANCE:
        return None
    distances_mm = np.array([plane.origin_mm @ plane.normal for plane in planes])
    return np.asarray(np.linalg.solve(normals, distances_mm))
