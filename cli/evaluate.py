"""`anatprep evaluate`: how good a run is on patients it never saw, alone or against another run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.console import Screen, counted
from cli.given_stores import given_store
from cli.options import Device, Json
from cli.workspace import command_line

DECIMALS = 4
"""Significant digits of the ends of an interval."""


class Split(StrEnum):
    """The parts that patients are divided into."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    ALL = "all"


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What `anatprep train` wrote.")],
    store: Annotated[str, typer.Option("--store", help="The store to measure on: a path or a URL.")],
    split: Annotated[Split, typer.Option("--split", help="Whose patients.")] = Split.TEST,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="RUN",
            help="Another run to compare with on the same patients; measured now where it was not yet, and "
            "what its evaluation.json holds of another split or store stays. Means over structures are "
            "compared where both runs learned the same ones.",
            show_default=False,
        ),
    ] = None,
    any_spacing: Annotated[
        bool, typer.Option("--any-spacing", help="Pixels may have another size than in training.")
    ] = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Measure a run on a store; refuses test patients that the run or its pretraining has seen.

    Means, standard deviations and bootstrap intervals are over patients; RUN/evaluation.json keeps every
    patient's values. With --against the patients of two runs are paired: difference (RUN - other), its
    interval, and p of a permutation and of Wilcoxon's test.
    """
    screen = Screen(as_json=json)
    store = given_store(store)

    from training.evaluate import evaluate as measure

    if against is not None:
        from training.transfer import read_initial_weights

        read_initial_weights(against)  # what is wrong with it is said before the first run is measured
    with screen.progress() as progress:
        measures = measure(
            run, store, split=split.value, any_spacing=any_spacing, device=device, progress=progress
        )
        compared: dict[str, Any] = {}
        if against is not None:
            from training.run_comparison import compared as compare
            from training.run_comparison import measured_or_evaluate

            other = measured_or_evaluate(
                against, store, split=split.value, any_spacing=any_spacing, device=device, progress=progress
            )
            compared = {
                label: {name: one.as_json() for name, one in pairs.items()}
                for label, pairs in compare(measures, other).items()
            }
    screen.heading(f"{run} on {store}, {split.value} patients")
    for line in _doubts(measures):
        screen.say(f"note: {line}")
    for label, task in measures["tasks"].items():
        _show_task(screen, label, task)
    for label, pairs in compared.items():
        _show_comparison(screen, f"{label}: {run} - {against}", pairs)
    screen.next_command(command_line("anatprep", "report", run))
    result = measures | ({"against": compared} if compared else {})
    screen.finish(result, skipped=bool(measures["images_left_out"]))


def _show_task(screen: Screen, label: str, task: dict[str, Any]) -> None:
    screen.say(
        f"{label}: {counted(task['images'], 'image')} in {counted(task['volumes'], 'volume')} "
        f"of {counted(len(task['patients']), 'patient')}"
    )
    rows = [
        (name, value, task["sd"].get(name), range_of(task["interval"].get(name)), task["median"].get(name))
        for name, value in task["mean"].items()
    ]
    screen.table(("measure", "mean", "sd over patients", "95 %", "median"), rows)
    for title, values, intervals in (
        ("of all slices", "all_slices", "all_slices_interval"),
        ("area under the ROC curve", "auc", "auc_interval"),
    ):
        ranges = task.get(intervals, {})
        whole = [(name, value, range_of(ranges.get(name))) for name, value in task.get(values, {}).items()]
        screen.table((title, "value", "95 %"), whole)
    screen.counts("counted", task["counts"])


def _show_comparison(screen: Screen, title: str, pairs: dict[str, dict[str, Any]]) -> None:
    rows = [
        (
            name,
            one["first"],
            one["second"],
            one["difference"],
            range_of(one["interval"]),
            one["permutation_p"],
            one["wilcoxon_p"],
            one["patients"],
            one["only_first"] + one["only_second"],
        )
        for name, one in pairs.items()
    ]
    columns = ("measure", "this", "other", "difference", "95 %", "p permutation", "p Wilcoxon")
    screen.say(title)
    screen.table((*columns, "patients", "in one run only"), rows)


def range_of(interval: Any) -> str:
    """Spell the two ends of an interval."""
    return "" if interval is None else f"{interval[0]:.{DECIMALS}g} to {interval[1]:.{DECIMALS}g}"


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
        # Tasks measure the same volumes: their sum would count one several times.
        incomplete = max(task["volumes_incomplete"] for task in measures["tasks"].values())
        doubts.append(
            f"{counted(measures['images_left_out'], 'image')} left out, whose pixels cannot be used; "
            f"{counted(incomplete, 'volume')} measured without all images"
        )
    if any("(voxels)" in name for task in measures["tasks"].values() for name in task["mean"]):
        doubts.append(
            "the store does not know how large the pixels of some patients are or how far apart their "
            "slices: their distances are in voxels, and their volumes are left out"
        )
    return doubts
