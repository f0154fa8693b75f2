"""Looking at a network while it learns: losses on validation patients, and pictures for the report."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.checkpoint import write_atomically
from training.data import plain_batches
from training.model import Model
from training.recipe import Recipe
from training.streams import LearningStream, evenly
from training.tasks.task import Batch

SAMPLES = 8
"""Images in `samples.npz`."""

SAMPLES_FILE = "samples.npz"


@torch.no_grad()
def validate(
    model: Model, streams: list[LearningStream], recipe: Recipe, members: int = 1
) -> dict[str, float]:
    """Mean of each part of the losses over the validation rows, and the Dice of each structure.

    One of a team's members does it alone, with as many images at a time as its share of a batch has.

    The Dice here pools all validation pixels, which is quick; `evaluate` gives the one by patient. What no
    validation row has (a loss without any label, a structure neither there nor predicted) is not in the
    table: a 0 would look like a measure.
    """
    model.eval()
    means: dict[str, float] = {}
    for stream in streams:
        totals: dict[str, list[float]] = {}
        for crops in stream.validation_crops(recipe, members):
            parts = stream.task.loss(model.backbone, crops)
            for name, part in parts.items():
                _add(totals, name, float(part.sum), float(part.count))
            if "segmentation" in stream.task.needs:
                _add_overlaps(totals, model, stream, crops[0])
        means |= {f"{stream.label}/{name}": top / below for name, (top, below) in totals.items() if below}
    model.train()
    return means


def _add(totals: dict[str, list[float]], name: str, top: float, below: float) -> None:
    held = totals.setdefault(name, [0.0, 0.0])
    held[0] += top
    held[1] += below


def _add_overlaps(totals: dict[str, list[float]], model: Model, stream: LearningStream, batch: Batch) -> None:
    said = stream.task.predict(model.backbone, batch.image)["segmentation"]
    true = stream.task.targets(batch)["segmentation"]
    said = said.where(true != 255, 255)
    for number, name in enumerate(stream.task.segment_names[1:], start=1):
        inside_said, inside_true = said == number, true == number
        sizes = int(inside_said.sum()) + int(inside_true.sum())
        _add(totals, f"dice {name}", 2.0 * int((inside_said & inside_true).sum()), sizes)


@torch.no_grad()
def write_samples(run: Path, model: Model, stream: LearningStream, recipe: Recipe) -> None:
    """Write up to eight images, held-out ones where there are any, with what is said and what is true."""
    model.eval()
    rows = stream.validation if len(stream.validation) else np.unique(stream.order.rows)
    arrays: dict[str, list[NDArray[Any]]] = {}
    # A task that looks at series would take several images for one.
    size = 1 if stream.task.unit == "series" else recipe.batch_size
    for _, batch in plain_batches(stream.source, evenly(rows, SAMPLES), size, stream.facts, recipe.normalise):
        shown = {"image": batch.image[:, 0]}
        shown |= {f"target_{name}": values for name, values in stream.task.targets(batch).items()}
        shown |= {
            f"prediction_{name}": values
            for name, values in stream.task.predict(model.backbone, batch.image).items()
        }
        for name, values in shown.items():
            plain = values.cpu().numpy()
            arrays.setdefault(name, []).append(
                plain.astype(np.uint8 if plain.dtype == np.int64 else np.float32)
            )
    buffer = io.BytesIO()
    joined: dict[str, Any] = {name: np.concatenate(parts) for name, parts in arrays.items()}
    joined["held_out"] = np.array(bool(len(stream.validation)))
    np.savez_compressed(buffer, **joined)
    write_atomically(run / SAMPLES_FILE, buffer.getvalue())
    model.train()
