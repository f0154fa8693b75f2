from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from training.experiments.tables import Entry, Table, _entry, crossed_interval, markdown


def test_with_one_subset_the_interval_is_the_bootstrap_over_patients() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.1, 40)
    low, high = crossed_interval(values[None]) or (0.0, 0.0)
    other = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=5).confidence_interval
    assert (low, high) == pytest.approx((other.low, other.high), abs=0.004)


def test_subsets_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    patients = rng.normal(0.0, 0.05, 30)
    equal = np.tile(0.6 + patients, (5, 1))
    differing = equal + np.array([-0.2, -0.1, 0.0, 0.1, 0.2])[:, None]
    narrow, wide = crossed_interval(equal), crossed_interval(differing)
    assert narrow is not None
    assert wide is not None
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])


def test_intervals_of_crossed_draws_cover_the_mean_about_as_often_as_they_say() -> None:
    rng, covered = np.random.default_rng(6), 0
    for _ in range(200):
        values = rng.normal(0, 0.1, (12, 1)) + rng.normal(0, 0.1, (1, 40)) + rng.normal(0, 0.05, (12, 40))
        low, high = crossed_interval(values, resamples=400) or (0.0, 0.0)
        covered += low <= 0.0 <= high
    assert 0.86 <= covered / 200 <= 0.99


def test_a_difference_is_taken_between_the_same_subsets_and_patients() -> None:
    values = {0: {"a": 0.5, "b": 0.7}, 1: {"a": 0.6, "b": 0.8}, 2: {"a": 0.9, "b": 0.9}}
    reference = {0: {"a": 0.4, "b": 0.5}, 1: {"a": 0.5, "c": 0.1}}
    entry = _entry(values, reference, wanted=4)
    assert entry is not None
    assert entry.mean == pytest.approx((0.6 + 0.7 + 0.9) / 3)
    assert entry.difference == pytest.approx(((0.1 + 0.2) / 2 + 0.1) / 2)
    assert (entry.subsets, entry.wanted_subsets, entry.patients) == (3, 4, 2)


def test_one_patient_has_a_mean_and_no_interval() -> None:
    entry = _entry({0: {"": 0.95}}, {}, wanted=1)
    assert entry is not None
    assert (entry.mean, entry.interval, entry.sd_over_subsets) == (0.95, None, None)


def test_a_table_says_what_has_not_run() -> None:
    done = Entry(0.5, None, (0.4, 0.6), 1, 3, 8, 0.1, (0.05, 0.15))
    table = Table("Title", "dice mean", "scratch", (1, 0), {"scratch": {}, "other": {1: done}})
    text = markdown([table])
    assert "| arm | n = 1 | all subjects |" in text
    assert "| scratch | not run | not run |" in text
    assert "| other | 0.500 [0.400, 0.600]; +0.100 [+0.050, +0.150] (1 of 3 subsets) | not run |" in text
