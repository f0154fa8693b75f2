"""What every task has in common: batches in, sums and counts out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.backbones import Backbone


@dataclass(frozen=True)
class Crop:
    """One view of an example that a task wants, augmented as the recipe says, on its own draws.

    Attributes
    ----------
    share
        Side of the view over the side of the store's grid; 1 is the whole grid. A smaller view is a window
        of the augmented image at a place drawn at random, with pixels of the same size.
    """

    share: float = 1.0


@dataclass(frozen=True)
class Batch:
    """A batch as a task sees it: augmented images, and the parameters from which labels are drawn.

    Attributes
    ----------
    image
        (b, 1, rows, columns) float32, normalised.
    labels
        Parameters carried through the augmentation, NaN = unknown: `line` (b, K, 3), `line_sigma_px` (b,),
        `box_centre` (b, 9, 2), `box_present` (b, 9), `box_side_px` (b,), `location` (b,), `location_sine`
        (b,); `segmentation` (b, rows, columns) int64 is the only raster. Only what the task needs is there.
    augmented_from_store
        (b, 3, 3): pixel (column, row, 1) of the store's grid -> pixel of `image`.
    example
        (b,) int64, rows of the store.
    draw
        (b,) int64, the key of every random draw of this example in this epoch.
    unit
        (b,) int64, which unit of the batch (slice, pair or series) the image belongs to: 0, 1, ...
    """

    image: Tensor
    labels: Mapping[str, Tensor]
    augmented_from_store: Tensor
    example: Tensor
    draw: Tensor
    unit: Tensor


@dataclass(frozen=True)
class SumAndCount:
    """A loss before it is averaged, so that masked means are right over several batches or GPUs."""

    sum: Tensor
    count: Tensor

    def mean(self) -> Tensor:
        """Sum over count; 0, with a gradient of 0, where nothing was counted."""
        return self.sum / self.count.clamp(min=1.0)


@dataclass(frozen=True)
class StoreFacts:
    """What a task must know of its store; kept with the weights, so that no store is needed later."""

    rows: int
    columns: int
    spacing_mm: float
    partners: tuple[str, ...]
    box_names: tuple[str, ...]
    box_side_px: float
    line_sigma_px: float
    segment_names: tuple[str, ...]
    location_mapping: str
    protocol: str
    view: str
    finding_names: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As plain lists, numbers and words."""
        return asdict(self)

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> StoreFacts:
        """The inverse of `as_json`."""
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in read.items()}
        return cls(**plain)


class Task(nn.Module):
    """A pretext or a downstream task: the labels it needs, its head, its loss.

    Attributes
    ----------
    needs
        Names of the store's arrays that its labels come from.
    trains
        "encoder" or "both": which parts of the backbone its loss reaches.
    unit
        What a batch is a number of: "slice"; "pair" (two slices of one stack and phase, the first and the
        second crop); "series" (all slices of one stack and phase, in their order; see `Batch.unit`).
    crops
        The views of each unit that `loss` is given, in this order.
    least_images
        What each process of a team needs of a batch.
    weights
        How much each part of the loss counts; 1 where it is not named.
    segment_names
        What the classes of a segmentation mean, background first; empty for other tasks.
    outputs
        What the outputs of its head mean, in their order: initial weights hand their head to a task with
        the same.
    """

    needs: frozenset[str] = frozenset()
    trains: str = "both"
    unit: str = "slice"
    crops: tuple[Crop, ...] = (Crop(),)
    least_images: int = 1
    weights: Mapping[str, float] = {}
    segment_names: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def usable(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Which rows hold at least one label this task can learn from.

        Parameters
        ----------
        columns
            The small arrays named in `needs`, (E, ...), and ``row`` (E,), the rows themselves; for
            `segmentation`, ``has_segmentation`` (E,) instead. A task without labels can use every row.
        """
        return np.ones(len(columns["row"]), dtype=bool)

    def heads_without_labels(self, columns: Mapping[str, NDArray[Any]]) -> list[str]:
        """Names of the heads for which none of these rows holds a label."""
        return []

    def switch_off(self, heads: Collection[str]) -> None:
        """Leave these heads out of loss, prediction and targets."""

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """The parts of the loss, by name."""
        raise NotImplementedError

    def predict(self, backbone: Backbone, image: Tensor) -> dict[str, Tensor]:
        """What it says of images (b, 1, rows, columns): `boxes`, `heatmaps`, `location`, `segmentation`.

        Nothing for a pretext whose output means nothing to people.
        """
        return {}

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """What it should have said: same names and shapes as `predict`; NaN or 255 where unknown."""
        return {}

    def see_training(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Called once before the first step with the columns of the chosen units, a row each (balances)."""

    def begin(self, backbone: Backbone) -> None:
        """Called once before the first step, with initial weights loaded (teachers copy their student)."""

    def before_step(self, step: int, steps: int) -> None:
        """Called before each step of this task, `step` of the run's `steps`, from 0 (temperatures)."""

    def after_step(self, backbone: Backbone, step: int, steps: int) -> None:
        """Called after each optimiser step of this task (moving averages and the like)."""


def masked_squared_error(predicted: Tensor, target: Tensor) -> SumAndCount:
    """Squared error summed over where the target is known; NaN = unknown.

    NaN is replaced before the arithmetic: masking the error afterwards would leave NaN in the gradients.
    """
    known = ~torch.isnan(target)
    error = predicted.float() - torch.where(known, target, torch.zeros_like(target))
    return SumAndCount((error.square() * known).sum(), known.sum().float())


def masked_cross_entropy(logits: Tensor, classes: Tensor, ignored: int = 255) -> SumAndCount:
    """Cross-entropy summed over the pixels whose class is not `ignored`.

    Parameters
    ----------
    logits
        (b, classes, rows, columns).
    classes
        (b, rows, columns) int64.
    """
    total = nn.functional.cross_entropy(logits.float(), classes, ignore_index=ignored, reduction="sum")
    return SumAndCount(total, (classes != ignored).sum().float())
