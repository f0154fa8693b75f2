from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from training.intervals import bootstrap_means, mean_interval, spread_of, statistic_intervals


def test_the_interval_of_a_mean_equals_that_of_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, 1.5, 40)
    found = mean_interval(values)
    peer = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found is not None
    length = peer.high - peer.low
    assert found == pytest.approx((peer.low, peer.high), abs=0.04 * length)


def test_about_95_of_100_intervals_cover_the_true_mean() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        ends = mean_interval(rng.normal(3.0, 2.0, 40), resamples=1000)
        assert ends is not None
        covered += ends[0] <= 3.0 <= ends[1]
    # 1.96 of the bootstrap's own deviation, sqrt(39/40) of the usual one, cover 93.9 %; 3 deviations of 600.
    expected = 2 * stats.t(39).cdf(1.96 * math.sqrt(39 / 40)) - 1
    assert covered / 600 == pytest.approx(expected, abs=3 * math.sqrt(expected * (1 - expected) / 600))


def test_resampled_means_have_the_deviation_of_the_equation() -> None:
    values = np.random.default_rng(2).normal(size=30)
    means = bootstrap_means(values)
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.std() == pytest.approx(values.std() / math.sqrt(30), rel=0.03)


def test_equal_seeds_give_equal_intervals_and_other_seeds_others() -> None:
    values = np.random.default_rng(3).normal(size=12)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)
    # The draws depend on how many there are: a measure in other units has the same interval in them.
    doubled = mean_interval(2 * values)
    assert doubled == pytest.approx(tuple(2 * end for end in mean_interval(values) or ()))


def test_many_patients_are_drawn_in_parts() -> None:
    values = np.random.default_rng(4).normal(size=3_000)
    low, high = mean_interval(values, resamples=2_000) or (0.0, 0.0)
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(3_000), rel=0.08)


def test_one_patient_has_a_mean_and_nothing_else() -> None:
    alone = spread_of([2.5])
    assert (alone.count, alone.mean, alone.median, alone.sd, alone.interval) == (1, 2.5, 2.5, None, None)
    two = spread_of([1.0, 4.0])
    assert two.sd == pytest.approx(np.std([1, 4], ddof=1))
    assert two.interval == (1.0, 4.0)


def test_the_interval_of_a_statistic_draws_patients_with_all_of_their_slices() -> None:
    rng = np.random.default_rng(5)
    # Slices of a patient are alike: drawn as if they were patients, the interval would be far too narrow.
    levels = rng.normal(size=20)
    patients = [np.full((9, 1), level) for level in levels]
    found = statistic_intervals(patients, lambda rows: {"mean": float(rows.mean())}, resamples=4_000)["mean"]
    wanted = mean_interval(levels)
    assert wanted is not None
    assert found == pytest.approx(wanted, abs=0.05 * (wanted[1] - wanted[0]))


def test_draws_that_leave_a_statistic_undefined_do_not_count() -> None:
    patients = [np.array([[1.0]]), np.array([[3.0]])]

    def spread(rows: np.ndarray) -> dict[str, float]:
        return {"spread": float(np.ptp(rows)) or float("nan"), "never": float("nan")}

    assert statistic_intervals(patients, spread) == {"spread": (2.0, 2.0)}
    assert statistic_intervals(patients[:1], spread) == {}
