"""Runs side by side: the same measures on the same patients, one column a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reporting.run_section import EVALUATION_FILE, read_evaluation, spelled, start_of
from reporting.sections import Section, Table, counted
from training.run_file import RUN_FILE, read_run

Ground = tuple[str, str, frozenset[str]]
"""Split, protocol and patients of an evaluation: only runs with equal ground can be compared."""


def comparison_section(paths: Sequence[Path], anchor: str) -> Section | None:
    """Compare the evaluated runs among some sources; None where no two were measured on the same patients."""
    evaluated = {
        path: read_evaluation(path)
        for path in paths
        if (path / RUN_FILE).exists() and (path / EVALUATION_FILE).exists()
    }
    grounds = {path: _ground(evaluation) for path, evaluation in evaluated.items()}
    common, count = Counter(grounds.values()).most_common(1)[0] if grounds else (None, 0)
    if common is None or count < 2:
        return None
    measures = {path: _measures(evaluated[path]) for path in evaluated if grounds[path] == common}
    names = [
        name for name in next(iter(measures.values())) if sum(name in one for one in measures.values()) > 1
    ]
    rows = tuple(
        (name, *(spelled(one[name]) if name in one else "" for one in measures.values())) for name in names
    )
    split, _, patients = common
    return Section(
        kind="comparison",
        title="Runs compared",
        anchor=anchor,
        lead=f"Means over {counted(len(patients), f'{split} patient')}, the same for each run. "
        "One seed is an illustration, no proof.",
        tables=(
            Table(
                ("measure", *_columns(list(measures))),
                rows,
                numeric=frozenset(range(1, len(measures) + 1)),
            ),
        ),
    )


def _ground(evaluation: Mapping[str, Any]) -> Ground:
    patients = {key for task in evaluation.get("tasks", {}).values() for key in task.get("patients", {})}
    return str(evaluation.get("split", "")), str(evaluation.get("protocol", "")), frozenset(patients)


def _columns(runs: Sequence[Path]) -> list[str]:
    """Name each run by its recipe and its start, and number those of one name."""
    names = []
    for path in runs:
        run = read_run(path)
        names.append(f"{run['recipe']['name']}, {start_of(run)}")
    return [
        f"{name} ({names[: place + 1].count(name)})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _measures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Measure -> mean over patients, of all tasks."""
    tasks = evaluation.get("tasks", {})
    return {
        name if len(tasks) == 1 else f"{label}: {name}": value
        for label, task in tasks.items()
        for name, value in task.get("mean", {}).items()
        if isinstance(value, int | float)
    }
