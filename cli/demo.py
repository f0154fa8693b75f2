"""`anatprep demo`: the whole way on digital patients, as the commands a user would type.

Every step is the command line it prints, run in this process. Finished steps are noted in
``DIR/demo.json`` and skipped the next time; a step that was interrupted goes on, because
every command does.
"""

from __future__ import annotations

import contextlib
import io
import json as jsonlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.console import Screen, counted
from cli.options import Device, Json
from cli.workspace import Workspace, command_line
from dicomgeom.errors import EXIT_DONE, EXIT_SOME_SKIPPED, IntegrityError

NOTES_FILE = "demo.json"

FEW_STEPS = (
    "tasks.segmentation.dice=1", "optimiser.l1=0", "optimiser.learning_rate=1e-2",
    "augment.gamma=0.5", "augment.intensity_scale=0.3", "augment.intensity_shift=0.3",
)  # fmt: skip
"""Dice beside cross-entropy finds small structures sooner; the paper's L1 penalty needs many steps. Patients
differ in contrast more than one annotated patient shows, so contrast is varied, in both arms alike."""

HIDDEN = ("next: ", "look at it: ")
"""Lines of the single commands that would mislead here: the demo itself goes on."""


@dataclass(frozen=True)
class Extent:
    """How much of everything; the defaults are what two CPU cores do in minutes.

    Attributes
    ----------
    seed
        Of the patients: the default gives 3 test patients or more, and at least one for validation.
    pixels, spacing_mm
        The grid: the whole field of view on few pixels.
    """

    exams: int = 16
    phases: int = 4
    seed: int = 3
    workers: int = field(default_factory=lambda: min(2, os.cpu_count() or 1))
    pixels: int = 80
    spacing_mm: float = 3.5
    width: int = 8
    pretraining_steps: int = 900
    fine_tuning_steps: int = 300
    labelled_patients: int = 1

    @property
    def in_minutes(self) -> tuple[str, ...]:
        """A small network and a steep schedule: the papers' settings need hours."""
        return (
            f"backbone.width={self.width}", "batch_size=10", "log_every=10", "validation_images=24",
            "schedule.kind=polynomial",
        )  # fmt: skip


