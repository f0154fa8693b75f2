"""Measures of what a network says against what is true, in float64 NumPy.

Policy for empty masks, per structure and volume: both empty is agreement, Dice 1; only one empty is a miss
or an invention, Dice 0. Each case is counted and reported, none is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FITTED_ABOVE = 0.2
"""Line fits use the pixels above this share of the heatmap's maximum: 1.8 sigma either side."""

FAINTEST_PEAK = 0.1
"""A predicted heatmap that never exceeds this holds no line."""

FEWEST_PIXELS = 12
"""Twice the number of coefficients that a line fit has."""


@dataclass(frozen=True)
class Overlap:
    """Dice of one structure in one volume, and what was empty: "", "both", "truth" or "prediction"."""

    dice: float
    empty: str


def dice_overlap(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> Overlap:
    """Dice of two masks of any equal shape, 2 |A and B| / (|A| + |B|), with the policy for empty ones."""
    size_predicted, size_true = int(predicted.sum()), int(true.sum())
    if size_predicted == 0 and size_true == 0:
        return Overlap(1.0, "both")
    empty = "truth" if size_true == 0 else "prediction" if size_predicted == 0 else ""
    return Overlap(2.0 * int((predicted & true).sum()) / (size_predicted + size_true), empty)


def class_overlaps(
    predicted: NDArray[np.integer], true: NDArray[np.integer], classes: Sequence[int], ignored: int = 255
) -> list[Overlap]:
    """Dice of each class over the voxels whose true class is not `ignored`.

    Parameters
    ----------
    predicted, true
        Classes, of equal shape.
    """
    known = true != ignored
    return [dice_overlap((predicted == one) & known, (true == one) & known) for one in classes]


def location_measures(predicted: ArrayLike, true: ArrayLike) -> dict[str, float]:
    """How well locations are told: errors, Pearson's r, R^2, explained variance and the regression line.

    Parameters
    ----------
    predicted, true
        (n,) locations; pairs with a NaN are left out.

    Returns
    -------
    dict
        `count`, `mse`, `mae`, `r`, `r2` = 1 - residual / total sum of squares, `explained_variance` = 1 -
        variance of the error / variance of the truth, and `slope` and `intercept` of the predicted on the
        true location. NaN where fewer than two values, or only equal ones, leave it undefined.
    """
    said, wanted = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    known = np.isfinite(said) & np.isfinite(wanted)
    said, wanted = said[known], wanted[known]
    names = ("mse", "mae", "r", "r2", "explained_variance", "slope", "intercept")
    if not len(said):
        return {"count": 0.0, **dict.fromkeys(names, float("nan"))}
    error = said - wanted
    mse, mae = float(np.mean(error**2)), float(np.mean(np.abs(error)))
    spread = float(np.var(wanted))
    if len(said) < 2 or spread == 0.0:
        return {"count": float(len(said)), **dict.fromkeys(names, float("nan")), "mse": mse, "mae": mae}
    shared = float(np.mean((said - said.mean()) * (wanted - wanted.mean())))
    slope = shared / spread
    r = shared / np.sqrt(spread * np.var(said)) if np.var(said) > 0 else float("nan")
    return {
        "count": float(len(said)),
        "mse": mse,
        "mae": mae,
        "r": float(r),
        "r2": 1.0 - mse / spread,
        "explained_variance": 1.0 - float(np.var(error)) / spread,
        "slope": slope,
        "intercept": float(said.mean() - slope * wanted.mean()),
    }


def fitted_line(heatmap: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """The line whose heatmap this is, as (a, b, c) with a^2 + b^2 = 1; None where there is none to see.

    The negative logarithm of exp(-d^2 / 2 sigma^2) is the quadratic form (a x + b y + c)^2 / 2 sigma^2
    whatever sigma is, and a height other than 1 only adds a constant. A quadratic surface is fitted to it
    by least squares, each pixel weighted by its height, the error of a logarithm being inverse to it. The
    steepest axis of the surface is the normal of the line; the vertex along it is its place. Exact for
    exact heatmaps, also where the image cuts them off.

    Parameters
    ----------
    heatmap
        (rows, columns).
    """
    peak = float(heatmap.max())
    if not np.isfinite(peak) or peak < FAINTEST_PEAK:
        return None
    row, column = np.nonzero(heatmap > FITTED_ABOVE * peak)
    if len(row) < FEWEST_PIXELS:
        return None
    height = heatmap[row, column].astype(np.float64)
    middle_x, middle_y = column.mean(), row.mean()
    x, y = column - middle_x, row - middle_y
    terms = np.stack([x * x, x * y, y * y, x, y, np.ones_like(x)], axis=1)
    xx, xy, yy, x1, y1, _ = np.linalg.lstsq(terms * height[:, None], -np.log(height) * height, rcond=None)[0]
    steepness, axes = np.linalg.eigh(np.array([[xx, xy / 2.0], [xy / 2.0, yy]]))
    if steepness[1] <= 0.0:
        return None
    a, b = axes[:, 1]
    # Along the normal n the surface is steepness t^2 + (x1, y1).n t: its vertex is the line.
    c = (x1 * a + y1 * b) / (2.0 * steepness[1]) - a * middle_x - b * middle_y
    return np.array([a, b, c])


def line_errors(
    predicted: NDArray[np.floating], true: NDArray[np.floating], rows: int, columns: int, spacing_mm: float
) -> tuple[float, float]:
    """Angle in degrees between two lines, and their offset in mm.

    The offset is the distance from the predicted line to the point of the true line that is nearest to the
    middle of the image: with lines that are not parallel a distance needs a place, and the middle is where
    the anatomy is.

    Parameters
    ----------
    predicted, true
        (3,) a, b, c with a^2 + b^2 = 1, in pixels.
    """
    a, b, c = np.asarray(true, dtype=np.float64)
    p, q, s = np.asarray(predicted, dtype=np.float64)
    # The sine and the cosine together: the arc cosine alone is inexact for small angles.
    angle = float(np.degrees(np.arctan2(abs(a * q - b * p), abs(a * p + b * q))))
    x, y = (columns - 1) / 2.0, (rows - 1) / 2.0
    distance = a * x + b * y + c
    return angle, float(abs(p * (x - distance * a) + q * (y - distance * b) + s) * spacing_mm)
