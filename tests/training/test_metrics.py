from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pretext_targets.drawing import draw_heatmaps
from training.metrics import class_overlaps, dice_overlap, fitted_line, line_errors, location_measures

ROWS, COLUMNS = 60, 80


def test_dice_equals_that_of_simpleitk() -> None:
    rng = np.random.default_rng(0)
    said, true = rng.integers(0, 3, (4, 20, 20)), rng.integers(0, 3, (4, 20, 20))
    found = class_overlaps(said, true, (1, 2))
    judge = sitk.LabelOverlapMeasuresImageFilter()
    judge.Execute(
        sitk.GetImageFromArray(said.astype(np.uint8)), sitk.GetImageFromArray(true.astype(np.uint8))
    )
    for overlap, number in zip(found, (1, 2), strict=True):
        assert overlap.dice == pytest.approx(judge.GetDiceCoefficient(number), abs=1e-12)


def test_empty_masks_have_a_policy() -> None:
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    said = [dice_overlap(a, b) for a, b in ((empty, empty), (full, empty), (empty, full), (full, full))]
    assert [(one.dice, one.empty) for one in said] == [
        (1.0, "both"),
        (0.0, "truth"),
        (0.0, "prediction"),
        (1.0, ""),
    ]


def test_pixels_nobody_annotated_do_not_count() -> None:
    true = np.array([[1, 255], [0, 255]])
    assert class_overlaps(np.array([[1, 1], [0, 1]]), true, (1,))[0].dice == 1.0


def test_location_measures_equal_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 1, 50)
    said = 0.8 * true + 0.05 + rng.normal(0, 0.1, 50)
    found = location_measures(np.append(said, [1.0, np.nan]), np.append(true, [np.nan, 0.3]))
    line = stats.linregress(true, said)
    assert found["count"] == 50
    assert found["mse"] == pytest.approx(np.mean((said - true) ** 2))
    assert found["mae"] == pytest.approx(np.mean(np.abs(said - true)))
    assert found["r"] == pytest.approx(stats.pearsonr(said, true).statistic)
    assert (found["slope"], found["intercept"]) == pytest.approx((line.slope, line.intercept))
    residual = ((said - true) ** 2).sum()
    assert found["r2"] == pytest.approx(1 - residual / ((true - true.mean()) ** 2).sum())
    assert found["explained_variance"] == pytest.approx(1 - np.var(said - true) / np.var(true))


def test_location_measures_are_undefined_where_nothing_varies() -> None:
    assert location_measures([], [])["count"] == 0
    lone = location_measures([0.5, 0.6], [0.4, 0.4])
    assert lone["mae"] == pytest.approx(0.15)
    assert math.isnan(lone["r"])
    assert math.isnan(lone["r2"])


@given(
    angle=st.floats(-math.pi, math.pi),
    x=st.floats(5, COLUMNS - 5),
    y=st.floats(5, ROWS - 5),
    sigma=st.floats(2.0, 6.0),
    height=st.floats(0.3, 1.5),
)
@settings(max_examples=100)
def test_a_line_is_found_again_in_its_heatmap(
    angle: float, x: float, y: float, sigma: float, height: float
) -> None:
    line = np.array([math.cos(angle), math.sin(angle), -x * math.cos(angle) - y * math.sin(angle)])
    heatmap = height * draw_heatmaps(line[None], sigma, ROWS, COLUMNS)[0]
    found = fitted_line(heatmap)
    assert found is not None
    angle_deg, offset_mm = line_errors(found, line, ROWS, COLUMNS, 1.0)
    assert angle_deg < 0.05
    # The foot point may lie beyond the corner that the line cuts off.
    assert offset_mm < 0.05


def test_a_noisy_heatmap_still_gives_its_line() -> None:
    line = np.array([0.8, 0.6, -45.0])
    rng = np.random.default_rng(0)
    heatmap = draw_heatmaps(line[None], 5.0, ROWS, COLUMNS)[0] * 0.8 + rng.normal(0, 0.03, (ROWS, COLUMNS))
    found = fitted_line(heatmap)
    assert found is not None
    angle, offset = line_errors(found, line, ROWS, COLUMNS, 2.0)
    assert angle < 1.0
    assert offset < 1.0


def test_a_flat_or_faint_heatmap_has_no_line() -> None:
    assert fitted_line(np.full((ROWS, COLUMNS), 0.01)) is None
    assert fitted_line(np.ones((ROWS, COLUMNS))) is None
    assert fitted_line(np.full((ROWS, COLUMNS), np.nan)) is None


def test_angle_and_offset_are_in_degrees_and_mm_and_have_no_sign() -> None:
    upright = np.array([1.0, 0.0, -30.0])
    assert line_errors(-upright, upright, ROWS, COLUMNS, 1.5) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert line_errors(np.array([1.0, 0.0, -34.0]), upright, ROWS, COLUMNS, 1.5) == pytest.approx((0.0, 6.0))
    tilt = math.radians(10)
    # Turned about the point of the true line that is level with the middle of the image.
    turned = np.array(
        [math.cos(tilt), math.sin(tilt), -30 * math.cos(tilt) - (ROWS - 1) / 2 * math.sin(tilt)]
    )
    assert line_errors(turned, upright, ROWS, COLUMNS, 1.5) == pytest.approx((10.0, 0.0), abs=1e-9)
