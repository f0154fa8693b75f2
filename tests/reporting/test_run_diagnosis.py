"""The diagnosis from a run's segmentations stands beside the one from manual ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dicomgeom.errors import IntegrityError
from reporting.report import write_report
from reporting.run_diagnosis import diagnosis_tables
from tests.reporting.written_runs import written_run

PATIENT = "ab" * 16


def diagnosis() -> dict[str, Any]:
    manual = {
        "auc": {"auc DCM": 0.95, "auc NOR": None},
        "auc_interval": {"auc DCM": [0.9, 1.0], "auc NOR": None},
        "accuracy": 0.8,
        "confusion": [[3, 1], [0, 6]],
        "patients": {PATIENT: {"true": 0}},
    }
    automatic = {**manual, "accuracy": 0.5}
    return {
        "split": "test",
        "classes": ["DCM", "NOR"],
        "trained_on": 40,
        "manual": manual,
        "automatic": automatic,
    }


def test_both_sources_of_features_stand_side_by_side() -> None:
    measures, manual, automatic = diagnosis_tables(diagnosis())
    assert measures.rows == (
        ("auc DCM", "0.95 (0.9 to 1)", "0.95 (0.9 to 1)"),
        ("auc NOR", "", ""),
        ("accuracy", "0.8", "0.5"),
    )
    assert measures.caption == "Diagnosis of 1 test patient"
    assert manual.rows == (("DCM", "3", "1"), ("NOR", "0", "6"))
    assert automatic.caption == "Who was taken for whom, from the run's segmentations"


def test_volumes_with_unreadable_images_are_told() -> None:
    told = diagnosis() | {"trained_without": 2}
    told["manual"] = told["manual"] | {"volumes_left_out": 1}
    told["automatic"] = told["automatic"] | {"volumes_left_out": 3}
    measures, *_ = diagnosis_tables(told)
    assert measures.rows[-1] == ("volumes left out, with unreadable images", "1", "3")
    assert measures.note.endswith("without 2 volumes of theirs that have unreadable images")


def test_a_run_that_was_not_asked_shows_none() -> None:
    assert list(diagnosis_tables({})) == []


def test_it_is_part_of_the_runs_page_and_names_no_whole_key(tmp_path: Path) -> None:
    run = written_run(tmp_path / "run", dice=0.5)
    (run / "diagnosis.json").write_text(json.dumps(diagnosis()))
    page = write_report(run, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Diagnosis of 1 test patient" in page
    assert PATIENT not in page


def test_a_damaged_one_is_refused(tmp_path: Path) -> None:
    run = written_run(tmp_path / "run", dice=0.5)
    (run / "diagnosis.json").write_text("[]")
    with pytest.raises(IntegrityError, match=r"diagnosis\.json is damaged.*diagnose the run again"):
        write_report(run, tmp_path / "r.html")
