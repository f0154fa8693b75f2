"""Who trains in `benchmarks.train`: the same network, fed in four ways.

Each contender has a network, an optimiser and a task of its own, made from the same seed. What differs is
where its batches come from:

- constant: one batch that is there already, its labels drawn. Nothing but the network: the most there is.
- resident, streamed: the trainer's own step, with the store in memory, or read slice by slice.
- MONAI: CacheDataset, RandAffined on image and label rasters, DataLoader; without tracking of metadata, with
  pinned memory for a GPU. Once as the loader is by default, in the process itself; for a GPU also with worker
  processes, as many as there are cores to spare.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dicomgeom.progress import silent
from pretext_targets.reader import StoreReader
from training.data import facts_of
from training.model import make_model
from training.recipe import Recipe
from training.sources import brought
from training.steps import Training
from training.streams import LearningStream, open_stores, open_streams
from training.tasks.task import Batch, Task
from training.team import Team

STREAMED_BYTES = 1
"""A memory in which no store fits."""

LARGEST_WORKERS = 8

RASTERS = {"boxes": "box_mask", "heatmaps": "line_heatmap", "segmentation": "segmentation"}
"""The arrays of a store that hold what tasks draw, for those who cannot draw."""


def trainer(recipe: Recipe, store: Path, device: torch.device, memory_bytes: int | None = None) -> Training:
    """A training that stands before its first step."""
    readers = open_stores(recipe, {"": store})
    model = make_model(recipe, [facts_of(readers[stream.store].attributes) for stream in recipe.streams])
    streams, _ = open_streams(recipe, readers, model, device, memory_bytes=memory_bytes)
    for stream in streams:
        stream.task.begin(model.backbone)
    made = Training(recipe, Path(tempfile.gettempdir()), model, streams, device, Team(), silent)
    made.model.train()
    return made


def steps_of(training: Training) -> Callable[[], None]:
    """The trainer's own steps."""
    numbers = iter(range(training.recipe.steps))
    return lambda: training.one_step(next(numbers))


def constant_steps(training: Training) -> Callable[[], None]:
    """Steps on one batch whose labels are drawn once."""
    (stream,) = training.streams
    crops = stream.crops(0, training.recipe, Team())
    for task in tasks_in(stream.task):
        say_always(task, task.targets(crops[0]))
    return lambda: only_the_network(training, stream, crops)


def contenders(recipe: Recipe, store: Path, device: torch.device) -> dict[str, Callable[[], None]]:
    """All of them, the constant batch first."""
    works = {
        "constant batch": constant_steps(trainer(recipe, store, device)),
        "resident": steps_of(trainer(recipe, store, device)),
        "streamed": steps_of(trainer(recipe, store, device, STREAMED_BYTES)),
        "MONAI": monai_steps(trainer(recipe, store, device), store),
    }
    workers = min(LARGEST_WORKERS, (os.cpu_count() or 1) - 1)
    if device.type == "cuda" and workers:
        works[f"MONAI, {workers} workers"] = monai_steps(trainer(recipe, store, device), store, workers)
    return works


def monai_steps(training: Training, store: Path, workers: int = 0) -> Callable[[], None]:
    """Steps on MONAI's batches."""
    (stream,) = training.streams
    batches = monai_batches(training.recipe, store, stream, training.device, workers)

    def step() -> None:
        batch, targets = next(batches)
        for task in tasks_in(stream.task):
            say_always(task, targets)
        only_the_network(training, stream, [batch])

    return step


def feeding(training: Training) -> Callable[[], None]:
    """What the trainer does for a batch beside the network: fetch, augment, normalise, draw the labels."""
    (stream,) = training.streams
    numbers = iter(range(training.recipe.steps))

    def feed() -> None:
        (batch,) = stream.crops(next(numbers), training.recipe, Team())
        stream.task.targets(batch)

    return feed


def monai_feeding(training: Training, store: Path) -> Callable[[], None]:
    """What MONAI does for a batch."""
    (stream,) = training.streams
    batches = monai_batches(training.recipe, store, stream, training.device)
    return lambda: (next(batches), None)[1]