@dataclass
class Way:
    """Runs steps, notes which are finished, and skips those."""

    screen: Screen
    root: Any
    folder: Path
    finished: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        notes = self.folder / NOTES_FILE
        if notes.exists():
            try:
                self.finished = dict(jsonlib.loads(notes.read_text(encoding="utf-8"))["finished"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise IntegrityError(f"{notes} is damaged; remove it and run the demo again") from error

    def step(self, name: str, *words: str | Path | Sequence[str]) -> None:
        """Run one command of anatprep, unless it was finished before with the same words."""
        line = command_line(*words)
        spelled = [str(part) for word in words for part in ([word] if isinstance(word, str | Path) else word)]
        self.screen.command(f"anatprep {line}")
        if self.finished.get(name) == spelled:
            self.screen.say("  finished before\n")
            return
        started_s = time.monotonic()
        shown = io.StringIO()
        try:
            with contextlib.redirect_stdout(shown):
                code = self.root.main(args=spelled, prog_name="anatprep", standalone_mode=False)
        finally:
            self._show(shown.getvalue())
        if code not in (None, EXIT_DONE, EXIT_SOME_SKIPPED):
            raise typer.Exit(code)
        self.screen.say(f"  ({time.monotonic() - started_s:.0f} s)\n")
        self.finished[name] = spelled
        self._note()

    def _show(self, text: str) -> None:
        for line in text.splitlines():
            if line.strip() and not line.startswith(HIDDEN):
                self.screen.say(f"  {line.rstrip()}")

    def _note(self) -> None:
        fresh = self.folder / f".{NOTES_FILE}"
        fresh.write_text(jsonlib.dumps({"finished": self.finished}, indent=1), encoding="utf-8")
        os.replace(fresh, self.folder / NOTES_FILE)


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where everything goes.")],
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Go the whole way on digital patients, in minutes.

    Writes an export, indexes it, builds targets, pretrains, fine-tunes with and without
    pretraining, measures both on patients neither saw, and draws the report.
    """
    go(Screen(as_json=json), context.find_root().command, folder, device, Extent())


def go(screen: Screen, root: Any, folder: Path, device: str, extent: Extent) -> None:
    """Go the whole way.

    Parameters
    ----------
    root
        The whole command line, as Typer made it.
    """
    room = Workspace.at(folder).create()
    started_s = time.monotonic()
    way = Way(screen, root, folder)
    pretext, labelled = room.store("cardiac-sax"), room.store("labelled")
    _prepare(way, room, pretext, labelled, extent)
    runs = _learn(way, room, pretext, labelled, device, extent)
    for name, run in runs.items():
        way.step(f"evaluate {name}", "evaluate", run, "--store", labelled, "--device", device)
    sources = [room.catalogue, pretext, labelled, room.run("pretrained"), *runs.values()]
    way.step("report", "report", [str(source) for source in sources], "-o", room.report)
    measures = {name: _mean_dice(run) for name, run in runs.items()}
    _conclude(screen, measures, len(_patients(runs["from scratch"])), extent.labelled_patients)
    screen.say(f"report: {room.report}  ({time.monotonic() - started_s:.0f} s in all)")
    screen.next_command(command_line("anatprep", "index", "/path/to/your/export"))
    screen.finish({"folder": folder, "report": room.report, "dice": measures})


def _prepare(way: Way, room: Workspace, pretext: Path, labelled: Path, extent: Extent) -> None:
    """Write digital patients; find their planes; make labels from geometry, and from truth."""
    export = room.folder / "export"
    truth = room.folder / "export-truth"
    workers = ("--workers", str(extent.workers))
    numbers = ("--exams", str(extent.exams), "--phases", str(extent.phases), "--seed", str(extent.seed))
    way.step("phantom", "phantom", export, numbers, workers)
    way.step("index", "index", export, "--workspace", room.folder)
    grid = ("--size", str(extent.pixels), "--spacing-mm", f"{extent.spacing_mm:g}")
    protocol = ("--protocol", "cardiac-sax", *grid, *workers)
    way.step("build-targets", "build-targets", room.catalogue, protocol, "-o", pretext)
    way.step(
        "import-labels", "import-labels", room.catalogue, truth / "segmentations", protocol, "-o", labelled
    )


def _learn(
    way: Way, room: Workspace, pretext: Path, labelled: Path, device: str, extent: Extent
) -> dict[str, Path]:
    """Pretrain on geometry's labels; fine-tune on few manual ones, with and without that."""
    pretrained = room.run("pretrained")
    way.step(
        "pretrain", "train", "pretrain-mtl", "--store", pretext, "-o", pretrained, "--device", device,
        _settings(
            *extent.in_minutes, "optimiser.learning_rate=3e-3", f"steps={extent.pretraining_steps}",
            "validate_every=150", "checkpoint_every=150",
        ),
    )  # fmt: skip
    few = _settings(
        *extent.in_minutes,
        *FEW_STEPS,
        f"steps={extent.fine_tuning_steps}",
        f"subjects={extent.labelled_patients}",
        "validate_every=50",
        "checkpoint_every=100",
    )
    runs = {"from scratch": room.run("scratch"), "pretrained": room.run("fine-tuned")}
    common = ("train", "segment-sax", "--store", str(labelled), "--device", device, *few)
    way.step("scratch", common, "-o", runs["from scratch"])
    way.step("fine-tune", common, "--init", pretrained, "-o", runs["pretrained"])
    return runs


def _settings(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


def _task(run: Path) -> dict[str, Any]:
    """Give what the evaluation of a run says about its only task."""
    evaluation = jsonlib.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    return dict(next(iter(evaluation["tasks"].values())))


def _patients(run: Path) -> dict[str, Any]:
    return dict(_task(run)["patients"])


def _mean_dice(run: Path) -> dict[str, float]:
    """Structure -> Dice, the mean over test patients."""
    means = _task(run)["mean"]
    return {name.removeprefix("dice "): value for name, value in means.items() if name.startswith("dice ")}


def _conclude(
    screen: Screen, measures: dict[str, dict[str, float]], patients: int, labelled_patients: int
) -> None:
    scratch, pretrained = measures["from scratch"], measures["pretrained"]
    rows = [
        (name, f"{scratch[name]:.3f}", f"{pretrained[name]:.3f}", f"{pretrained[name] - scratch[name]:+.3f}")
        for name in scratch
        if name in pretrained
    ]
    screen.heading(
        f"Dice on {counted(patients, 'digital patient')} that pretraining never saw, "
        f"after fine-tuning on {labelled_patients} labelled"
    )
    screen.table(("structure", "from scratch", "pretrained", "difference"), rows)
    screen.say("One seed and digital patients: an illustration, no result.")
