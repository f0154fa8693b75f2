from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from training.contour_distance import contour_distance

Masks = NDArray[np.bool_]


def square(low: int, high: int, side: int = 20) -> Masks:
    mask = np.zeros((side, side), bool)
    mask[low:high, low:high] = True
    return mask


def outline_by_hand(mask: Masks) -> NDArray[np.int64]:
    """Pixels of a mask without holes that have an empty neighbour to the left, right, above or below."""
    padded = np.pad(mask, 1)
    found = [
        (row, column)
        for row, column in np.argwhere(mask) + 1
        if not all(padded[row + r, column + c] for r, c in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    ]
    return np.array(found)


def test_a_slice_has_the_mean_of_its_two_directed_means_and_a_volume_the_mean_of_its_slices() -> None:
    pairs = [(square(2, 12), square(4, 15)), (square(5, 9), square(3, 16))]
    by_hand = []
    for said, true in pairs:
        every = cdist(outline_by_hand(said), outline_by_hand(true)) * 1.5
        by_hand.append((every.min(axis=0).mean() + every.min(axis=1).mean()) / 2)
    said, true = (np.stack(masks) for masks in zip(*pairs, strict=True))
    found = contour_distance(said, true, 1.5)
    assert found.mean == pytest.approx(np.mean(by_hand))
    assert (found.both, found.only_true, found.only_predicted) == (2, 0, 0)


def test_contours_of_other_slices_are_never_nearer() -> None:
    # The 3-D surface distance of these would be small: the neighbouring slice has the right square.
    said = np.stack([square(2, 6), square(12, 16)])
    true = np.stack([square(12, 16), square(12, 16)])
    found = contour_distance(said, true, 1.0)
    alone = contour_distance(said[:1], true[:1], 1.0)
    assert alone.mean is not None
    assert found.mean == pytest.approx(alone.mean / 2)


def test_the_contour_of_a_ring_is_its_outer_one() -> None:
    ring = square(3, 17) & ~square(7, 13)
    full = contour_distance(square(3, 17)[None], ring[None], 1.0)
    assert full.mean == 0.0


def test_slices_with_one_contour_are_counted_and_have_no_distance() -> None:
    empty = np.zeros((20, 20), bool)
    said = np.stack([square(3, 9), empty, square(3, 9), empty])
    true = np.stack([square(3, 9), square(3, 9), empty, empty])
    found = contour_distance(said, true, 1.0)
    assert (found.mean, found.both, found.only_true, found.only_predicted) == (0.0, 1, 1, 1)
    assert contour_distance(said[1:2], true[1:2], 1.0).mean is None


def test_random_masks_agree_with_all_pairs_of_points() -> None:
    rng = np.random.default_rng(0)
    # No holes in a mask whose every row and column is one run: the outline by hand need not fill them.
    said, true = (gaussian_filter(rng.normal(size=(30, 30)), 6) for _ in range(2))
    masks = [np.minimum.accumulate(one > np.quantile(one, 0.3), axis=0) for one in (said, true)]
    masks = [mask | (np.arange(30)[:, None] < 3) for mask in masks]
    every = cdist(*(outline_by_hand(mask) for mask in masks)) * 0.7
    by_hand = (every.min(axis=0).mean() + every.min(axis=1).mean()) / 2
    assert contour_distance(masks[0][None], masks[1][None], 0.7).mean == pytest.approx(by_hand)
