"""A training run for people: what was learnt, how the loss went, and predictions beside truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reporting.charts import LineChart, line_chart
from reporting.ration import Ration
from reporting.run_diagnosis import diagnosis_tables
from reporting.run_evaluation import evaluation_tables, is_number, spelled, warnings_of
from reporting.run_files import read_diagnosis, read_evaluation, read_log, read_samples, start_of
from reporting.run_samples import sample_strips
from reporting.sections import Fact, Section
from reporting.told import told
from training.run_file import read_run

Curves = dict[str, list[tuple[float, float]]]
"""Name -> (step, value)."""


def run_section(folder: Path, anchor: str, ration: Ration) -> Section:
    """Gather what the page says about a run.

    Raises
    ------
    IntegrityError, WrongVersion
        When a file of the run is damaged, or of another version.
    """
    run = read_run(folder)
    recipe = run["recipe"]
    logged = list(read_log(folder))
    evaluation = read_evaluation(folder)
    return Section(
        kind="run",
        title=f"Run {told(recipe['name'])}, {start_of(run)}",
        anchor=anchor,
        lead=told(recipe.get("paper") or ""),
        facts=_facts(run, recipe, logged),
        charts=tuple(_charts(logged)),
        tables=(*evaluation_tables(evaluation), *diagnosis_tables(read_diagnosis(folder))),
        strips=tuple(sample_strips(read_samples(folder), ration)),
        settings={told(name): told(spelled(value)) for name, value in _flattened(recipe)},
        notes=(*_notes(run), *warnings_of(evaluation)),
    )


def _notes(run: Mapping[str, Any]) -> tuple[str, ...]:
    notes = [told(note) for note in run.get("notes") or ()]
    if run["state"] != "done":
        notes.insert(0, "This run is not finished; the same command goes on.")
    return tuple(notes)


def _facts(
    run: Mapping[str, Any], recipe: Mapping[str, Any], logged: Sequence[Mapping[str, Any]]
) -> tuple[Fact, ...]:
    rates = [float(entry["images_per_s"]) for entry in logged if entry.get("images_per_s")]
    facts = [
        Fact(f"{max([entry['step'] for entry in logged], default=0):,} of {recipe['steps']:,}", "steps"),
        Fact(f"{recipe['batch_size']}", "images a step"),
    ]
    if rates:
        facts.append(Fact(f"{float(np.median(rates)):.0f}", "images a second"))
    losses = [entry["loss"] for entry in logged if is_number(entry.get("loss"))]
    if losses:
        facts.append(Fact(f"{losses[-1]:.3g}", "last loss"))
    if run["state"] == "done" and is_number(run.get("seconds")):
        facts.append(Fact(_duration(float(run["seconds"])), "of training"))
    coverage = (run.get("transfer") or {}).get("coverage")
    if is_number(coverage):
        facts.append(Fact(f"{float(coverage):.0%}", "of the weights taken over"))
    return tuple(facts)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def training_curves(logged: Sequence[Mapping[str, Any]]) -> Curves:
    """Training losses of a log: the total, and its parts where there are several."""
    curves: Curves = {"total": []}
    for entry in logged:
        if is_number(entry.get("loss")):
            curves["total"].append((float(entry["step"]), float(entry["loss"])))
        for name, value in (entry.get("parts") or {}).items():
            if is_number(value):
                curves.setdefault(name, []).append((float(entry["step"]), float(value)))
    return {"total": curves["total"]} if len(curves) == 2 else curves  # one part alone is the total again


def validation_curves(logged: Sequence[Mapping[str, Any]]) -> tuple[Curves, Curves]:
    """Losses and overlaps on validation patients."""
    losses: Curves = {}
    overlaps: Curves = {}
    for entry in logged:
        for name, value in _flattened(entry.get("validation") or {}):
            if is_number(value):
                kind = overlaps if "dice " in name else losses
                kind.setdefault(name, []).append((float(entry["step"]), float(value)))
    return losses, overlaps


def _charts(logged: Sequence[Mapping[str, Any]]) -> Iterator[LineChart]:
    losses, overlaps = validation_curves(logged)
    charts = {
        "Training loss": training_curves(logged),
        "Loss on validation patients": losses,
        "Dice on validation patients": overlaps,
    }
    yield from filter(None, (line_chart(title, "step", curves) for title, curves in charts.items()))


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name} / ")
        elif isinstance(value, list):
            if all(not isinstance(item, Mapping | list) for item in value):
                yield f"{prefix}{name}", ", ".join(map(str, value))
            else:
                for number, item in enumerate(value):
                    nested = item if isinstance(item, Mapping) else {"": item}
                    yield from _flattened(nested, f"{prefix}{name} {number + 1} / ")
        else:
            yield f"{prefix}{name}", value
