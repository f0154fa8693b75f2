from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import explained_variance_score, mean_absolute_error, mean_squared_error, r2_score

from training.metrics import class_overlaps, dice_overlap, location_measures


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


def test_location_measures_equal_those_of_sklearn() -> None:
    rng = np.random.default_rng(1)
    true = rng.uniform(0, 1, 40)
    said = true**2 + rng.normal(0, 0.1, 40)
    found = location_measures(said, true)
    line = LinearRegression().fit(true[:, None], said)
    assert found["mse"] == pytest.approx(mean_squared_error(true, said))
    assert found["mae"] == pytest.approx(mean_absolute_error(true, said))
    assert found["r2"] == pytest.approx(r2_score(true, said))
    assert found["explained_variance"] == pytest.approx(explained_variance_score(true, said))
    assert (found["slope"], found["intercept"]) == pytest.approx((line.coef_[0], line.intercept_))


def test_location_measures_are_undefined_where_nothing_varies() -> None:
    assert location_measures([], [])["count"] == 0
    lone = location_measures([0.5, 0.6], [0.4, 0.4])
    assert lone["mae"] == pytest.approx(0.15)
    assert math.isnan(lone["r"])
    assert math.isnan(lone["r2"])
