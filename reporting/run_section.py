"""A training run for people: what was learnt, how the loss went, and predictions beside truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import IntegrityError
from reporting import colours
from reporting.charts import LineChart, line_chart
from reporting.pictures import Picture, classes_png, grey_png, heat_png
from reporting.sections import Fact, Section, Strip, Table, counted
from training.run_file import read_run

HEAT_COLOURS = ("#ff6b6b", "#5fe08d", "#ffd166", "#c792ea")
"""One for each heatmap of a prediction."""

SAMPLES_PICTURED = 6

LOG_FILE, EVALUATION_FILE, SAMPLES_FILE = "log.jsonl", "evaluation.json", "samples.npz"
"""Names of the training's files, spelled again here because the modules that write them load torch."""


def run_section(folder: Path, anchor: str) -> Section:
    """Gather what the page says about a run.

    Raises
    ------
    IntegrityError, WrongVersion
        When a file of the run is damaged, or of another version.
    """
    run = read_run(folder)
    recipe = run["recipe"]
    logged = list(_log(folder / LOG_FILE))
    evaluation = read_evaluation(folder) if (folder / EVALUATION_FILE).exists() else {}
    return Section(
        kind="run",
        title=f"Run {recipe['name']}, {start_of(run)}",
        anchor=anchor,
        lead=recipe.get("paper", "") or "",
        facts=_facts(run, recipe, logged),
        charts=tuple(_charts(logged)),
        tables=tuple(_evaluation_tables(evaluation)),
        strips=tuple(_sample_strips(folder / SAMPLES_FILE)),
        settings=dict(_flattened(recipe)),
        notes=_notes(run),
    )


def start_of(run: Mapping[str, Any]) -> str:
    """Spell which weights a run began with."""
    return "from pretrained weights" if run.get("init_sha256") else "from scratch"


def _notes(run: Mapping[str, Any]) -> tuple[str, ...]:
    notes = [str(note) for note in run.get("notes") or ()]
    if run["state"] != "done":
        notes.insert(0, "This run is not finished; the same command goes on.")
    return tuple(notes)


def read_evaluation(folder: Path) -> dict[str, Any]:
    """Read what was measured on a run.

    Raises
    ------
    IntegrityError
        When it is damaged.
    """
    path = folder / EVALUATION_FILE
    evaluation = read_json(path)
    tasks = evaluation.get("tasks")
    if not isinstance(tasks, dict) or not all(isinstance(task, dict) for task in tasks.values()):
        raise IntegrityError(f"{path} is damaged: it tells no tasks; evaluate the run again")
    return evaluation


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object of a run.

    Raises
    ------
    IntegrityError
        When it is not there, or no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path} cannot be read ({error}); train the run again") from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{path} holds no JSON object; train the run again")
    return content


