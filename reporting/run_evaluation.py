"""What was measured on a run: means over patients, each patient, and what the measures rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import numpy as np

from reporting.facets import Facets
from reporting.sections import Table, counted, short_key

PATIENTS_LISTED = 60
"""Patients of an evaluation with a row of their own."""

MEASURES_LISTED = 8
"""Measures in the columns of the table of patients."""

STATISTICS = {
    "median": "median",
    "sd": "sd over patients",
    "interval": "95 % interval of the mean",
    "measured": "patients",
}
"""Statistics of a measure beside its mean -> what a column of them is called."""

ANCESTORS_UNKNOWN = (
    "The initial weights do not say whom they were trained on: whether the network saw patients of this "
    "evaluation before cannot be told."
)
PATIENTS_NOT_COMPARABLE = (
    "Nothing proves that this store names patients by the same salt as the stores learned from: whether "
    "the network saw them before cannot be told."
)


def ground_rows(evaluation: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the measures rest on: (question, answer), in the words of a table."""
    answers = [
        ("trained on whom: known for all initial weights", _answer(evaluation.get("ancestors_known"))),
        ("patients comparable with those trained on", _answer(evaluation.get("patients_comparable"))),
        ("images left out, unreadable", _count(evaluation.get("images_left_out"))),
    ]
    for label, task in evaluation.get("tasks", {}).items():
        if "volumes" in task:
            told = f"{_count(task['volumes'])}, {_count(task.get('volumes_incomplete', 0))} incomplete"
            answers.append((f"{label}: volumes", told))
    return answers


def warnings_of(evaluation: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader of the measures must know before they believe them."""
    warnings = []
    if evaluation.get("ancestors_known") is False:
        warnings.append(ANCESTORS_UNKNOWN)
    if evaluation.get("patients_comparable") is False:
        warnings.append(PATIENTS_NOT_COMPARABLE)
    left_out = evaluation.get("images_left_out")
    if isinstance(left_out, int) and left_out:
        warnings.append(f"{counted(left_out, 'image')} of the split could not be read: not measured.")
    return tuple(warnings)


def evaluation_tables(evaluation: Mapping[str, Any]) -> Iterator[Table]:
    """Two tables a task (means and spreads; patients), and what they rest on."""
    if not evaluation:
        return
    split = str(evaluation.get("split", ""))
    for label, task in evaluation.get("tasks", {}).items():
        yield _means_table(label, task, split)
    yield Table(
        ("question", "answer"),
        tuple(ground_rows(evaluation)),
        caption="What the measures rest on",
        numeric=frozenset({1}),
    )
    for label, task in evaluation.get("tasks", {}).items():
        patients = patient_values(task)
        if patients:
            yield _patients_table(label, patients, split)


def patient_values(task: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Patient's key -> measure -> value, as far as they are numbers."""
    return {
        str(key): {name: float(value) for name, value in measures.items() if is_number(value)}
        for key, measures in (task.get("patients") or {}).items()
        if isinstance(measures, Mapping)
    }


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of an evaluation is a measure."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def spelled(value: object) -> str:
    """Spell a measure for a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if np.isfinite(value) else "undefined"
    return str(value)


def _answer(value: object) -> str:
    return "not told" if value is None else spelled(bool(value))


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "not told"


def _means_table(label: str, task: Mapping[str, Any], split: str) -> Table:
    """Measures over patients, then those of all slices at once, areas under curves, and counts."""
    rows = [
        (name, spelled(value), *(spelled_statistic(task, kind, name) for kind in STATISTICS))
        for name, value in (task.get("mean") or {}).items()
    ]
    for values, ranges, words in (
        ("all_slices", "all_slices_interval", "{}, all slices"),
        ("auc", "auc_interval", "area under the curve, {}"),
    ):
        for name, value in (task.get(values) or {}).items():
            ends = spelled_statistic(task, ranges, name)
            told = tuple(ends if kind == "interval" else "" for kind in STATISTICS)
            rows.append((words.format(name), spelled(value), *told))
    rows += [
        (name, spelled(count), *[""] * len(STATISTICS)) for name, count in (task.get("counts") or {}).items()
    ]
    kept = [0, 1, *(place + 2 for place in range(len(STATISTICS)) if any(row[place + 2] for row in rows))]
    columns = ("measure", "mean", *STATISTICS.values())
    patients = counted(len(task.get("patients") or {}), f"{split} patient".strip())
    return Table(
        tuple(columns[place] for place in kept),
        tuple(tuple(row[place] for place in kept) for row in rows),
        caption=f"{label}: {counted(task.get('images', 0), 'image')} of {patients}",
        numeric=frozenset(range(1, len(kept))),
    )


def spelled_statistic(task: Mapping[str, Any], kind: str, name: str) -> str:
    """Spell one statistic of a measure; empty where the evaluation has none."""
    value = (task.get(kind) or {}).get(name)
    if isinstance(value, list | tuple):
        return " to ".join(spelled(one) for one in value)
    return spelled(value)


def _patients_table(label: str, patients: Mapping[str, Mapping[str, float]], split: str) -> Table:
    names = list(dict.fromkeys(name for measures in patients.values() for name in measures))
    shown = names[:MEASURES_LISTED]
    listed = list(patients.items())[:PATIENTS_LISTED]
    left = []
    if len(patients) > len(listed):
        left.append(counted(len(patients) - len(listed), "more patient"))
    if len(names) > len(shown):
        left.append(counted(len(names) - len(shown), "more measure"))
    return Table(
        ("patient", *shown),
        tuple((short_key(key), *(spelled(measures.get(name)) for name in shown)) for key, measures in listed),
        caption=f"{label}: patient by patient",
        numeric=frozenset(range(1, len(shown) + 1)),
        facets=tuple(Facets(split=split, patient=short_key(key)) for key, _ in listed),
        note=f"{' and '.join(left)} not listed" if left else "",
        wide=True,
        folded=True,
    )
