"""`anatprep diagnose`: what a run's segmentations are worth to a diagnosis."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.console import Screen, counted
from cli.evaluate import range_of
from cli.given_stores import given_store
from cli.options import Device, Json


class HeldOut(StrEnum):
    """The parts that the forest does not learn from."""

    VALIDATION = "validation"
    TEST = "test"


def diagnose(
    store: Annotated[str, typer.Option("--store", help="A labelled store with diagnoses: a path or a URL.")],
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="What `anatprep train segment-sax` wrote; without it manual segmentations alone are tested.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[HeldOut, typer.Option("--split", help="Whose patients are diagnosed.")] = HeldOut.TEST,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds give equal forests.")] = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Diagnose hearts by a random forest on ten features: ejection, volumes, mass, height and weight.

    The forest learns from the manual segmentations of the store's training patients and is tested on those of
    RUN, and beside them on the manual ones: areas under the ROC curve, one class against the rest.
    RUN/diagnosis.json keeps features and probabilities of every patient.
    """
    screen = Screen(as_json=json)
    store = given_store(store)

    from training.diagnosis import diagnose as test

    with screen.progress() as progress:
        found = test(run, store, split=split.value, seed=seed, device=device, progress=progress)
    whose = "manual segmentations" if run is None else str(run)
    screen.heading(f"{whose} on {store}, {split.value} patients")
    screen.say(f"a forest of {counted(found['trained_on'], 'training patient')}, manual segmentations")
    _show_left_out(screen, "training patients", found["trained_without"])
    if found["left_out"]:
        screen.say(f"note: no training patient has {', '.join(found['left_out'])}: the forest does without")
    for kind in ("automatic", "manual"):
        if kind in found:
            _show(screen, kind, found[kind], found["classes"])
    tested = [found[kind]["volumes_left_out"] for kind in ("automatic", "manual") if kind in found]
    screen.finish(found, skipped=any((found["trained_without"], *tested)))


def _show_left_out(screen: Screen, whose: str, volumes: int) -> None:
    if volumes:
        screen.say(
            f"note: {counted(volumes, 'volume')} of {whose} with images left out, whose pixels cannot be "
            "used: taken for neither end-diastole nor end-systole"
        )


def _show(screen: Screen, kind: str, tested: dict[str, Any], classes: list[str]) -> None:
    patients = counted(len(tested["patients"]), "patient")
    ranges = tested["auc_interval"]
    rows = [(name, area, range_of(ranges.get(name))) for name, area in tested["auc"].items()]
    screen.say(f"{kind} segmentations of {patients}, {tested['accuracy']:.1%} diagnosed rightly")
    _show_left_out(screen, "these patients", tested["volumes_left_out"])
    screen.table(("area under the ROC curve", "value", "95 %"), rows)
    screen.table(
        ("true", *classes),
        [(name, *row) for name, row in zip(classes, tested["confusion"], strict=True)],
    )
    screen.counts("unknown, the training patients' median taken", tested["unknown"])
