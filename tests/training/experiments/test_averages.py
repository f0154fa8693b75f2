from __future__ import annotations

from pathlib import Path

import pytest

from training.checkpoint import write_json
from training.experiments.averages import _entry, make_tables
from training.experiments.cells import plan_grid
from training.experiments.grid import load_grid
from training.experiments.running import Room
from training.experiments.tables import Ran, Table, markdown


def test_a_difference_is_taken_between_the_same_subsets_and_patients() -> None:
    values = {0: {"a": 0.5, "b": 0.7}, 1: {"a": 0.6, "b": 0.8}, 2: {"a": 0.9, "b": 0.9}}
    reference = {0: {"a": 0.4, "b": 0.5}, 1: {"a": 0.5, "c": 0.1}}
    entry = _entry(values, reference, wanted=4)
    assert entry is not None
    assert entry.mean == pytest.approx((0.6 + 0.7 + 0.9) / 3)
    assert entry.difference == pytest.approx(((0.1 + 0.2) / 2 + 0.1) / 2)
    assert (entry.subsets, entry.wanted_subsets, entry.patients) == (3, 4, 2)
    assert entry.shared_subsets == 2


def test_a_difference_over_one_shared_subset_counts_one() -> None:
    values = {subset: {"a": 0.5, "b": 0.7 + subset / 10} for subset in range(3)}
    entry = _entry(values, {0: {"a": 0.4, "b": 0.5}, 1: {}}, wanted=3)
    assert entry is not None
    assert (entry.subsets, entry.shared_subsets) == (3, 1)


def test_one_patient_has_a_mean_and_no_interval() -> None:
    entry = _entry({0: {"": 0.95}}, {}, wanted=1)
    assert entry is not None
    assert (entry.mean, entry.interval, entry.sd_over_subsets) == (0.95, None, None)


def test_what_is_measured_of_all_patients_at_once_tells_how_much_subsets_differ() -> None:
    entry = _entry({0: {"": 0.95}, 1: {"": 0.91}}, {}, wanted=2)
    assert entry is not None
    assert entry.interval is None
    table = Table("Title", "auc mean", "", (1,), {"one": {1: entry}}, {"one": {1: Ran(2, 2)}})
    assert "| one | 0.930 (sd 0.028 over 2 subsets) |" in markdown([table])


def test_what_has_run_without_a_measure_is_told_apart_from_what_has_not_run(
    grid_file: Path, tmp_path: Path
) -> None:
    grid, plans = load_grid(grid_file), {"pretext": "one", "labelled": "other"}
    plan, room = plan_grid(grid, "paper", plans), Room(tmp_path, {}, plans)
    for trial in plan.trials:
        measured = room.measured(trial.cell, trial.test)
        measured.parent.mkdir(parents=True, exist_ok=True)
        # The reference of one subject has no Dice in its first subset, its second has not run.
        one = {"hd95 mean (voxels)": 3.0} | ({"dice mean": 0.5} if trial.arm == "from location" else {})
        if (trial.arm, trial.subset) != ("scratch", 1):
            write_json(measured, {"tasks": {"any": {"patients": {"a": one, "b": one}}}})
    dice, location = make_tables(grid, plan, room)
    assert dice.ran["scratch"] == {1: Ran(1, 2), 2: Ran(1, 1)}
    assert dice.spelled("scratch") == ["no such measure (1 of 2 subsets)", "no such measure"]
    assert dice.rows["from location"][1].subsets == dice.ran["from location"][1].subsets == 2
    assert location.spelled("location itself") == ["no such measure", "no such measure"]


def test_what_has_run_of_a_reference_that_is_no_row_is_told_too(grid_file: Path, tmp_path: Path) -> None:
    rows = 'arms = ["scratch", "from location"]'
    grid_file.write_text(grid_file.read_text().replace(rows, 'arms = ["from location"]'))
    grid, plans = load_grid(grid_file), {"pretext": "one", "labelled": "other"}
    dice, _ = make_tables(grid, plan_grid(grid, "paper", plans), Room(tmp_path, {}, plans))
    assert list(dice.rows) == ["from location"]
    assert dice.ran["scratch"] == {1: Ran(0, 2), 2: Ran(0, 1)}
    assert dice.spelled("from location") == ["not run", "not run"]
