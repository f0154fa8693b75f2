from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicomgeom.errors import NothingUsable
from tests.helpers.runs import MakeRecipe
from training.evaluate import evaluate
from training.loop import train
from training.run_comparison import compared, measured_or_evaluate

Runs = tuple[Path, Path]


@pytest.fixture
def runs(small: MakeRecipe, labelled_store: Path, tmp_path: Path) -> Runs:
    folders = tmp_path / "longer", tmp_path / "shorter"
    for folder, steps in zip(folders, ("6", "2"), strict=True):
        train(small("segment-sax", steps=steps), {"": labelled_store}, folder)
    return folders


def test_differences_are_those_of_the_patients_in_the_two_tables(runs: Runs, labelled_store: Path) -> None:
    first, second = (evaluate(run, labelled_store) for run in runs)
    found = compared(first, second)["segmentation"]["dice LV cavity"]
    tables = [one["tasks"]["segmentation"]["patients"] for one in (first, second)]
    apart = [tables[0][key]["dice LV cavity"] - tables[1][key]["dice LV cavity"] for key in tables[0]]
    assert found.patients == len(apart) == 2
    assert found.difference == pytest.approx(np.mean(apart))
    assert found.difference == pytest.approx(found.first - found.second)


def test_what_was_measured_before_is_taken_and_what_was_not_is_measured(
    runs: Runs, labelled_store: Path
) -> None:
    run = runs[0]
    told: list[str] = []

    def progress(what: str, *, done: int, total: int | None) -> None:
        told.append(what)

    now = measured_or_evaluate(run, labelled_store, progress=progress)
    assert "evaluating segmentation" in told
    told.clear()
    assert measured_or_evaluate(run, labelled_store, progress=progress) == now
    assert not told
    assert json.loads((run / "evaluation.json").read_text()) == now
    (run / "evaluation.json").write_text(json.dumps(now | {"weights": "0" * 64}))
    assert measured_or_evaluate(run, labelled_store, progress=progress) == now
    assert "evaluating segmentation" in told


@pytest.mark.parametrize("other", [{"split": "all"}, {"store": "0" * 64}])
def test_what_was_measured_elsewhere_is_kept(other: dict[str, str], runs: Runs, labelled_store: Path) -> None:
    run = runs[0]
    now = measured_or_evaluate(run, labelled_store)
    held = json.dumps(now | other)
    (run / "evaluation.json").write_text(held)
    assert measured_or_evaluate(run, labelled_store) == now
    assert (run / "evaluation.json").read_text() == held


def test_runs_that_share_nothing_are_refused_and_streams_of_other_names_are_matched() -> None:
    def task(patient: str, measure: str = "dice mean") -> dict[str, object]:
        return {"mean": {measure: 0.5}, "patients": {patient: {measure: 0.5}}}

    one = {"tasks": {"segmentation": task("a")}}
    assert compared(one, {"tasks": {"target": task("a"), "pretext": task("a", "box dice mean")}})
    for other in ({"tasks": {"segmentation": task("b")}}, {"tasks": {"app": task("a", "box dice mean")}}):
        with pytest.raises(NothingUsable, match="no measure of the same patients") as caught:
            compared(one, other)
        assert "\n" not in str(caught.value)


def evaluation(measures: dict[str, float]) -> dict[str, Any]:
    return {"tasks": {"segmentation": {"mean": measures, "patients": {"a": measures}}}}


def test_what_is_true_of_the_patients_is_not_compared() -> None:
    one = evaluation({"dice mean": 0.5, "true volume LV cavity (ml)": 90.0})
    assert compared(one, one)["segmentation"].keys() == {"dice mean"}


def test_means_are_compared_where_both_runs_learned_the_same_structures() -> None:
    both = {"dice LV": 0.5, "dice RV": 0.7, "dice mean": 0.6, "assd LV (mm)": 1.0, "assd mean (mm)": 1.0}
    one = {"dice LV": 0.9, "dice mean": 0.9, "assd LV (mm)": 2.0, "assd mean (mm)": 2.0}
    found = compared(evaluation(both), evaluation(one))["segmentation"]
    assert found.keys() == {"dice LV", "assd LV (mm)", "assd mean (mm)"}
    assert compared(evaluation(both), evaluation(both))["segmentation"].keys() == both.keys()
    with pytest.raises(NothingUsable, match="no measure of the same patients"):
        compared(
            evaluation({"dice LV": 0.5, "dice mean": 0.5}), evaluation({"dice LA": 0.5, "dice mean": 0.5})
        )
