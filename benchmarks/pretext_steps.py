"""What a step of each pretext costs, beside its forward and backward passes alone and a supervised step.

    python -m benchmarks.pretext_steps STORE [NAME ...] [--width 16] [--batch 8] [--repeats 5] [--device cpu]

STORE is a labelled store, NAMEs are recipes, by default all pretexts. All train the same U-Net at the same
crops and batch. "passes" is the loss on a batch that is there already, damage and puzzles included, and its
gradients; "step" is all that training does: fetching, augmenting, damaging, passes, optimiser, moving
averages. The two take turns; medians are printed, of the process's own time on a CPU, which other programs
disturb less, and of the clock on a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import training.tasks.jigsaw as jigsaw
from dicomgeom.progress import silent
from training.data import facts_of
from training.model import make_model
from training.recipe import load_recipe, shipped_recipes
from training.steps import Training
from training.streams import LearningStream, open_stores, open_streams
from training.tasks.task import Batch, Task
from training.team import Team

SUPERVISED = "segment-sax"
RUNGS = 1_000
"""Steps of the runs that are never finished: schedules and temperatures stand at their beginning."""


def main() -> None:
    """Print one line of a table for each recipe."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("store", type=Path)
    options.add_argument("names", nargs="*")
    options.add_argument("--width", type=int, default=16)
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--device", default="cpu")
    asked = options.parse_args()
    say("| recipe | step, ms | passes, ms | step / passes | of a supervised step | images a second |")
    say("|---|---|---|---|---|---|")
    supervised_s = float("nan")
    pretexts = [name for name in shipped_recipes() if name.startswith("pretrain-") and "knee" not in name]
    for name in (SUPERVISED, *(asked.names or pretexts)):
        step_s, passes_s = measured(name, asked)
        supervised_s = step_s if name == SUPERVISED else supervised_s
        say(
            f"| `{name}` | {1e3 * step_s:.0f} | {1e3 * passes_s:.0f} | {step_s / passes_s:.2f} "
            f"| {step_s / supervised_s:.2f} | {asked.batch / step_s:.0f} |"
        )


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def measured(name: str, asked: argparse.Namespace) -> tuple[float, float]:
    """Medians, in seconds, of a step and of its passes alone."""
    small = {"backbone.width": str(asked.width), "batch_size": str(asked.batch), "steps": str(RUNGS)}
    recipe = load_recipe(name, {**small, "validation_images": "1", "schedule.warmup_steps": "0"})
    device, readers = torch.device(asked.device), open_stores(recipe, {"": asked.store})
    facts = [facts_of(readers[stream.store].attributes) for stream in recipe.streams]
    model = make_model(recipe, facts)
    (stream,), _ = open_streams(recipe, readers, model, device)
    stream.task.begin(model.backbone)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(recipe, Path(folder), model, [stream], device, Team(), silent)
        training.model.train()
        steps, passes = [], []
        for number in range(asked.repeats + 1):
            steps.append(seconds(device, lambda at=number: training.one_step(at)))  # type: ignore[misc]
            crops = stream.crops(number, recipe, Team())
            with prepared(stream.task, crops):
                passes.append(seconds(device, lambda given=crops: only_passes(training, stream, given)))  # type: ignore[misc]
    return statistics.median(steps[1:]), statistics.median(passes[1:])


def only_passes(training: Training, stream: LearningStream, crops: list[Batch]) -> None:
    """Forward and backward."""
    on_gpu = training.device.type == "cuda"
    training.optimiser.zero_grad(set_to_none=True)
    with torch.autocast(training.device.type, torch.bfloat16, enabled=training.recipe.amp and on_gpu):
        parts = stream.task.loss(training.model.backbone, crops)
    weights = stream.task.weights
    losses = [weights.get(name, 1.0) * part.mean() for name, part in parts.items()]
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]


@contextmanager
def prepared(task: Task, crops: list[Batch]) -> Iterator[None]:
    """Within, a task's damage, masks or tiles of these crops are there already."""
    image, draw = crops[0].image, crops[0].draw
    holder: Any = jigsaw if isinstance(task, jigsaw.Jigsaw) else task
    name = next(
        (name for name in ("tiles_of", "damaged", "hidden") if callable(getattr(holder, name, None))), ""
    )
    if not name:
        yield
        return
    usual = getattr(holder, name)
    made = usual(image, draw)
    setattr(holder, name, lambda *_: made)
    try:
        yield
    finally:
        setattr(holder, name, usual)


def seconds(device: torch.device, work: Callable[[], None]) -> float:
    """What it takes, all of it."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


if __name__ == "__main__":
    main()
