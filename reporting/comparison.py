"""Runs side by side: their curves, and the same measures on the same patients, one column a run."""

from __future__ import annotations

from collections import Counter, defaultdict
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
from training.run_comparison import structures_averaged
from training.run_file import read_run

Ground = tuple[str, str, str, frozenset[str]]
"""Split, protocol, hash of the store's plan and patients of an evaluation: only runs with equal ground can be
compared. Patients alone do not tell: a store of other pixels or annotations has the same."""

Measure = tuple[str, str]
"""Label of the task that a measure is of, and what it is called there."""

Measures = dict[str, Measure]
"""Name in a table of several runs -> the measure of one of them."""

RUNS_COMPARED = 8
"""Runs in one table: more columns cannot be read."""

CHARTS_DRAWN = 4
"""Curves of validation that are drawn for all runs together."""

SPREADS_DRAWN = 6
"""Measures whose patients are drawn one by one."""

MEANS_APART = "Not all learned the same structures: means over others are not compared"


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
        split, protocol, store = (str(said.get(name, "")) for name in ("split", "protocol", "store"))
        return split, protocol, store, frozenset(patients)


def comparison_section(folders: Sequence[Path], anchor: str) -> Section | None:
    """Compare runs; None where no two have patients or a curve in common."""
    runs = _runs(folders)
    grounds: dict[Ground, list[ComparedRun]] = {}
    for run in runs:
        if run.evaluation:
            grounds.setdefault(run.ground, []).append(run)
    together = {ground: some for ground, some in grounds.items() if len(some) > 1}
    common, _ = Counter(run.stores for run in runs).most_common(1)[0] if runs else ((), 0)
    charts = tuple(_charts([run for run in runs if run.stores == common]))
    of_other_stores = _of_other_stores(grounds)
    if not together and not charts and not of_other_stores:
        return None
    told_runs = tuple((run.name, run.words) for run in runs)
    tables = [Table(("run", "recipe and start"), told_runs, caption="Runs")]
    spreads: list[SpreadChart] = []
    for ground, some in together.items():
        shown = some[:RUNS_COMPARED]
        measures = _measures(shown)
        tables += _tables(ground, shown, measures)
        spreads += list(_spreads(shown, measures))
    return Section(
        kind="comparison",
        title="Runs compared",
        anchor=anchor,
        lead="Runs measured on the same patients of the same split and store, side by side. "
        "One seed is an illustration, no proof.",
        tables=tuple(tables),
        charts=charts,
        spreads=tuple(spreads[:SPREADS_DRAWN]),
        notes=_notes(grounds, of_other_stores),
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


def _of_other_stores(grounds: Mapping[Ground, Sequence[ComparedRun]]) -> list[list[str]]:
    """Names of the runs of each store, wherever all but the store is the same."""
    alike: defaultdict[tuple[str, str, frozenset[str]], list[str]] = defaultdict(list)
    for (split, protocol, _, patients), some in grounds.items():
        alike[split, protocol, patients].append(", ".join(run.name for run in some))
    return [stores for stores in alike.values() if len(stores) > 1]


def _notes(
    grounds: Mapping[Ground, Sequence[ComparedRun]], of_other_stores: Sequence[Sequence[str]]
) -> tuple[str, ...]:
    notes = [
        f"The same patients, but another store, so not compared with each other: {'; '.join(stores)}."
        for stores in of_other_stores
    ]
    noted = {names for stores in of_other_stores for names in stores}
    alone = [some[0].name for some in grounds.values() if len(some) == 1 and some[0].name not in noted]
    if alone and len(grounds) > 1:
        notes.append(
            f"Measured on other patients, another split or protocol, so not compared: {', '.join(alone)}."
        )
    for some in grounds.values():
        if len(some) > RUNS_COMPARED:
            left = counted(len(some) - RUNS_COMPARED, "more run")
            notes.append(f"{left} measured on the same patients left out of the table.")
    return tuple(notes)


def _measures(runs: Sequence[ComparedRun]) -> list[Measures]:
    """The measures of each run, under names that mean the same in all of them.

    A name tells the structures that a mean is over where they differ among the runs, and the task where a
    run has the measure in several tasks: runs of one task and of several meet in the others.
    """
    averaged: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    found = [list(_told_measures(run)) for run in runs]
    for _, name, structures in (one for some in found for one in some):
        averaged[name].add(structures)

    def full(name: str, structures: Sequence[str]) -> str:
        return f"{name} of {', '.join(structures)}" if len(averaged[name]) > 1 and structures else name

    named = [[(full(name, structures), (label, name)) for label, name, structures in some] for some in found]
    counts = [Counter(name for name, _ in some) for some in named]
    repeated = {name for one in counts for name, count in one.items() if count > 1}
    return [
        {f"{measure[0]}: {name}" if name in repeated else name: measure for name, measure in some}
        for some in named
    ]


def _told_measures(run: ComparedRun) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Label of the task, measure, and the structures that it is a mean over.

    What is true of a patient is no measure of a run: it is the same in all of them.
    """
    for label, task in run.evaluation.get("tasks", {}).items():
        means = task.get("mean") or {}
        for name, value in means.items():
            if is_number(value) and not name.startswith("true "):
                yield label, name, structures_averaged(name, means)


def _names(measures: Sequence[Measures]) -> list[str]:
    """Measures that at least two runs have: Dice first, and means before their parts."""
    every = dict.fromkeys(name for one in measures for name in one)
    common = [name for name in every if sum(name in one for one in measures) > 1]
    return sorted(common, key=lambda name: ("dice" not in name, " mean" not in name))


def _tables(ground: Ground, runs: Sequence[ComparedRun], measures: Sequence[Measures]) -> Iterator[Table]:
    split, protocol, _, patients = ground
    names, numeric = _names(measures), frozenset(range(1, len(runs) + 1))
    where = f"{counted(len(patients), f'{split} patient'.strip())}{f' of {protocol}' if protocol else ''}"
    pairs = list(zip(runs, measures, strict=True))
    told_apart = any(not name.endswith(plain) for one in measures for name, (_, plain) in one.items())
    rows = tuple((name, *(_mean_and_sd(run, one.get(name)) for run, one in pairs)) for name in names)
    yield Table(
        ("measure", *(run.name for run in runs)),
        rows,
        caption=f"Mean ± sd over the same {where}",
        numeric=numeric,
        note=MEANS_APART if told_apart else "",
        wide=True,
    )
    yield from _difference_tables(runs, measures)
    answers = [dict(ground_rows(run.evaluation)) for run in runs]
    questions = dict.fromkeys(question for one in answers for question in one)
    yield Table(
        ("question", *(run.name for run in runs)),
        tuple((question, *(one.get(question, "") for one in answers)) for question in questions),
        caption="What the measures rest on",
        numeric=numeric,
        wide=True,
    )


def _mean_and_sd(run: ComparedRun, measure: Measure | None) -> str:
    if measure is None:
        return ""
    label, name = measure
    mean, spread = (spelled_statistic(run.evaluation["tasks"][label], kind, name) for kind in ("mean", "sd"))
    return f"{mean} ± {spread}" if spread else mean


def _values(run: ComparedRun, measure: Measure | None) -> dict[str, float]:
    """Patient -> value of one measure."""
    if measure is None:
        return {}
    label, name = measure
    patients = patient_values(run.evaluation["tasks"][label])
    return {key: one[name] for key, one in patients.items() if name in one}


def _difference_tables(runs: Sequence[ComparedRun], measures: Sequence[Measures]) -> Iterator[Table]:
    """Patient by patient against the first run: mean difference, interval, p."""
    first, *others = zip(runs, measures, strict=True)
    for other, its in others:
        rows = []
        for name in _names(measures):
            pair = paired_difference(_values(other, its.get(name)), _values(first[0], first[1].get(name)))
            if pair is not None:
                ends = "" if pair.interval is None else " to ".join(spelled(one) for one in pair.interval)
                p = spelled(pair.permutation_p)
                rows.append((name, spelled(pair.difference), ends, p, f"{pair.patients}"))
        if rows:
            yield Table(
                ("measure", "mean difference", "95 % interval", "p (permutation)", "patients"),
                tuple(rows),
                caption=f"{other.name} minus {first[0].name}, patient by patient",
                numeric=frozenset({1, 2, 3, 4}),
                note="p of each measure alone, not corrected for their number",
            )


def _spreads(runs: Sequence[ComparedRun], measures: Sequence[Measures]) -> Iterator[SpreadChart]:
    for name in _names(measures):
        values = {
            run.name: list(_values(run, one.get(name)).values())
            for run, one in zip(runs, measures, strict=True)
        }
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
