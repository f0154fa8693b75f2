"""Intervals of means over patients and subsets, against SciPy and against draws with a known mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from training.experiments.crossed_interval import crossed_interval


def students(values: np.ndarray) -> tuple[float, float]:
    """SciPy's interval of a mean."""
    interval = ttest_1samp(values, 0.0).confidence_interval(0.95)
    return float(interval.low), float(interval.high)


def test_with_one_subset_the_interval_is_students_over_patients() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.1, 40)
    assert crossed_interval(values[None]) == pytest.approx(students(values), rel=1e-9)


def test_subsets_that_agree_on_every_patient_add_nothing() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.1, 40)
    assert crossed_interval(np.tile(values, (3, 1))) == pytest.approx(students(values), rel=1e-9)


def test_patients_that_agree_on_every_subset_leave_students_over_subsets() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.1, 5)
    assert crossed_interval(np.tile(values[:, None], (1, 30))) == pytest.approx(students(values), rel=1e-9)


def test_the_variance_is_that_of_the_analysis_of_variance_by_hand() -> None:
    values = np.array([[1.0, 2.0, 6.0], [2.0, 5.0, 8.0]])
    # Means of subsets 3 and 5, of patients 1.5, 3.5 and 7, of all 4.
    from_subsets, from_patients = 2.0 / 2, (2.5**2 + 0.5**2 + 3.0**2) / 2 / 3
    rest = np.array([[0.5, -0.5, 0.0], [-0.5, 0.5, 0.0]])
    variance = from_subsets + from_patients - (rest**2).sum() / 2 / 6
    freedom = variance**2 / (from_subsets**2 / 1 + from_patients**2 / 2)
    found = crossed_interval(values)
    assert found is not None
    assert (found[0] + found[1]) / 2 == pytest.approx(4.0)
    # Student's 97.5 % quantiles of 2 and of 3 degrees of freedom, from a printed table; ours lies between.
    assert 2.0 < freedom < 3.0
    assert 3.182 < (found[1] - found[0]) / 2 / variance**0.5 < 4.303


@pytest.mark.parametrize("subsets", [2, 3, 5, 10])
@pytest.mark.parametrize("sd_of_subsets", [0.0, 0.05, 0.2])
def test_the_mean_is_covered_about_as_often_as_the_interval_says(subsets: int, sd_of_subsets: float) -> None:
    rng, covered, tables = np.random.default_rng(6), 0, 600
    for _ in range(tables):
        values = (
            rng.normal(0, sd_of_subsets, (subsets, 1))
            + rng.normal(0, 0.05, (1, 21))
            + rng.normal(0, 0.08, (subsets, 21))
        )
        low, high = crossed_interval(values) or (0.0, 0.0)
        covered += low <= 0.0 <= high
    assert (0.88 if subsets == 2 else 0.92) <= covered / tables < 0.995


def test_a_patient_without_a_value_in_one_subset_still_counts_in_the_others() -> None:
    rng = np.random.default_rng(7)
    values = 0.8 + rng.normal(0, 0.05, (4, 1)) + rng.normal(0, 0.05, (1, 30)) + rng.normal(0, 0.02, (4, 30))
    whole = crossed_interval(values)
    values[2, 5] = np.nan
    one_less = crossed_interval(values)
    assert one_less == pytest.approx(whole, abs=0.005)
    assert one_less != whole


def test_one_patient_has_no_interval() -> None:
    assert crossed_interval(np.array([[0.9], [0.8]])) is None
