"""Runs side by side: their curves, and the same measures on the same patients, one column a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reporting.charts import LineChart, SpreadChart, line_chart, spread_chart
from reporting.run_evaluation import ground_rows, is_number, patient_values, spelled, spelled_statistic
from reporting.run_files import read_evaluation, read_log, start_of
from reporting.run_section import validation_curves
from reporting.sections import Section, Table, counted
from reporting.told import told
from training.paired_difference import paired_difference
from training.run_file import read_run

Ground = tuple[str, str, frozenset[str]]
"""Split, protocol and patients of an evaluation: only runs with equal ground can be compared."""

RUNS_COMPARED = 8
"""Runs in one table: more columns cannot be read."""

CHARTS_DRAWN = 4
"""Curves of validation that are drawn for all runs together."""

SPREADS_DRAWN = 6
"""Measures whose patients are drawn one by one."""


@dataclass(frozen=True)
class ComparedRun:
    """A run as the comparison knows it; `name` is a letter, `words` what it stands for."""

    name: str
    words: str
    evaluation: Mapping[str, Any]
    logged: Sequence[Mapping[str, Any]]
    stores: tuple[str, ...]
    """Hashes of the plans of the stores it learned from: equal ones hold out the same patients."""

    @property
    def ground(self) -> Ground:
        """On what it was measured."""
        said = self.evaluation
        patients = {key for task in said.get("tasks", {}).values() for key in task.get("patients") or {}}
        return str(said.get("split", "")), str(said.get("protocol", "")), frozenset(patients)


def comparison_section(folders: Sequence[Path], anchor: str) -> Section | None:
    """Compare runs; None where no two have a measure or a curve in common."""
    runs = _runs(folders)
    grounds: dict[Ground, list[ComparedRun]] = {}
    for run in runs:
        if run.evaluation:
            grounds.setdefault(run.ground, []).append(run)
    together = {ground: some for ground, some in grounds.items() if len(some) > 1}
    common, _ = Counter(run.stores for run in runs).most_common(1)[0] if runs else ((), 0)
    charts = tuple(_charts([run for run in runs if run.stores == common]))
    if not together and not charts:
        return None
    told_runs = tuple((run.name, run.words) for run in runs)
    tables = [Table(("run", "recipe and start"), told_runs, caption="Runs")]
    spreads: list[SpreadChart] = []
    for ground, some in together.items():
        tables += _tables(ground, some[:RUNS_COMPARED])
        spreads += list(_spreads(some[:RUNS_COMPARED]))
    return Section(
        kind="comparison",
        title="Runs compared",
        anchor=anchor,
        lead="Runs measured on the same patients of the same split, side by side. "
        "One seed is an illustration, no proof.",
        tables=tuple(tables),
        charts=charts,
        spreads=tuple(spreads[:SPREADS_DRAWN]),
        notes=_notes(grounds),
    )


def _runs(paths: Sequence[Path]) -> list[ComparedRun]:
    runs = []
    for number, path in enumerate(paths):
        run = read_run(path)
        letter = chr(ord("A") + number) if number < 26 else f"run {number + 1}"
        recipe = run["recipe"]
        words = f"{told(recipe['name'])}, {start_of(run)}, seed {told(recipe.get('seed', 0))}"
        if recipe.get("subjects"):
            words += f", {counted(recipe['subjects'], 'training patient')}"
        stores = tuple(sorted(_plan_of(one) for one in run["stores"].values()))
        runs.append(ComparedRun(letter, words, read_evaluation(path), list(read_log(path)), stores))
    return runs


def _plan_of(store: object) -> str:
    return str(store.get("plan_sha256", "")) if isinstance(store, Mapping) else ""


def _notes(grounds: Mapping[Ground, Sequence[ComparedRun]]) -> tuple[str, ...]:
    alone = [run.name for some in grounds.values() if len(some) == 1 for run in some]
    notes = []
    if alone and len(grounds) > 1:
        notes.append(
            f"Measured on other patients, another split or protocol, so not compared: {', '.join(alone)}."
        )
    for some in grounds.values():
        if len(some) > RUNS_COMPARED:
            left = counted(len(some) - RUNS_COMPARED, "more run")
            notes.append(f"{left} measured on the same patients left out of the table.")
    return tuple(notes)


def _measures(run: ComparedRun, kind: str = "mean") -> dict[str, tuple[str, Any]]:
    """Name in the table -> (label of the task, its value), of all tasks."""
    tasks = run.evaluation.get("tasks", {})
    return {
        name if len(tasks) == 1 else f"{label}: {name}": (label, value)
        for label, task in tasks.items()
        for name, value in (task.get(kind) or {}).items()
        if is_number(value)
    }


def _names(runs: Sequence[ComparedRun]) -> list[str]:
    """Measures that at least two runs have: Dice first, and means before their parts.

    What is true of a patient is no measure of a run: it is the same in all of them.
    """
    measures = [_measures(run) for run in runs]
    every = dict.fromkeys(name for one in measures for name in one if not _plain(name).startswith("true "))
    common = [name for name in every if sum(name in one for one in measures) > 1]
    return sorted(common, key=lambda name: ("dice" not in name, " mean" not in name))


def _plain(name: str) -> str:
    """A measure's name without that of its task."""
    return name.rpartition(": ")[2]


