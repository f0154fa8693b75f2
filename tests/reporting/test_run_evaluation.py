"""Evaluations are shown with all they rest on, whatever measures they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reporting.report import write_report
from reporting.run_evaluation import (
    ANCESTORS_UNKNOWN,
    PATIENTS_LISTED,
    PATIENTS_NOT_COMPARABLE,
    evaluation_tables,
    ground_rows,
    warnings_of,
)
from reporting.run_files import read_evaluation
from tests.reporting.written_runs import write_evaluation, written_run


def evaluation(**said: Any) -> dict[str, Any]:
    task = {
        "images": 6,
        "volumes": 4,
        "volumes_incomplete": 1,
        "patients": {"ab" * 16: {"dice": 0.5, "assd (mm)": 2.0}, "cd" * 16: {"dice": 1.0}},
        "mean": {"dice": 0.75, "assd (mm)": 2.0},
        "median": {"dice": 0.75, "assd (mm)": 2.0},
        "sd": {"dice": 0.3536, "assd (mm)": None},
        "interval": {"dice": [0.5, 1.0], "assd (mm)": None},
        "measured": {"dice": 2, "assd (mm)": 1},
        "all_slices": {"r": 0.9},
        "all_slices_interval": {"r": [0.8, 0.95]},
        "auc": {"ACL tear": 0.91, "mean": None},
        "auc_interval": {"ACL tear": [0.7, 0.99]},
        "counts": {"dice: empty in truth": 3},
    }
    return {"split": "test", "tasks": {"segmentation": task}, **said}


def test_means_stand_with_their_spreads_and_intervals() -> None:
    means, *_ = evaluation_tables(evaluation())
    assert means.columns == (
        "measure", "mean", "median", "sd over patients", "95 % interval of the mean", "patients"
    )  # fmt: skip
    assert means.rows == (
        ("dice", "0.75", "0.75", "0.3536", "0.5 to 1", "2"),
        ("assd (mm)", "2", "2", "", "", "1"),
        ("r, all slices", "0.9", "", "", "0.8 to 0.95", ""),
        ("area under the curve, ACL tear", "0.91", "", "", "0.7 to 0.99", ""),
        ("area under the curve, mean", "", "", "", "", ""),
        ("dice: empty in truth", "3", "", "", "", ""),
    )
    assert means.caption == "segmentation: 6 images of 2 test patients"


def test_statistics_that_an_evaluation_lacks_take_no_column() -> None:
    said = evaluation()
    for name in ("median", "interval", "measured", "all_slices_interval", "auc_interval"):
        del said["tasks"]["segmentation"][name]
    means, *_ = evaluation_tables(said)
    assert means.columns == ("measure", "mean", "sd over patients")


def test_patients_are_named_by_short_keys_and_can_be_filtered() -> None:
    *_, patients = evaluation_tables(evaluation())
    assert patients.columns == ("patient", "dice", "assd (mm)")
    assert patients.rows == (("ababababab", "0.5", "2"), ("cdcdcdcdcd", "1", ""))
    assert [one.patient for one in patients.facets] == ["ababababab", "cdcdcdcdcd"]


def test_many_patients_are_counted_and_not_all_listed(tmp_path: Path) -> None:
    folder = written_run(tmp_path / "run", dice=0.5)
    write_evaluation(folder, {f"{number:032x}": {"dice": 0.5} for number in range(PATIENTS_LISTED + 3)})
    *_, patients = evaluation_tables(read_evaluation(folder))
    assert len(patients.rows) == PATIENTS_LISTED
    assert patients.note == "3 more patients not listed"


@pytest.mark.parametrize(
    ("said", "answers", "warned"),
    [
        (
            {"ancestors_known": True, "patients_comparable": True, "images_left_out": 0},
            ["yes", "yes", "0"],
            [],
        ),
        (
            {"ancestors_known": False, "patients_comparable": False, "images_left_out": 2},
            ["no", "no", "2"],
            [
                ANCESTORS_UNKNOWN,
                PATIENTS_NOT_COMPARABLE,
                "2 images of the split could not be read: not measured.",
            ],
        ),
        ({}, ["not told", "not told", "not told"], []),
    ],
)
def test_what_the_measures_rest_on_is_shown_and_doubts_stand_first(
    said: dict[str, Any], answers: list[str], warned: list[str], tmp_path: Path
) -> None:
    assert [answer for _, answer in ground_rows(evaluation(**said))] == [*answers, "4, 1 incomplete"]
    assert list(warnings_of(evaluation(**said))) == warned
    folder = written_run(tmp_path / "run", dice=0.5, **said)
    page = write_report(folder, tmp_path / "r.html").read_text(encoding="utf-8")
    assert all(f'<p class="notice">{one}</p>' in page for one in warned)
    assert "What the measures rest on" in page


def test_a_run_that_was_not_measured_has_no_tables() -> None:
    assert list(evaluation_tables({})) == []
