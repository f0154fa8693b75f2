from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pretext_targets.drawing import draw_heatmaps
from tests.training.conftest import SIDE
from training.line_fit import line_errors
from training.measured_task import MeasuredTask, over_patients
from training.metrics import location_measures
from training.tasks.task import StoreFacts
from training.volume_grid import counted_grid
from training.volumes import PredictedVolume


def volume(patient: str, said: dict[str, Any], true: dict[str, Any], line: Any = None) -> PredictedVolume:
    slices = len(next(iter(said.values())))
    return PredictedVolume(patient, np.arange(slices), counted_grid(range(slices), 2.0), said, true, line)


def test_a_patients_value_is_the_mean_over_its_images_and_the_table_the_mean_over_patients(
    facts: StoreFacts,
) -> None:
    measured = MeasuredTask(facts)
    said = {"a": [0.1, 0.5, 0.8], "b": [0.3]}
    true = {"a": [0.0, 0.5, 1.0], "b": [float("nan")]}
    for patient in said:
        measured.add(
            volume(patient, {"location": np.array(said[patient])}, {"location": np.array(true[patient])})
        )
    measured.add(volume("c", {"location": np.array([0.4])}, {"location": np.array([0.1])}))
    found = measured.summary()
    assert found["patients"]["a"]["location absolute error"] == pytest.approx((0.1 + 0 + 0.2) / 3)
    assert found["patients"]["b"] == {}  # its only location is unknown
    assert found["mean"]["location absolute error"] == pytest.approx((0.1 + 0.3) / 2)
    assert found["measured"]["location absolute error"] == 2
    whole = location_measures([0.1, 0.5, 0.8, 0.4], [0.0, 0.5, 1.0, 0.1])
    assert found["all_slices"] == pytest.approx(whole)
    assert found["all_slices_interval"]["r2"][0] <= whole["r2"] <= found["all_slices_interval"]["r2"][1]


def test_locations_that_are_no_numbers_are_counted(facts: StoreFacts) -> None:
    measured = MeasuredTask(facts)
    said, true = np.array([np.nan, 0.5, np.inf, np.nan]), np.array([0.0, 0.5, 1.0, np.nan])
    measured.add(volume("a", {"location": said}, {"location": true}))
    found = measured.summary()
    assert found["counts"] == {"location: said to be no number, left out": 2}
    assert found["patients"]["a"]["location absolute error"] == 0.0


def test_lines_are_measured_in_degrees_and_mm_with_median_and_mean_and_lost_ones_are_counted(
    facts: StoreFacts,
) -> None:
    middle = (SIDE - 1) / 2
    angles = np.radians([0.0, 4.0, 20.0])
    normals = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    said_lines = np.column_stack([normals, -normals @ [middle, middle]])
    true_line = np.array([1.0, 0.0, -middle])
    heatmaps = draw_heatmaps(np.stack([said_lines, said_lines], axis=1), 3.0, SIDE, SIDE)
    heatmaps[2, 1] = 0.01  # nothing to see
    lines = np.broadcast_to(true_line, (3, 2, 3)).copy()
    lines[0, 1] = np.nan
    true = draw_heatmaps(np.nan_to_num(lines), 3.0, SIDE, SIDE)
    true[0, 1] = np.nan  # a partner that is missing
    measured = MeasuredTask(facts)
    for one in range(3):
        part = slice(one, one + 1)
        measured.add(volume(f"{one}", {"heatmaps": heatmaps[part]}, {"heatmaps": true[part]}, lines[part]))
    found = measured.summary()
    wanted = [line_errors(line, true_line, SIDE, SIDE, 2.0)[0] for line in said_lines]
    assert wanted == pytest.approx([0.0, 4.0, 20.0])
    assert found["all_slices"]["line angle 2CH (degrees), median"] == pytest.approx(4.0, abs=0.05)
    assert found["all_slices"]["line angle 2CH (degrees), mean"] == pytest.approx(8.0, abs=0.05)
    assert found["all_slices"]["line offset 2CH (mm), median"] == pytest.approx(0.0, abs=0.05)
    low, high = found["all_slices_interval"]["line angle 2CH (degrees), mean"]
    assert 0.0 <= low < 8.0 < high <= 20.05
    assert found["counts"] == {"line 4CH: none found": 1}
    assert found["mean"]["line found 4CH"] == 0.5
    assert found["measured"]["line angle 4CH (degrees)"] == 1


def test_findings_are_told_by_their_areas_over_patients(facts: StoreFacts) -> None:
    rng = np.random.default_rng(0)
    measured = MeasuredTask(replace(facts), ("acl", "meniscus"))
    said, true = {}, {}
    for number in range(20):
        probability, truth = rng.random(2), (rng.random(2) < 0.5).astype(float)
        if number == 3:
            truth[1] = np.nan
        slices = np.tile(probability, (4, 1)), np.tile(truth, (4, 1))
        for shift in (-0.05, 0.05):  # two series of the exam: their mean counts
            measured.add(volume(f"{number:02d}", {"diagnosis": slices[0] + shift}, {"diagnosis": slices[1]}))
        said[number], true[number] = probability, truth
    found = measured.summary()
    scores, truths = np.array(list(said.values())), np.array(list(true.values()))
    known = np.isfinite(truths[:, 1])
    areas = (
        roc_auc_score(truths[:, 0], scores[:, 0]),
        roc_auc_score(truths[known, 1], scores[known, 1]),
    )
    assert (found["auc"]["auc acl"], found["auc"]["auc meniscus"]) == pytest.approx(areas)
    assert found["auc"]["auc mean"] == pytest.approx(np.mean(areas))
    assert found["auc_interval"]["auc mean"][0] < found["auc"]["auc mean"]
    assert found["patients"]["00"]["probability acl"] == pytest.approx(said[0][0])
    assert "true meniscus" not in found["patients"]["03"]


def test_a_finding_that_all_patients_have_has_no_area(facts: StoreFacts) -> None:
    measured = MeasuredTask(facts, ("acl",))
    for patient in "ab":
        measured.add(volume(patient, {"diagnosis": np.full((2, 1), 0.6)}, {"diagnosis": np.ones((2, 1))}))
    found = measured.summary()
    assert found["auc"] == {"auc acl": None, "auc mean": None}
    assert found["auc_interval"] == {}


def test_over_patients_is_plain_numbers(facts: StoreFacts) -> None:
    found = over_patients({"a": {"dice": 0.5}, "b": {"dice": 0.7, "rare": 1.0}})
    assert found["mean"] == pytest.approx({"dice": 0.6, "rare": 1.0})
    assert found["sd"] == pytest.approx({"dice": math.sqrt(0.02), "rare": None})
    assert found["interval"]["rare"] is None
    assert found["interval"]["dice"] == pytest.approx([0.5, 0.7])
    assert found["measured"] == {"dice": 2, "rare": 1}
