"""What is measured of one task: a value a volume or image, gathered by patient, and then summarised.

Mean, median, standard deviation and interval are over patients; a patient's value is the mean over its
volumes or images. Measures of all slices at once (a correlation has no value for one image) stand beside
them, with intervals for which patients are drawn with all of their slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.intervals import spread_of, statistic_intervals
from training.line_fit import fitted_line, line_errors
from training.metrics import Overlap, class_overlaps, location_measures
from training.roc import label_aucs
from training.segmentation_measures import segmentation_measures
from training.tasks.task import StoreFacts
from training.volumes import PredictedVolume

Floats = NDArray[np.float64]
Values = dict[str, float | None]
Intervals = dict[str, list[float]]

LINE_MEASURES = ("line angle {} (degrees)", "line offset {} (mm)")


@dataclass
class MeasuredTask:
    """Gathers the measures of a task.

    Attributes
    ----------
    facts
        Of the store, with the structures the task tells apart.
    table
        Patient -> measure -> a value for each of its images or volumes.
    counts
        Empty masks, lines not found.
    locations
        Patient -> (predicted, true) of each of its slices.
    probabilities
        Patient -> (labels, 2) of each series: predicted probability and truth (NaN unknown) of each label.
    label_names
        Of the labels of a diagnosis.
    """

    facts: StoreFacts
    label_names: tuple[str, ...] = ()
    table: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    locations: dict[str, list[Floats]] = field(default_factory=dict)
    probabilities: dict[str, list[Floats]] = field(default_factory=dict)

    def add(self, volume: PredictedVolume) -> None:
        """Measure one more volume."""
        measures = self.table.setdefault(volume.patient, {})
        if "segmentation" in volume.said:
            found = segmentation_measures(
                volume.said["segmentation"],
                volume.true["segmentation"],
                self.facts.segment_names[1:],
                volume.grid,
                self.counts,
            )
            for name, value in found.items():
                measures.setdefault(name, []).append(value)
        if "boxes" in volume.said:
            numbers = range(1, len(self.facts.box_names) + 1)
            self._add_boxes(class_overlaps(volume.said["boxes"], volume.true["boxes"], numbers), measures)
        if "heatmaps" in volume.said:
            self._add_lines(volume, measures)
        if "location" in volume.said:
            self._add_locations(volume, measures)
        if "diagnosis" in volume.said:
            self._add_probabilities(volume, measures)

    def _add_boxes(self, overlaps: list[Overlap], measures: dict[str, list[float]]) -> None:
        for name, overlap in zip(self.facts.box_names, overlaps, strict=True):
            measures.setdefault(f"box dice {name}", []).append(overlap.dice)
            if overlap.empty:
                self.counts[f"box dice {name}: empty in {overlap.empty}"] += 1
        mean = float(np.mean([overlap.dice for overlap in overlaps]))
        measures.setdefault("box dice mean", []).append(mean)

    def _add_lines(self, volume: PredictedVolume, measures: dict[str, list[float]]) -> None:
        """Squared error of each known heatmap, and angle and offset of the line fitted to it."""
        facts = self.facts
        if volume.line is None:
            return
        slices = zip(volume.said["heatmaps"], volume.true["heatmaps"], volume.line, strict=True)
        for said, true, line in slices:
            for number, partner in enumerate(facts.partners):
                if np.isnan(true[number]).any():
                    continue
                error = said[number].astype(np.float64) - true[number]
                measures.setdefault(f"heatmap squared error {partner}", []).append(float(np.mean(error**2)))
                measures.setdefault(f"heatmap absolute error {partner}", []).append(
                    float(np.mean(np.abs(error)))
                )
                fitted = fitted_line(said[number], facts.line_sigma_px)
                measures.setdefault(f"line found {partner}", []).append(float(fitted is not None))
                if fitted is None:
                    self.counts[f"line {partner}: none found"] += 1
                    continue
                errors = line_errors(fitted, line[number], facts.rows, facts.columns, facts.spacing_mm)
                for kind, value in zip(LINE_MEASURES, errors, strict=True):
                    measures.setdefault(kind.format(partner), []).append(value)

    def _add_locations(self, volume: PredictedVolume, measures: dict[str, list[float]]) -> None:
        pairs = np.stack([volume.said["location"], volume.true["location"]], axis=1).astype(np.float64)
        pairs = pairs[np.isfinite(pairs[:, 1])]
        told = np.isfinite(pairs[:, 0])
        if not told.all():
            self.counts["location: said to be no number, left out"] += int((~told).sum())
        pairs = pairs[told]
        self.locations.setdefault(volume.patient, []).append(pairs)
        error = pairs[:, 0] - pairs[:, 1]
        measures.setdefault("location squared error", []).extend((error**2).tolist())
        measures.setdefault("location absolute error", []).extend(np.abs(error).tolist())

    def _add_probabilities(self, volume: PredictedVolume, measures: dict[str, list[float]]) -> None:
        """The series' probabilities: the highest of its slices, where the task tells one for each slice."""
        said, true = volume.said["diagnosis"].max(axis=0), volume.true["diagnosis"][0]
        pairs = np.stack([said, true], axis=1).astype(np.float64)
        self.probabilities.setdefault(volume.patient, []).append(pairs)
        for name, values in zip(self.label_names, pairs, strict=True):
            for kind, value in zip(("probability", "true"), values, strict=True):
                if np.isfinite(value):
                    measures.setdefault(f"{kind} {name}", []).append(float(value))

    def summary(self) -> dict[str, Any]:
        """The part of `evaluation.json` that is about this task; see `evaluate.py`."""
        patients = {
            key: {name: float(np.mean(values)) for name, values in measures.items() if values}
            for key, measures in self.table.items()
        }
        result: dict[str, Any] = {
            "patients": patients,
            "counts": dict(self.counts),
            **over_patients(patients),
        }
        whole, intervals = self._of_all_slices()
        if whole:
            result |= {"all_slices": whole, "all_slices_interval": intervals}
        if self.probabilities:
            by_patient = [_of_all_series(np.stack(series))[None] for series in self.probabilities.values()]
            areas, ranges = _with_intervals(by_patient, self._aucs)
            result |= {"auc": areas, "auc_interval": ranges}
        return result

    def _aucs(self, pairs: Floats) -> dict[str, float]:
        return label_aucs(pairs[:, :, 0], pairs[:, :, 1], self.label_names)

    def _of_all_slices(self) -> tuple[Values, Intervals]:
        whole: Values = {}
        intervals: Intervals = {}
        if self.locations:
            by_patient = [np.concatenate(pairs) for pairs in self.locations.values()]
            whole, intervals = _with_intervals(by_patient, _location_statistic)
            intervals.pop("count", None)
        for name in [kind.format(partner) for kind in LINE_MEASURES for partner in self.facts.partners]:
            of_name = [np.array(one[name]) for one in self.table.values() if name in one]
            if of_name:
                values, ranges = _with_intervals(of_name, _middles)
                whole |= {f"{name}, {middle}": value for middle, value in values.items()}
                intervals |= {f"{name}, {middle}": ends for middle, ends in ranges.items()}
        return whole, intervals


