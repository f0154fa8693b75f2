"""A step and a look of each shipped recipe on a pretended accelerator; prints what is wrong as JSON.

For each recipe one line, empty where nothing is wrong; the same for mistakes that are made on purpose, which
must not go through.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dicomgeom.progress import silent
from tests.helpers import pretended_accelerator as accelerator
from training.backbones import Backbone
from training.contrast import Redraw, Relaxation
from training.model import Model, make_model
from training.recipe import Recipe, load_recipe, shipped_recipes
from training.sources import Rows
from training.steps import Training
from training.streams import LearningStream
from training.tasks.task import Batch, StoreFacts, SumAndCount, Task
from training.team import Team
from training.units import Picked

IMAGES = 4
TISSUES = 5
SMALL = {"batch_size": str(IMAGES), "amp": "everywhere", "tasks.dino.local_crops": "1"}


def facts(side: int) -> StoreFacts:
    """Of a store that has everything."""
    return StoreFacts(
        rows=side,
        columns=side,
        spacing_mm=1.5,
        partners=("2CH", "4CH"),
        box_names=tuple("abcdefghi"),
        box_side_px=15.0,
        line_sigma_px=6.0,
        segment_names=("background", "LV cavity", "LV myocardium", "RV cavity"),
        location_mapping="linear",
        protocol="pretended",
        view="SAX",
        finding_names=("abnormal", "acl", "meniscus"),
    )


class Shapes:
    """A source of rows without values, of all arrays a store may have."""

    place = "device"

    def __init__(self, side: int) -> None:
        raster, single = (side, side), ()
        self._arrays: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
            "image": (raster, torch.int16),
            "tissue": (raster, torch.uint8),
            "segmentation": (raster, torch.uint8),
            "line": ((2, 3), torch.float32),
            "box_centre": ((9, 2), torch.float32),
            "box_present": ((9,), torch.bool),
            "findings": ((3,), torch.int8),
            "patient_from_pixel": ((4, 4), torch.float64),
            "patient_key": ((16,), torch.uint8),
            "stack_key": ((16,), torch.uint8),
            **dict.fromkeys(("slice_index", "phase_index", "n_slices"), (single, torch.int32)),
            **dict.fromkeys(
                ("location", "location_sine", "image_scale", "image_offset"), (single, torch.float32)
            ),
            **{
                f"{of}_{what}": (single, torch.float32)
                for of in ("image", "stack")
                for what in ("mean", "std", "min", "max")
            },
        }

    def fetch(self, rows: Rows) -> dict[str, Tensor]:
        """Of every array."""
        return {
            name: torch.empty((len(rows), *shape), dtype=kind, device=accelerator.DEVICE)
            for name, (shape, kind) in self._arrays.items()
        }

    def announce(self, rows: Rows) -> None:
        """Nothing to do."""


class Fixed:
    """Order and units of a stream whose every batch is the same; made with values, on the host."""

    def __init__(self, unit: str) -> None:
        self.rows, self._keys = np.arange(IMAGES), torch.arange(IMAGES)
        unit_of = torch.arange(IMAGES) // 2 if unit == "series" else torch.arange(IMAGES)
        self._picked = [Picked(self.rows, self._keys, unit_of)] * (2 if unit == "pair" else 1)

    def batch(self, turn: int, size: int) -> tuple[Rows, Tensor]:
        return self.rows, self._keys

    def pick(self, units: Rows, keys: Tensor) -> list[Picked]:
        return self._picked


def stream_of(model: Model, label: str, side: int) -> LearningStream:
    """A stream without a store."""
    task = model.task(label)
    fixed: Any = Fixed(task.unit)
    tissues = Relaxation(*(torch.empty(TISSUES, device=accelerator.DEVICE) for _ in range(4)))
    # It is the same for every view, and slow here: many small operations.
    redraw = Redraw(tissues, 0.5, ("balanced", "spin-echo")) if len(task.crops) == 1 else None
    return LearningStream(
        label, task, facts(side), Shapes(side), fixed, fixed, fixed.rows, fixed, frozenset(), (), redraw
    )


def look(recipe: Recipe, change: Callable[[Task], None] = lambda task: None) -> None:
    """Take a step of every stream, forward and backward, then look at what it predicts and at its targets.

    Parameters
    ----------
    change
        Spoils each task, to see that it is noticed.
    """
    side = 128 if recipe.backbone.kind == "dyn-unet" else 96
    model = make_model(recipe, [facts(side)] * len(recipe.streams))
    for label in model.labels:
        model.task(label).begin(model.backbone)
        change(model.task(label))
    with accelerator.in_use():
        accelerator.move(model)
        streams = [stream_of(model, label, side) for label in model.labels]
        training = Training(recipe, Path(), model, streams, accelerator.DEVICE, Team(), silent)
        training.optimiser.step = lambda: None  # it counts its steps with values
        model.train()
        step = 0
        for stream in recipe.streams:
            training.one_step(step)
            step += stream.turns
        for name, held in training.interval.parts.items():
            assert all(map(on_device, held)), f"{name} lies on the host"
        model.eval()
        with torch.no_grad(), torch.autocast(accelerator.NAME, torch.bfloat16):
            for stream in streams:
                look_at_outputs(stream, model.backbone, recipe)


def look_at_outputs(stream: LearningStream, backbone: Backbone, recipe: Recipe) -> None:
    """Losses, predictions and targets lie on the device, in the types that what follows expects."""
    crops = next(stream.validation_crops(recipe))
    for name, part in stream.task.loss(backbone, crops).items():
        assert part.sum.dtype == torch.float32, f"{name} is of type {part.sum.dtype}"
    for outputs in (stream.task.predict(backbone, crops[0].image), stream.task.targets(crops[0])):
        for name, values in outputs.items():
            assert on_device(values), f"{name} lies on the host"
            assert values.dtype in (torch.float32, torch.int64), f"{name} is of type {values.dtype}"


def on_device(values: Tensor) -> bool:
    return values.device == accelerator.DEVICE


def from_the_host(task: Task) -> None:
    """A loss with a tensor that was made on the host."""
    usual = task.loss

    def loss(backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        weight = torch.ones(IMAGES)
        return {
            name: SumAndCount((part.sum * weight).mean(), part.count)
            for name, part in usual(backbone, crops).items()
        }

    task.loss = loss  # type: ignore[method-assign]


def that_waits(task: Task) -> None:
    """A loss for which a value is asked for."""
    usual = task.loss

    def loss(backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        return {} if bool(crops[0].image.isnan().any()) else usual(backbone, crops)

    task.loss = loss  # type: ignore[method-assign]


def in_bfloat16(task: Task) -> None:
    """A prediction that is handed on as the network computes it."""
    usual = task.predict

    def predict(backbone: Backbone, image: Tensor) -> dict[str, Tensor]:
        return {name: values.bfloat16() for name, values in usual(backbone, image).items()}

    task.predict = predict  # type: ignore[method-assign]


MISTAKES: Mapping[str, Callable[[Task], None]] = {
    one.__name__: one for one in (from_the_host, that_waits, in_bfloat16)
}


def complaint(name: str, change: Callable[[Task], None] = lambda task: None) -> str:
    """What is wrong with a recipe there, in one line; empty for nothing."""
    width = "8" if "alexnet" in load_recipe(name).backbone.kind else "4"
    try:
        look(load_recipe(name, {**SMALL, "backbone.width": width}), change)
    except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
        frames = traceback.extract_tb(error.__traceback__)
        last = [frame for frame in frames if frame.filename.startswith(str(Path.cwd()))][-1]
        said = next(iter(str(error).splitlines()), "")
        return f"{Path(last.filename).name}:{last.lineno}: {type(error).__name__}: {said}"
    return ""


def main() -> None:
    torch.set_num_threads(1)
    accelerator.register()
    found = {name: complaint(name) for name in shipped_recipes()}
    noticed = {name: complaint("pretrain-location", change) for name, change in MISTAKES.items()}
    sys.stdout.write(json.dumps({"recipes": found, "mistakes": noticed}))


if __name__ == "__main__":
    main()
