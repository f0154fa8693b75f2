"""`anatprep evaluate`: how good a run is on patients it never saw."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen
from cli.options import Device, Json
from cli.workspace import command_line


class Split(StrEnum):
    """The parts that patients are divided into."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    ALL = "all"


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What `anatprep train` wrote.")],
    store: Annotated[Path, typer.Option("--store", help="The store to measure on.")],
    split: Annotated[Split, typer.Option("--split", help="Whose patients.")] = Split.TEST,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Measure a run on a store; refuses test patients that the run or its pretraining has seen."""
    screen = Screen(as_json=json)

    from training.evaluate import evaluate as measure

    with screen.progress() as progress:
        measures = measure(run, store, split=split.value, device=device, progress=progress)
    screen.heading(f"{run} on {store.name}, {split.value} patients")
    for label, task in measures["tasks"].items():
        screen.say(f"{label}: {task['images']} images of {len(task['patients'])} patients")
        rows = [(name, value, task["sd"].get(name)) for name, value in task["mean"].items()]
        screen.table(("measure", "mean", "sd over patients"), rows)
        screen.table(("of all slices", "value"), list(task.get("all_slices", {}).items()))
        screen.counts("counted", task["counts"])
    screen.next_command(command_line("anatprep", "report", run, "-o", "report.html"))
    screen.finish(measures)