def _tables(ground: Ground, runs: Sequence[ComparedRun]) -> Iterator[Table]:
    split, protocol, patients = ground
    names, numeric = _names(runs), frozenset(range(1, len(runs) + 1))
    where = f"{counted(len(patients), f'{split} patient'.strip())}{f' of {protocol}' if protocol else ''}"
    rows = tuple((name, *(_mean_and_sd(run, name) for run in runs)) for name in names)
    yield Table(
        ("measure", *(run.name for run in runs)),
        rows,
        caption=f"Mean ± sd over the same {where}",
        numeric=numeric,
        wide=True,
    )
    yield from _difference_tables(runs, names)
    answers = [dict(ground_rows(run.evaluation)) for run in runs]
    questions = dict.fromkeys(question for one in answers for question in one)
    yield Table(
        ("question", *(run.name for run in runs)),
        tuple((question, *(one.get(question, "") for one in answers)) for question in questions),
        caption="What the measures rest on",
        numeric=numeric,
        wide=True,
    )


def _mean_and_sd(run: ComparedRun, name: str) -> str:
    label, value = _measures(run).get(name, ("", None))
    if value is None:
        return ""
    spread = spelled_statistic(run.evaluation["tasks"][label], "sd", name.removeprefix(f"{label}: "))
    return f"{spelled(value)} ± {spread}" if spread else spelled(value)


def _values(run: ComparedRun, name: str) -> dict[str, float]:
    """Patient -> value of one measure."""
    label, _ = _measures(run).get(name, ("", None))
    task = run.evaluation.get("tasks", {}).get(label, {})
    plain = name.removeprefix(f"{label}: ")
    return {key: one[plain] for key, one in patient_values(task).items() if plain in one}


def _difference_tables(runs: Sequence[ComparedRun], names: Sequence[str]) -> Iterator[Table]:
    """Patient by patient against the first run: mean difference, interval, p."""
    first = runs[0]
    for other in runs[1:]:
        rows = []
        for name in names:
            pair = paired_difference(_values(other, name), _values(first, name))
            if pair is not None:
                ends = "" if pair.interval is None else " to ".join(spelled(one) for one in pair.interval)
                p = spelled(pair.permutation_p)
                rows.append((name, spelled(pair.difference), ends, p, f"{pair.patients}"))
        if rows:
            yield Table(
                ("measure", "mean difference", "95 % interval", "p (permutation)", "patients"),
                tuple(rows),
                caption=f"{other.name} minus {first.name}, patient by patient",
                numeric=frozenset({1, 2, 3, 4}),
                note="p of each measure alone, not corrected for their number",
            )


def _spreads(runs: Sequence[ComparedRun]) -> Iterator[SpreadChart]:
    for name in _names(runs):
        values = {run.name: list(_values(run, name).values()) for run in runs}
        if sum(bool(one) for one in values.values()) > 1:
            chart = spread_chart(name, values)
            if chart is not None:
                yield chart


def _charts(runs: Sequence[ComparedRun]) -> Iterator[LineChart]:
    """Curves on validation patients that at least two runs have."""
    curves = [
        (run, {**losses, **overlaps}) for run in runs for losses, overlaps in [validation_curves(run.logged)]
    ]
    names = dict.fromkeys(name for _, one in curves for name in one)
    shared = [name for name in names if sum(name in one for _, one in curves) > 1]
    for name in shared[:CHARTS_DRAWN]:
        chart = line_chart(
            f"{told(name)}, validation patients",
            "step",
            {run.name: one[name] for run, one in curves if name in one},
        )
        if chart is not None:
            yield chart
