from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric
from numpy.typing import NDArray

from tests.training.test_volume_grid import SPACING_MM, oblique_stack
from training.segmentation_measures import segmentation_measures
from training.surface_distance import surface_distances
from training.volume_grid import VolumeGrid, counted_grid, placed_grid

NAMES = ("LV cavity", "RV cavity")
SHAPE = (3, 16, 20)

Classes = NDArray[np.uint8]


def hearts(lv: slice = slice(4, 9), rv: slice = slice(11, 15), among: slice = slice(None)) -> Classes:
    classes = np.zeros(SHAPE, np.uint8)
    classes[among, 4:10, lv] = 1
    classes[among, 5:9, rv] = 2
    return classes


def placed() -> VolumeGrid:
    return placed_grid(oblique_stack(3), range(3), SPACING_MM)


def measured(
    said: Classes, true: Classes, grid: VolumeGrid | None = None
) -> tuple[dict[str, float], Counter[str]]:
    counts: Counter[str] = Counter()
    return segmentation_measures(said, true, NAMES, grid or placed(), counts), counts


def test_every_structure_has_its_measures_in_mm_and_ml_and_the_means_weigh_structures_alike() -> None:
    said, true = hearts(lv=slice(3, 9)), hearts()
    found, counts = measured(said, true)
    assert not counts
    surfaces = surface_distances(said == 1, true == 1, placed())
    assert surfaces is not None
    assert found["assd LV cavity (mm)"] == surfaces.average()
    assert found["hd95 LV cavity (mm)"] == surfaces.percentile(95) == pytest.approx(SPACING_MM)
    assert found["assd mean (mm)"] == pytest.approx((surfaces.average() + 0.0) / 2)
    assert found["contour distance RV cavity (mm)"] == 0.0
    voxel_ml = SPACING_MM**2 * 8.0 / 1000
    assert found["volume LV cavity (ml)"] == pytest.approx(3 * 6 * 6 * voxel_ml)
    assert found["true volume LV cavity (ml)"] == pytest.approx(3 * 6 * 5 * voxel_ml)
    assert found["volume error LV cavity (ml)"] == pytest.approx(3 * 6 * voxel_ml)
    assert found["dice mean"] == pytest.approx((2 * 90 / (90 + 108) + 1) / 2)


def test_without_a_distance_of_slices_all_distances_are_in_voxels_and_there_are_no_volumes() -> None:
    found, _ = measured(hearts(lv=slice(3, 9)), hearts(), counted_grid(range(3), SPACING_MM))
    assert found["hd95 LV cavity (voxels)"] == 1.0
    in_mm, _ = measured(hearts(lv=slice(3, 9)), hearts())
    # A contour lies within its slice, so that its distance is the same but for the size of a pixel.
    contour = found["contour distance LV cavity (voxels)"]
    assert contour == pytest.approx(in_mm["contour distance LV cavity (mm)"] / SPACING_MM) != 0
    assert not any("(ml)" in name or "(mm)" in name for name in found)


def test_a_missed_contour_costs_the_diagonal_of_a_slice_in_the_unit_of_the_grid() -> None:
    found, _ = measured(hearts(rv=slice(0, 0)), hearts(), counted_grid(range(3), SPACING_MM))
    assert found["contour distance RV cavity (voxels)"] == pytest.approx(math.hypot(15, 19))


def test_a_missed_structure_costs_the_diagonal_and_is_counted() -> None:
    for said, true in ((hearts(rv=slice(0, 0)), hearts()), (hearts(), hearts(rv=slice(0, 0)))):
        found, counts = measured(said, true)
        diagonal = math.sqrt((2 * 8.0) ** 2 + SPACING_MM**2 * (15**2 + 19**2))
        assert found["dice RV cavity"] == 0.0
        assert found["assd RV cavity (mm)"] == pytest.approx(diagonal)
        assert found["hd95 RV cavity (mm)"] == pytest.approx(diagonal)
        assert found["contour distance RV cavity (mm)"] == pytest.approx(SPACING_MM * math.hypot(15, 19))
        where = "prediction" if not (said == 2).any() else "truth"
        alone = "truth" if where == "prediction" else "prediction"
        assert counts == {
            f"dice RV cavity: empty in {where}": 1,
            "assd and hd95 RV cavity: the volume's diagonal": 1,
            "contour distance RV cavity: the slice's diagonal": 1,
            f"contour distance RV cavity: slices only in {alone}": 3,
        }


def test_a_structure_that_is_in_neither_is_agreement_and_is_counted() -> None:
    found, counts = measured(hearts(rv=slice(0, 0)), hearts(rv=slice(0, 0)))
    assert found["dice RV cavity"] == 1.0
    assert found["assd RV cavity (mm)"] == found["contour distance RV cavity (mm)"] == 0.0
    assert counts == {"dice RV cavity: empty in both": 1}


def test_slices_without_both_contours_are_counted() -> None:
    _, counts = measured(hearts(among=slice(0, 2)), hearts(among=slice(1, 3)))
    assert counts["contour distance LV cavity: slices only in truth"] == 1
    assert counts["contour distance LV cavity: slices only in prediction"] == 1


def test_voxels_that_nobody_annotated_count_for_neither() -> None:
    said, true = hearts(), hearts()
    said[0, :, 0] = 1
    true[0, :, 0] = 255
    assert measured(said, true)[0] == measured(hearts(), hearts())[0]


@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")
@pytest.mark.filterwarnings("ignore:the (prediction|ground truth) of class:UserWarning")
def test_missing_a_structure_never_improves_a_mean_as_it_does_with_monais_defaults() -> None:
    def one_hot(classes: Classes) -> torch.Tensor:
        return torch.from_numpy(np.stack([classes == number for number in range(3)])[None]).float()

    poor, missed, true = hearts(rv=slice(15, 19)), hearts(rv=slice(0, 0)), hearts()
    ours = [measured(said, true)[0] for said in (poor, missed)]
    for name in ("assd mean (mm)", "hd95 mean (mm)", "contour distance mean (mm)"):
        assert ours[1][name] > ours[0][name]
    assert ours[1]["dice mean"] <= ours[0]["dice mean"]
    peers = []
    for said in (poor, missed):
        metric = HausdorffDistanceMetric(percentile=95)
        metric(one_hot(said), one_hot(true))
        peers.append(float(metric.aggregate()))
    assert peers[1] < peers[0]  # the missed structure is NaN there, and left out
    invented = DiceMetric(include_background=False)
    invented(one_hot(hearts()), one_hot(missed))
    assert float(invented.aggregate()) == 1.0  # an invented structure is left out, too
    assert measured(hearts(), missed)[0]["dice mean"] == 0.5


def test_nothing_is_ever_infinite_or_undefined() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        said, true = (
            (rng.integers(0, 3, SHAPE) * (rng.random((3, 1, 1)) < 0.5)).astype(np.uint8) for _ in range(2)
        )
        true[rng.random(SHAPE) < 0.1] = 255
        for grid in (placed(), counted_grid(range(3), SPACING_MM)):
            assert np.isfinite(list(measured(said, true, grid)[0].values())).all()
