"""What stands in an experiment's tables: mean, interval and difference for each arm and number of subjects.

An entry averages over test patients and over subsets of training subjects, and its interval takes both for
drawn by chance (`crossed_interval.py`). A difference is taken subset by subset and patient by patient before
it is averaged, so it may rest on fewer subsets than the mean beside it. Where one pretraining serves all
subsets no interval says how another would have come out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from training.experiments.cells import Plan
from training.experiments.crossed_interval import Values, crossed_interval
from training.experiments.grid import Grid, TableForm
from training.experiments.running import Room, measured_values, read_measured
from training.experiments.tables import Entry, Ran, Table


def make_tables(grid: Grid, plan: Plan, room: Room) -> list[Table]:
    """All tables of a grid, of what has run so far."""
    return [_table(form, measure, plan, room) for form in grid.tables for measure in form.measures]


def _table(form: TableForm, measure: str, plan: Plan, room: Room) -> Table:
    found = _collected(plan, room, measure)
    arms = form.arms or tuple(dict.fromkeys(trial.arm for trial in plan.trials))
    columns = tuple(sorted({trial.subjects for trial in plan.trials}, key=_how_many))
    rows: dict[str, dict[int, Entry]] = {}
    for arm in arms:
        rows[arm] = {}
        for subjects in columns:
            values = found.get((arm, subjects), {})
            reference = found.get((form.reference, subjects), {}) if form.reference != arm else {}
            entry = _entry(values, reference, _wanted(plan, arm, subjects))
            if entry is not None and measure.startswith(("dice", "auc")):
                entry = replace(entry, interval=_between_0_and_1(entry.interval))
            if entry is not None:
                rows[arm][subjects] = entry
    # The reference, too: a difference may lack subsets because that one has not run.
    ran = {
        arm: {n: Ran(len(found.get((arm, n), {})), _wanted(plan, arm, n)) for n in columns}
        for arm in (*arms, *({form.reference} - {"", *arms}))
    }
    return Table(form.title, measure, form.reference, columns, rows, ran)


def _how_many(subjects: int) -> float:
    return subjects or math.inf  # 0 means all


BySubset = Mapping[int, Mapping[str, float]]


def _collected(plan: Plan, room: Room, measure: str) -> Mapping[tuple[str, int], BySubset]:
    """(arm, subjects) -> subset that has run -> patient -> value; empty where there is no such measure."""
    collected: dict[tuple[str, int], dict[int, Mapping[str, float]]] = {}
    for trial in plan.trials:
        found = read_measured(room, trial.cell, trial.test)
        if found is not None:
            values = measured_values(found, measure)
            collected.setdefault((trial.arm, trial.subjects), {})[trial.subset] = values
    return collected


def _wanted(plan: Plan, arm: str, subjects: int) -> int:
    return sum(trial.arm == arm and trial.subjects == subjects for trial in plan.trials)


def _entry(values: BySubset, reference: BySubset, wanted: int) -> Entry | None:
    values = {subset: of_patients for subset, of_patients in values.items() if of_patients}
    if not values:
        return None
    matrix = _matrix(values)
    means = np.nanmean(matrix, axis=1)
    difference = difference_interval = None
    both = {
        subset: {key: values[subset][key] - reference[subset][key] for key in shared}
        for subset in values.keys() & reference.keys()
        if (shared := values[subset].keys() & reference[subset].keys())
    }
    if both:
        apart = _matrix(both)
        difference, difference_interval = (
            float(np.nanmean(np.nanmean(apart, axis=1))),
            crossed_interval(apart),
        )
    return Entry(
        mean=float(means.mean()),
        sd_over_subsets=float(means.std(ddof=1)) if len(means) > 1 else None,
        interval=crossed_interval(matrix),
        subsets=len(values),
        wanted_subsets=wanted,
        patients=matrix.shape[1],
        difference=difference,
        difference_interval=difference_interval,
        shared_subsets=len(both),
    )


def _between_0_and_1(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """What of an interval a share can be: with few subsets it may reach further."""
    return interval and (max(0.0, interval[0]), min(1.0, interval[1]))


def _matrix(values: BySubset) -> Values:
    patients = sorted({key for one in values.values() for key in one})
    nothing = float("nan")
    return np.array([[values[s].get(key, nothing) for key in patients] for s in sorted(values)])