def _of_all_series(pairs: Floats) -> Floats:
    """A patient's (labels, 2) from those of its series: mean probability, present where any has it."""
    truth = np.where(np.isnan(pairs[:, :, 1]), -1.0, pairs[:, :, 1]).max(axis=0)
    return np.stack([pairs[:, :, 0].mean(axis=0), np.where(truth < 0, np.nan, truth)], axis=1)


def _with_intervals(
    by_patient: Sequence[Floats], statistic: Callable[[Floats], Mapping[str, float]]
) -> tuple[Values, Intervals]:
    """A statistic of all rows of all patients, None where it is undefined, and its bootstrap intervals."""
    measured = statistic(np.concatenate(by_patient))
    values = {name: value if np.isfinite(value) else None for name, value in measured.items()}
    return values, {name: list(ends) for name, ends in statistic_intervals(by_patient, statistic).items()}


def over_patients(patients: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Statistics over patients of each measure.

    Returns
    -------
    dict
        `mean`, `median`, `sd` and `interval` (None for one patient), and `measured`, how many patients have
        the measure; each by measure.
    """
    names = sorted({name for measures in patients.values() for name in measures})
    spreads = {name: spread_of([one[name] for one in patients.values() if name in one]) for name in names}
    return {
        "mean": {name: one.mean for name, one in spreads.items()},
        "median": {name: one.median for name, one in spreads.items()},
        "sd": {name: one.sd for name, one in spreads.items()},
        "interval": {
            name: None if one.interval is None else list(one.interval) for name, one in spreads.items()
        },
        "measured": {name: one.count for name, one in spreads.items()},
    }


def _location_statistic(pairs: Floats) -> dict[str, float]:
    return location_measures(pairs[:, 0], pairs[:, 1])


def _middles(values: Floats) -> dict[str, float]:
    return {"median": float(np.median(values)), "mean": float(np.mean(values))}