def _log(path: Path) -> Iterable[dict[str, Any]]:
    """Lines of the log; a last line that was cut off while it was written is passed over."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "step" in entry:
            yield entry


def _facts(
    run: Mapping[str, Any], recipe: Mapping[str, Any], logged: list[dict[str, Any]]
) -> tuple[Fact, ...]:
    rates = [float(entry["images_per_s"]) for entry in logged if entry.get("images_per_s")]
    facts = [
        Fact(f"{max([entry['step'] for entry in logged], default=0):,} of {recipe['steps']:,}", "steps"),
        Fact(f"{recipe['batch_size']}", "images a step"),
    ]
    if rates:
        facts.append(Fact(f"{float(np.median(rates)):.0f}", "images a second"))
    losses = [entry["loss"] for entry in logged if isinstance(entry.get("loss"), int | float)]
    if losses:
        facts.append(Fact(f"{losses[-1]:.3g}", "last loss"))
    return tuple(facts)


def _charts(logged: list[dict[str, Any]]) -> Iterable[LineChart]:
    series: dict[str, list[tuple[float, float]]] = {"total": []}
    validation: dict[str, list[tuple[float, float]]] = {}
    overlaps: dict[str, list[tuple[float, float]]] = {}
    for entry in logged:
        step = float(entry["step"])
        if isinstance(entry.get("loss"), int | float):
            series["total"].append((step, float(entry["loss"])))
        for name, value in (entry.get("parts") or {}).items():
            if isinstance(value, int | float):
                series.setdefault(name, []).append((step, float(value)))
        for name, value in _flattened(entry.get("validation") or {}):
            if isinstance(value, int | float):
                kind = overlaps if "dice " in name else validation  # "dice" alone is a part of the loss
                kind.setdefault(name, []).append((step, float(value)))
    if len(series) == 2:  # one part alone is the total again
        series = {"total": series["total"]}
    charts = {
        "Training loss": series,
        "Loss on validation patients": validation,
        "Dice on validation patients": overlaps,
    }
    yield from filter(None, (line_chart(title, "step", curves) for title, curves in charts.items()))


def _evaluation_tables(evaluation: Mapping[str, Any]) -> Iterable[Table]:
    """One table a task: means and spreads over patients; the patients' own rows stay in the run."""
    for label, task in evaluation.get("tasks", {}).items():
        rows = [
            (name, spelled(value), spelled(task.get("sd", {}).get(name)))
            for name, value in task.get("mean", {}).items()
        ]
        rows += [
            (f"{name}, all slices", spelled(value), "") for name, value in task.get("all_slices", {}).items()
        ]
        rows += [(name, spelled(count), "") for name, count in task.get("counts", {}).items()]
        patients = counted(len(task.get("patients", {})), f"{evaluation.get('split', '')} patient".strip())
        yield Table(
            ("measure", "mean", "sd over patients"),
            tuple(rows),
            caption=f"{label}: {counted(task.get('images', 0), 'image')} of {patients}",
            numeric=frozenset({1, 2}),
        )


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
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


def spelled(value: object) -> str:
    """Spell a measure for a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if np.isfinite(value) else "undefined"
    return str(value)


def _sample_strips(path: Path) -> Iterable[Strip]:
    """Put every target beside its prediction; one strip an example."""
    if not path.exists():
        return
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            samples = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise IntegrityError(f"{path} cannot be read ({error}); train the run again") from error
    images = samples.get("image")
    if images is None:
        return
    whose = "Validation" if samples.get("held_out", True) else "Training"
    for number in range(min(len(images), SAMPLES_PICTURED)):
        pictures = [_plain(images[number], "image")]
        words = []
        for name in sorted(name.removeprefix("target_") for name in samples if name.startswith("target_")):
            if f"prediction_{name}" not in samples:
                continue
            truth, prediction = samples[f"target_{name}"][number], samples[f"prediction_{name}"][number]
            if truth.ndim == 0:
                words.append(
                    f"{name.replace('_', ' ')}: {spelled(float(truth))} ({float(prediction):.2f} predicted)"
                )
                continue
            pictures += [
                _painted(images[number], truth, name, "truth"),
                _painted(images[number], prediction, name, "predicted"),
            ]
        yield Strip(f"{whose} example {number + 1}", tuple(pictures), note="; ".join(words), in_half=True)


def _plain(image: NDArray[Any], caption: str) -> Picture:
    rows, columns = image.shape
    return Picture(grey_png(image), columns, rows, caption=caption)


def _painted(image: NDArray[Any], label: NDArray[Any], name: str, what: str) -> Picture:
    rows, columns = image.shape
    if label.ndim == 3:
        tints = tuple(
            heat_png(heatmap, HEAT_COLOURS[number % len(HEAT_COLOURS)])
            for number, heatmap in enumerate(label)
        )
    else:
        palette = ("#000000", *colours.BOXES) if "box" in name else colours.SEGMENTS
        tints = (classes_png(np.where(label == 255, 0, label), palette),)
    caption = f"{name.replace('_', ' ')}, {what}"
    return Picture(grey_png(image), columns, rows, tints=tints, caption=caption)
