"""Runs are compared where they were measured on the same patients, and only there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reporting.comparison import comparison_section
from reporting.sections import Section, Table
from tests.reporting.written_runs import write_evaluation, written_run

A, B = "ab" * 16, "cd" * 16


def measured(folder: Path, values: dict[str, float], name: str = "dice", **said: object) -> Path:
    run = written_run(folder, dice=0.5)
    write_evaluation(run, {key: {name: value} for key, value in values.items()}, **said)
    return run


def measured_tasks(folder: Path, **tasks: dict[str, float]) -> Path:
    """A run with a task of each label, measured on one patient: label -> measures."""
    said = {label: {"patients": {A: values}, "mean": values} for label, values in tasks.items()}
    return measured(folder, {}, tasks=said)


def dice(**structures: float) -> dict[str, float]:
    """Measures of a segmentation, as `evaluate` calls them."""
    mean = {"dice mean": sum(structures.values()) / len(structures)}
    return {**{f"dice {name}": value for name, value in structures.items()}, **mean}


def section_of(*runs: Path) -> Section:
    section = comparison_section(runs, "comparison")
    assert section is not None
    return section


def table(section: Section, start: str) -> Table:
    return next(one for one in section.tables if one.caption.startswith(start))


def test_means_and_spreads_stand_side_by_side(tmp_path: Path) -> None:
    one, two = measured(tmp_path / "1", {A: 0.2, B: 0.4}), measured(tmp_path / "2", {A: 0.5, B: 0.9})
    section = section_of(one, two)
    means = table(section, "Mean ± sd over the same 2 test patients")
    assert means.columns == ("measure", "A", "B")
    assert means.rows == (("dice", "0.3 ± 0.1414", "0.7 ± 0.2828"),)
    assert table(section, "Runs").rows[0] == ("A", "segment-sax, from scratch, seed 0")


def test_the_difference_is_taken_patient_by_patient(tmp_path: Path) -> None:
    one, two = measured(tmp_path / "1", {A: 0.2, B: 0.4}), measured(tmp_path / "2", {A: 0.5, B: 0.9})
    rows = table(section_of(one, two), "B minus A").rows
    assert rows == (("dice", "0.4", "0.3 to 0.5", "0.5", "2"),)


def test_each_patient_is_a_dot(tmp_path: Path) -> None:
    one, two = measured(tmp_path / "1", {A: 0.2, B: 0.4}), measured(tmp_path / "2", {A: 0.5, B: 0.9})
    (chart,) = section_of(one, two).spreads
    assert [(row.name, len(row.dots)) for row in chart.rows] == [("A", 2), ("B", 2)]
    assert chart.rows[0].mean < chart.rows[1].mean
    assert chart.rows[0].told == "mean 0.3 of 2"


def test_groups_of_runs_on_other_patients_are_compared_apart(tmp_path: Path) -> None:
    runs = [measured(tmp_path / f"{n}", {A: 0.1 * n, B: 0.2}) for n in (1, 2)]
    runs += [measured(tmp_path / f"{n}", {A: 0.1 * n}) for n in (3, 4)]
    runs += [measured(tmp_path / "5", {B: 0.5})]
    section = section_of(*runs)
    columns = [one.columns for one in section.tables if one.caption.startswith("Mean")]
    assert columns == [("measure", "A", "B"), ("measure", "C", "D")]
    assert section.notes == ("Measured on other patients, another split or protocol, so not compared: E.",)


def test_runs_measured_on_other_stores_are_compared_apart_and_it_is_said(tmp_path: Path) -> None:
    stores = ("aa", "aa", "bb", "bb", "cc")
    runs = [measured(tmp_path / f"{n}", {A: 0.1 * n}, store=store) for n, store in enumerate(stores)]
    section = section_of(*runs)
    columns = [one.columns for one in section.tables if one.caption.startswith("Mean")]
    assert columns == [("measure", "A", "B"), ("measure", "C", "D")]
    said = "The same patients, but another store, so not compared with each other: A, B; C, D; E."
    assert section.notes == (said,)


def test_that_two_runs_were_measured_on_two_stores_is_said_though_nothing_is_compared(tmp_path: Path) -> None:
    runs = [measured(tmp_path / store, {A: 0.5}, store=store) for store in ("aa", "bb")]
    for run in runs:
        said = json.loads((run / "run.json").read_text())
        said["stores"] = {"main": {"plan_sha256": run.name}}
        (run / "run.json").write_text(json.dumps(said))
    section = section_of(*runs)
    assert section.notes == ("The same patients, but another store, so not compared with each other: A; B.",)
    assert [one.caption for one in section.tables] == ["Runs"]


def test_a_run_of_one_task_is_compared_with_one_of_several(tmp_path: Path) -> None:
    one = measured_tasks(tmp_path / "1", target=dice(LV=0.5, RV=0.7))
    two = measured_tasks(tmp_path / "2", app={"box dice mean": 0.1}, segmentation=dice(LV=0.6, RV=0.8))
    section = section_of(one, two)
    assert table(section, "Mean").rows == (
        ("dice mean", "0.6", "0.7"),
        ("dice LV", "0.5", "0.6"),
        ("dice RV", "0.7", "0.8"),
    )
    assert [row[:2] for row in table(section, "B minus A").rows] == [
        ("dice mean", "0.1"),
        ("dice LV", "0.1"),
        ("dice RV", "0.1"),
    ]


def test_a_measure_that_a_run_has_in_several_tasks_is_told_by_its_task(tmp_path: Path) -> None:
    tasks = {"first": {"dice LV": 0.5, "assd LV (mm)": 1.0}, "second": {"dice LV": 0.7}}
    one, two = (measured_tasks(tmp_path / name, **tasks) for name in ("1", "2"))
    rows = table(section_of(one, two), "Mean").rows
    assert [row[0] for row in rows] == ["first: dice LV", "second: dice LV", "assd LV (mm)"]


def test_means_over_other_structures_are_not_compared(tmp_path: Path) -> None:
    one = measured_tasks(tmp_path / "1", segmentation=dice(LV=0.5, RV=0.7))
    two = measured_tasks(tmp_path / "2", segmentation=dice(LV=0.9))
    section = section_of(one, two)
    assert table(section, "Mean").rows == (("dice LV", "0.5", "0.9"),)
    assert "means over others are not compared" in table(section, "Mean").note
    assert [row[0] for row in table(section, "B minus A").rows] == ["dice LV"]
    assert [chart.title for chart in section.spreads] == ["dice LV"]
    three = measured_tasks(tmp_path / "3", segmentation=dice(LV=0.8, RV=0.9))
    rows = table(section_of(one, two, three), "Mean").rows
    assert rows[0] == ("dice mean of LV, RV", "0.6", "", "0.85")
    assert table(section_of(one, three), "Mean").note == ""


def test_what_the_measures_rest_on_is_compared_too(tmp_path: Path) -> None:
    one = measured(tmp_path / "1", {A: 0.2}, ancestors_known=True)
    two = measured(tmp_path / "2", {A: 0.2}, ancestors_known=False)
    rows = {row[0]: row[1:] for row in table(section_of(one, two), "What the measures rest on").rows}
    assert rows["trained on whom: known for all initial weights"] == ("yes", "no")


@pytest.mark.parametrize("same_store", [True, False])
def test_curves_are_drawn_together_when_the_same_patients_were_held_out(
    same_store: bool, tmp_path: Path
) -> None:
    runs = [measured(tmp_path / name, {A: 0.5}) for name in ("1", "2")]
    for run, plan in zip(runs, ("aa", "aa" if same_store else "bb"), strict=True):
        said = json.loads((run / "run.json").read_text())
        said["stores"] = {"main": {"plan_sha256": plan}}
        (run / "run.json").write_text(json.dumps(said))
    charts = section_of(*runs).charts
    assert [[curve.name for curve in chart.curves] for chart in charts] == (
        [["A", "B"]] if same_store else []
    )


def test_one_run_or_none_is_no_comparison(tmp_path: Path) -> None:
    assert comparison_section([measured(tmp_path / "1", {A: 0.5})], "comparison") is None
    assert comparison_section([], "comparison") is None
