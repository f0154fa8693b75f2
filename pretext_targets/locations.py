"""Where a slice lies in its stack: linear, sine-mapped, and which slice is the middle one.

Zhang, Wei et al., Medical Image Analysis 2024, equation 3: by distance along the stack's
normal, not by index. Slices come in the order of the stack, base (or the lowest end of the
anatomical direction) first.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomgeom.errors import GeometryError

Floats = NDArray[np.float64]

SAME_PLACE_TOLERANCE_MM = 1e-3
"""Slices nearer to each other than this are at one place."""


def relative_positions(positions_mm: ArrayLike) -> Floats:
    """Distance from the first slice over that of the last, shape (n,), 0 to 1.

    Parameters
    ----------
    positions_mm : array_like, shape (n,)
        Ascending positions along the normal.

    Returns
    -------
    array, shape (n,)
        NaN for a lone slice, or where all are at one place.

    Raises
    ------
    GeometryError
        When the positions do not ascend.
    """
    positions = np.asarray(positions_mm, dtype=np.float64)
    if (np.diff(positions) < 0).any():
        raise GeometryError("slices must ascend along the stack's normal")
    span = positions[-1] - positions[0] if positions.size else 0.0
    if span < SAME_PLACE_TOLERANCE_MM:
        return np.full(positions.shape, np.nan)
    return np.asarray((positions - positions[0]) / span)


def linear_locations(positions_mm: ArrayLike, *, direction_known: bool) -> Floats:
    """0 for the first slice (base) to 1 for the last (apex); NaN where the direction is unknown."""
    relative = relative_positions(positions_mm)
    return relative if direction_known else np.full(relative.shape, np.nan)


def sine_locations(positions_mm: ArrayLike) -> Floats:
    """sin(pi * relative position): the same from either end, exactly 0 at both."""
    relative = relative_positions(positions_mm)
    return np.asarray(np.sin(np.pi * np.minimum(relative, 1 - relative)))


def middle_slice(positions_mm: ArrayLike, of_two: Literal["first", "second"] = "first") -> int:
    """The slice nearest the median position; of two equally near the first (basal) or the second one."""
    positions = np.asarray(positions_mm, dtype=np.float64)
    distance = np.abs(positions - np.median(positions))
    nearest = np.flatnonzero(distance <= distance.min() + SAME_PLACE_TOLERANCE_MM)
    return int(nearest[0 if of_two == "first" else -1])
