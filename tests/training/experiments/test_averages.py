from __future__ import annotations

import pytest

from training.experiments.averages import _entry
from training.experiments.tables import Table, markdown


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


def test_what_is_measured_of_all_patients_at_once_tells_how_much_subsets_differ() -> None:
    entry = _entry({0: {"": 0.95}, 1: {"": 0.91}}, {}, wanted=2)
    assert entry is not None
    assert entry.interval is None
    table = Table("Title", "auc mean", "", (1,), {"one": {1: entry}})
    assert "| one | 0.930 (sd 0.028 over 2 subsets) |" in markdown([table])
