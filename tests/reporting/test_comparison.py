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
