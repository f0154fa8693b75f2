"""Overlap of masks, and agreement of numbers, in float64 NumPy.

Policy for empty masks, per structure and volume: both empty is agreement, Dice 1; only one empty is a miss
or an invention, Dice 0. Each case is counted and reported, none is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
