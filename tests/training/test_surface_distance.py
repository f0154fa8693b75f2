from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter
from scipy.spatial.distance import cdist

from tests.training.test_volume_grid import SPACING_MM, oblique_stack
from training.surface_distance import surface_distances, surface_of
from training.volume_grid import VolumeGrid, counted_grid, placed_grid

SHAPE = (6, 26, 22)
SAMPLING_MM = (8.0, SPACING_MM, SPACING_MM)

Masks = NDArray[np.bool_]

monai_warns_of_its_own_use = pytest.mark.filterwarnings(
    "ignore:monai.metrics.utils get_mask_edges:FutureWarning"
)


def blob(seed: int) -> Masks:
    """Lumps that touch no border of the volume: there the peers' ideas of a surface differ."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), (1.0, 2.5, 2.5))
    mask = noise > np.quantile(noise, 0.8)
    mask[[0, -1]] = mask[:, [0, -1]] = mask[:, :, [0, -1]] = False
    return mask


def placed() -> VolumeGrid:
    return placed_grid(oblique_stack(SHAPE[0]), range(SHAPE[0]), SPACING_MM)


def monai_batch(mask: Masks) -> torch.Tensor:
    return torch.from_numpy(np.stack([~mask, mask])[None])


def test_the_directed_distances_equal_those_of_scipy() -> None:
    said, true = blob(0), blob(1)
    found = surface_distances(said, true, placed())
    assert found is not None
    edges = [mask ^ binary_erosion(mask) for mask in (said, true)]
    to_true, to_said = (distance_transform_edt(~edge, sampling=SAMPLING_MM) for edge in edges[::-1])
    assert found.from_predicted == pytest.approx(to_true[edges[0]])
    assert found.from_true == pytest.approx(to_said[edges[1]])
    assert found.average() == pytest.approx((to_true[edges[0]].mean() + to_said[edges[1]].mean()) / 2)


def test_the_directed_distances_equal_those_of_simpleitk() -> None:
    masks = blob(2), blob(3)
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    for image in images:
        image.SetSpacing(SAMPLING_MM[::-1])
    contours = [sitk.LabelContour(image, fullyConnected=False) for image in images]
    edges = [sitk.GetArrayFromImage(one) > 0 for one in contours]
    maps = [
        np.abs(
            sitk.GetArrayFromImage(
                sitk.SignedMaurerDistanceMap(one, squaredDistance=False, useImageSpacing=True)
            )
        )
        for one in contours
    ]
    found = surface_distances(*masks, placed())
    assert found is not None
    assert found.from_predicted == pytest.approx(maps[1][edges[0]], rel=1e-5, abs=1e-5)
    assert found.from_true == pytest.approx(maps[0][edges[1]], rel=1e-5, abs=1e-5)


def test_the_largest_distance_of_masks_that_do_not_meet_is_simpleitks_hausdorff_distance() -> None:
    # Of masks that meet it is not: SimpleITK measures to the filled masks, and inside them there is none.
    said, true = blob(4), blob(5)
    said[:, :, 11:], true[:, :, :11] = False, False
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (said, true)]
    for image in images:
        image.SetSpacing(SAMPLING_MM[::-1])
    judge = sitk.HausdorffDistanceImageFilter()
    judge.Execute(*images)
    found = surface_distances(said, true, placed())
    assert found is not None
    assert found.percentile(100) == pytest.approx(judge.GetHausdorffDistance(), rel=1e-5)


@monai_warns_of_its_own_use
def test_hd95_and_both_directed_means_equal_those_of_monai_and_its_symmetric_mean_does_not() -> None:
    said, true = blob(6), blob(7)
    true[:, 13:] = False  # one surface is much larger than the other
    found = surface_distances(said, true, placed())
    assert found is not None
    pair = monai_batch(said), monai_batch(true)
    hd95 = compute_hausdorff_distance(*pair, percentile=95, spacing=SAMPLING_MM)
    assert found.percentile(95) == pytest.approx(float(hd95), rel=1e-5)
    one_way = float(compute_average_surface_distance(*pair, spacing=SAMPLING_MM))
    back = float(compute_average_surface_distance(*pair[::-1], spacing=SAMPLING_MM))
    assert (found.from_predicted.mean(), found.from_true.mean()) == pytest.approx((one_way, back), rel=1e-5)
    assert found.average() == pytest.approx((one_way + back) / 2, rel=1e-5)
    # MONAI pools the distances of both ways, so that the larger surface counts more.
    pooled = float(compute_average_surface_distance(*pair, symmetric=True, spacing=SAMPLING_MM))
    everything = np.concatenate([found.from_predicted, found.from_true])
    assert pooled == pytest.approx(everything.mean(), rel=1e-5)
    assert abs(pooled - found.average()) > 0.04 * found.average()


def test_slices_that_are_shifted_against_each_other_are_measured_where_they_lie() -> None:
    said, true = blob(8), blob(9)
    grid = placed_grid(oblique_stack(SHAPE[0], 9.0, shift_mm=(4.0, -3.0)), range(SHAPE[0]), SPACING_MM)
    found = surface_distances(said, true, grid)
    assert found is not None
    places = [grid.places(np.argwhere(mask & ~binary_erosion(mask))) for mask in (said, true)]
    every = cdist(*places)
    assert found.from_predicted == pytest.approx(every.min(axis=1))
    assert found.from_true == pytest.approx(every.min(axis=0))


def test_shells_of_known_size_are_as_far_apart_as_the_equation_says() -> None:
    y, x = np.mgrid[-60:61, -60:61]
    radius = np.hypot(x, y)[None]
    found = surface_distances(radius <= 40, radius <= 30, counted_grid([0], 0.5))
    assert found is not None
    assert found.average() == pytest.approx(5.0, abs=0.15)
    assert found.percentile(95) == pytest.approx(5.0, abs=0.3)


def test_a_lone_slice_is_an_image_with_an_outline() -> None:
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 2:7, 2:7] = True
    assert surface_of(mask).sum() == 16
    assert surface_of(np.concatenate([mask, mask])).sum() == 50
    at_the_border = np.ones((1, 3, 4), bool)
    assert surface_of(at_the_border).sum() == 10


@monai_warns_of_its_own_use
def test_an_empty_mask_has_no_distance_where_monai_has_none_or_an_infinite_one() -> None:
    full, empty = blob(0), np.zeros(SHAPE, bool)
    for pair in ((full, empty), (empty, full), (empty, empty)):
        assert surface_distances(*pair, placed()) is None
        with pytest.warns(UserWarning, match="all 0"):
            peer = float(compute_average_surface_distance(*map(monai_batch, pair), symmetric=True))
        assert not math.isfinite(peer)
