"""`anatprep evaluate`: how good a run is on patients it never saw."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.console import Screen, counted
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
    for line in _doubts(measures):
        screen.say(f"note: {line}")
    for label, task in measures["tasks"].items():
        screen.say(
            f"{label}: {counted(task['images'], 'image')} in {counted(task['volumes'], 'volume')} "
            f"of {counted(len(task['patients']), 'patient')}"
        )
        rows = [(name, value, task["sd"].get(name)) for name, value in task["mean"].items()]
        screen.table(("measure", "mean", "sd over patients"), rows)
        screen.table(("of all slices", "value"), list(task.get("all_slices", {}).items()))
        screen.counts("counted", task["counts"])
    screen.next_command(command_line("anatprep", "report", run, "-o", "report.html"))
    screen.finish(measures)


def _doubts(measures: dict[str, Any]) -> list[str]:
    """Spell what a reader of the measures must know."""
    doubts = []
    if not measures["ancestors_known"]:
        doubts.append(
            "the run's initial weights do not say whom they were trained on; these patients may be among them"
        )
    if not measures["patients_comparable"]:
        doubts.append(
            "no patient links this store with all that were learned from, so their keys may have different "
            "salts and it cannot be told whether these patients were seen; index with one --salt-file"
        )
    if measures["images_left_out"]:
        incomplete = sum(task["volumes_incomplete"] for task in measures["tasks"].values())
        doubts.append(
            f"{counted(measures['images_left_out'], 'image')} left out, whose pixels cannot be used; "
            f"{counted(incomplete, 'volume')} measured without all images"
        )
    return doubts
