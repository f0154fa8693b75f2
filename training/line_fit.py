"""The line that a predicted heatmap shows, and how far it is from the true one.

The fit. The negative logarithm of exp(-d^2 / 2 sigma^2) is the quadratic form (a x + b y + c)^2 / 2 sigma^2,
and a height other than 1 only adds a constant. So a quadratic surface is fitted to the logarithm by least
squares, each pixel weighted by its height, the error of a logarithm being inverse to it. The steepest axis of
the surface is the normal of the line, the vertex along it is its place. This is exact for exact heatmaps,
also where the image cuts them off, which moments of the pixels are not.

What makes it robust. Least squares follows whatever else is bright: a second line, a blob of another
structure. So a line is also voted for, each pixel giving its height to the lines through it (Hough 1962; Duda
and Hart, CACM 1972), and the surface is fitted again to the pixels near the winner only. Of the two lines the
one whose own heatmap agrees more with the predicted one (the higher correlation) is taken: for a clean
heatmap that is the first, to the last digit; for one with a rival it is the second.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FITTED_ABOVE = 0.2
"""Line fits use the pixels above this share of the heatmap's maximum: 1.8 sigma either side."""

FAINTEST_PEAK = 0.1
"""A predicted heatmap that never exceeds this holds no line."""

FEWEST_PIXELS = 12
"""Twice the number of coefficients that a line fit has."""

VOTED_ANGLES = 60
"""Directions that votes are counted for: 3 degrees apart."""

VOTERS = 2_000
"""Most pixels that vote; of more, every second, third, ... does."""

NEAR_SIGMAS = 2.0
"""Pixels within this distance of the winning line are fitted again."""

AGREES = 0.995
"""Correlation above which no other line is looked for."""

Floats = NDArray[np.float64]


def fitted_line(heatmap: NDArray[np.floating], sigma_px: float) -> Floats | None:
    """The line whose heatmap this is, as (a, b, c) with a^2 + b^2 = 1; None where there is none to see.

    Parameters
    ----------
    heatmap
        (rows, columns).
    sigma_px
        Width of the heatmaps the network was taught.
    """
    peak = float(heatmap.max())
    if not np.isfinite(peak) or peak < FAINTEST_PEAK:
        return None
    values = np.asarray(heatmap, dtype=np.float64)
    row, column = np.nonzero(values > FITTED_ABOVE * peak)
    height = values[row, column]
    first = quadratic_fit(row, column, height)
    agreement = -1.0 if first is None else _agreement(first, values, sigma_px)
    if agreement > AGREES:
        return first
    voted = _voted_line(row, column, height, sigma_px)
    near = np.abs(voted[0] * column + voted[1] * row + voted[2]) <= NEAR_SIGMAS * sigma_px
    second = quadratic_fit(row[near], column[near], height[near])
    if second is not None and _agreement(second, values, sigma_px) > agreement:
        return second
    return first


def quadratic_fit(row: NDArray[np.int64], column: NDArray[np.int64], height: Floats) -> Floats | None:
    """The valley of the quadratic surface through -log(height) of some pixels."""
    if len(row) < FEWEST_PIXELS:
        return None
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


def _voted_line(row: NDArray[np.int64], column: NDArray[np.int64], height: Floats, sigma_px: float) -> Floats:
    """The line that the heights of the pixels within sigma of it vote for most, to the nearest bin."""
    step = -(-len(row) // VOTERS)
    row, column, height = row[::step], column[::step], height[::step]
    angles = np.arange(VOTED_ANGLES) * np.pi / VOTED_ANGLES
    a, b = np.cos(angles), np.sin(angles)
    bin_px = sigma_px / 2.0
    place = np.rint((a[:, None] * column + b[:, None] * row) / bin_px).astype(np.int64)
    lowest = int(place.min())
    bins = int(place.max()) - lowest + 1
    cells = (np.arange(VOTED_ANGLES)[:, None] * bins + place - lowest).ravel()
    votes = np.bincount(cells, np.broadcast_to(height, place.shape).ravel(), VOTED_ANGLES * bins)
    table = np.pad(votes.reshape(VOTED_ANGLES, bins), ((0, 0), (2, 2)))
    within_sigma = sum(table[:, shift : shift + bins] for shift in range(5))
    angle, winner = np.unravel_index(np.argmax(within_sigma), (VOTED_ANGLES, bins))
    return np.array([a[angle], b[angle], -(int(winner) + lowest) * bin_px])


@lru_cache(maxsize=8)
def _pixels(rows: int, columns: int) -> tuple[Floats, Floats]:
    return np.arange(columns, dtype=np.float64)[None], np.arange(rows, dtype=np.float64)[:, None]


def _agreement(line: Floats, heatmap: Floats, sigma_px: float) -> float:
    """Correlation of a heatmap with the one that a line would have; -1 where one of them is constant."""
    x, y = _pixels(*heatmap.shape)
    drawn = np.exp(-0.5 * ((line[0] * x + line[1] * y + line[2]) / sigma_px) ** 2)
    first, second = drawn - drawn.mean(), heatmap - heatmap.mean()
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / size if size > 0 else -1.0


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
