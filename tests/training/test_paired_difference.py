from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from training.intervals import mean_interval
from training.paired_difference import paired_difference, permutation_p, wilcoxon_p


def by_patient(values: list[float]) -> dict[str, float]:
    return {f"{number:02d}": value for number, value in enumerate(values)}


def test_patients_are_paired_by_key_and_those_in_one_run_only_are_counted() -> None:
    first = {"a": 0.8, "b": 0.7, "c": 0.9, "only": 0.1}
    second = {"c": 0.6, "b": 0.75, "a": 0.6}
    found = paired_difference(first, second)
    assert found is not None
    apart = np.array([0.2, -0.05, 0.3])
    assert (found.patients, found.only_first, found.only_second) == (3, 1, 0)
    assert (found.first, found.second) == pytest.approx((0.8, 0.65))
    assert found.difference == pytest.approx(apart.mean())
    assert found.sd == pytest.approx(apart.std(ddof=1))
    assert found.interval == pytest.approx(mean_interval(apart))


def test_a_small_difference_within_patients_is_seen_through_a_large_one_between_them() -> None:
    rng = np.random.default_rng(0)
    level = rng.normal(0.7, 0.2, 25)
    found = paired_difference(
        by_patient(list(level + 0.02 + rng.normal(0, 0.01, 25))), by_patient(list(level))
    )
    assert found is not None
    assert found.interval is not None
    assert found.interval[0] > 0.01
    assert found.permutation_p is not None
    assert found.permutation_p < 0.001
    assert stats.ttest_ind(level + 0.02, level).pvalue > 0.5


def test_the_permutation_p_of_few_patients_counts_every_change_of_signs() -> None:
    apart = np.random.default_rng(1).normal(0.5, 1.0, 7)
    means = [np.mean(np.array(signs) * apart) for signs in product((1, -1), repeat=7)]
    wanted = np.mean(np.abs(means) >= abs(apart.mean()) - 1e-12)
    assert permutation_p(apart) == pytest.approx(wanted)
    peer = stats.permutation_test((apart,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert permutation_p(apart) == pytest.approx(peer.pvalue)


def test_the_permutation_p_of_many_patients_equals_that_of_scipy() -> None:
    apart = np.random.default_rng(2).normal(0.25, 1.0, 40)
    peer = stats.permutation_test(
        (apart,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0)
    )
    assert permutation_p(apart) == pytest.approx(peer.pvalue, abs=0.01)
    assert permutation_p(apart) == permutation_p(apart)


def test_the_wilcoxon_p_equals_that_of_scipy_and_is_1_where_nobody_differs() -> None:
    apart = np.random.default_rng(3).normal(0.3, 1.0, 30)
    assert wilcoxon_p(apart) == pytest.approx(stats.wilcoxon(apart).pvalue)
    assert wilcoxon_p(np.zeros(5)) == permutation_p(np.zeros(5)) == 1.0


def test_under_the_null_small_p_are_rare() -> None:
    rng = np.random.default_rng(4)
    small = np.mean([permutation_p(rng.normal(size=10)) <= 0.05 for _ in range(300)])
    assert small < 0.09


def test_one_common_patient_has_a_difference_without_a_test_and_none_has_none() -> None:
    found = paired_difference({"a": 1.0}, {"a": 0.5})
    assert found is not None
    assert (found.difference, found.sd, found.interval, found.permutation_p) == (0.5, None, None, None)
    assert paired_difference({"a": 1.0}, {"b": 1.0}) is None