def tasks_in(task: Task) -> list[Task]:
    """A task and those it is made of."""
    return [one for one in task.modules() if isinstance(one, Task)]


def say_always(task: Task, targets: Mapping[str, torch.Tensor]) -> None:
    """Make a task take these targets for those of any batch."""
    task.targets = lambda _: dict(targets)  # type: ignore[method-assign]


def only_the_network(training: Training, stream: LearningStream, crops: list[Batch]) -> None:
    """Forward, loss, backward, penalty, the optimiser's step."""
    recipe, device = training.recipe, training.device
    with torch.autocast(device.type, torch.bfloat16, enabled=bool(recipe.amp) and device.type == "cuda"):
        parts = stream.task.loss(training.model.backbone, crops)
    weights = stream.task.weights
    loss = torch.stack([weights.get(name, 1.0) * part.mean() for name, part in parts.items()]).sum()
    training.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    training._penalise_and_clip()
    training.optimiser.step()


def monai_batches(
    recipe: Recipe, store: Path, stream: LearningStream, device: torch.device, workers: int = 0
) -> Iterator[tuple[Batch, dict[str, torch.Tensor]]]:
    """Augmented batches as MONAI makes them, for ever."""
    from monai.data import CacheDataset, DataLoader, set_track_meta
    from monai.transforms import Compose, NormalizeIntensityd, RandAffined

    set_track_meta(False)
    items, label = items_of(store, stream)
    augment = recipe.augment
    steps = Compose(
        [
            NormalizeIntensityd("image"),
            RandAffined(
                ["image", label] if label else ["image"],
                prob=1.0,
                rotate_range=math.radians(augment.rotation_deg),
                scale_range=(augment.scale_min - 1.0, augment.scale_max - 1.0),
                mode=["bilinear", "bilinear" if label == "heatmaps" else "nearest"][: 1 + bool(label)],
                padding_mode="zeros",
            ),
        ]
    )
    loader = DataLoader(
        CacheDataset(items, steps, progress=False),
        batch_size=recipe.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )
    while True:
        for given in loader:
            yield as_batch(given, label, device)


def items_of(store: Path, stream: LearningStream) -> tuple[list[dict[str, Any]], str]:
    """Images and label rasters of the rows a stream trains on, and which raster it is."""
    reader, rows = StoreReader(store), np.asarray(stream.order.rows)
    names = {name for task in tasks_in(stream.task) for name in task.needs}
    wanted = {"box_centre": "boxes", "line": "heatmaps", "segmentation": "segmentation"}
    label = next((kind for need, kind in wanted.items() if need in names), "")
    scale, offset = (reader.column(f"image_{name}")[rows, None, None] for name in ("scale", "offset"))
    image = reader.read("image", rows) * scale + offset
    items = [{"image": torch.from_numpy(one[None].astype(np.float32))} for one in image]
    if label:
        raster = reader.read(RASTERS[label], rows).astype(np.float32)
        raster = raster / 255.0 if label == "heatmaps" else raster[:, None]
        for item, one in zip(items, raster, strict=True):
            item[label] = torch.from_numpy(one)
    for item, location in zip(items, reader.column("location")[rows], strict=True):
        item["location"] = torch.tensor(location)
    return items, label


def as_batch(
    given: Mapping[str, torch.Tensor], label: str, device: torch.device
) -> tuple[Batch, dict[str, torch.Tensor]]:
    """What the loader gives, on the device, in the form that tasks take."""
    there = {name: brought(values, device) for name, values in given.items()}
    count = len(there["image"])
    image = there["image"].contiguous(memory_format=torch.channels_last)
    numbers = torch.zeros(count, dtype=torch.int64, device=device)
    matrix = torch.zeros(count, 3, 3, device=device)
    targets = {"location": there["location"]}
    if label:
        raster = there[label]
        targets[label] = raster if label == "heatmaps" else raster[:, 0].long()
    return Batch(image, {}, matrix, numbers, numbers, numbers), targets
