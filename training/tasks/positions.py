"""Where slices lie in their stacks, as whole numbers, and which of them are near each other.

A position is a fraction: numerator over denominator. Whether two differ by less than a threshold p / q is
asked without a division, as |a M - b N| q < p N M, so that no rounding decides: 3 / 10 - 2 / 10 < 1 / 10 is
true of floating-point numbers and wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MICROMETRES_A_MM = 1000
"""Distances are kept in whole micrometres: scanners write them with more digits than they measure."""

FINEST = 10**6
"""Thresholds are fractions with at most this denominator, so that all products fit into 64 bits."""

SHORTEST_SHARE = 1e-3
"""Two slices closer than this share of their stack do not tell its length."""


def exact(threshold: float) -> Fraction:
    """The fraction that a number in a recipe was meant as: 0.1 is 1 / 10, not the nearest double."""
    return Fraction(str(threshold)).limit_denominator(FINEST)


def near(own: Tensor, others: Tensor, threshold: Fraction) -> Tensor:
    """Which positions differ by less than the threshold; equal to it is not less.

    Parameters
    ----------
    own, others
        (n, 2) and (m, 2) int64: numerator and denominator.

    Returns
    -------
    Tensor
        (n, m) bool.
    """
    above, below = own[:, None, 0], own[:, None, 1]
    other_above, other_below = others[None, :, 0], others[None, :, 1]
    apart = (above * other_below - other_above * below).abs()
    return apart * threshold.denominator < threshold.numerator * below * other_below


def micrometres_from_base(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Distance of each row from the first slice (the base) of its stack along its normal; -1 unknown.

    The location, 0 to 1, times the length of the stack; the length is the distance between the two
    slices of the stack that lie farthest apart among these rows, over the difference of their locations.

    Parameters
    ----------
    columns
        ``location`` (E,), ``patient_from_pixel`` (E, 4, 4) and ``stack_key`` (E, 16).
    """
    location, grids = columns["location"].astype(np.float64), columns["patient_from_pixel"]
    found = np.full(len(location), -1, dtype=np.int64)
    known = np.flatnonzero(~np.isnan(location) & np.isfinite(grids).all(axis=(1, 2)))
    if not len(known):
        return found
    stacks = np.unique(columns["stack_key"][known], axis=0, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((location[known], stacks))
    for rows in np.split(known[order], np.flatnonzero(np.diff(stacks[order])) + 1):
        first, last = grids[rows[0]], grids[rows[-1]]
        share = location[rows[-1]] - location[rows[0]]
        if share > SHORTEST_SHARE:
            normal = first[:3, 2] / np.linalg.norm(first[:3, 2])
            length_mm = abs(float(normal @ (last[:3, 3] - first[:3, 3]))) / share
            found[rows] = np.rint(location[rows] * length_mm * MICROMETRES_A_MM).astype(np.int64)
    return found


def stored_at(rows: NDArray[np.int64], values: NDArray[np.int64], before: Tensor) -> Tensor:
    """A table by row of a store with these values added; -1 where nothing is known."""
    size = max(len(before), int(rows.max()) + 1 if len(rows) else 0)
    table = torch.full((size,), -1, dtype=torch.int64, device=before.device)
    table[: len(before)] = before
    table[torch.from_numpy(rows).to(before.device)] = torch.from_numpy(values).to(before.device)
    return table
