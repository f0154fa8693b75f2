"""What the joint-embedding pretexts share: an image to one vector, and the vector through a small head.

The coarsest level of the encoder is averaged over its pixels, as for the location. Crops of equal size go
through the network as one batch, so batch norm sees the views of a batch together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dicomgeom.errors import WrongUse
from training.backbones import Backbone
from training.tasks.task import Batch

SMALLEST_BATCH = 2
"""Batch norm of vectors, and every comparison of images, needs two images in each process."""


def pooled(backbone: Backbone, image: Tensor) -> Tensor:
    """Images (b, 1, rows, columns) -> vectors (b, channels of the coarsest level)."""
    return backbone.encode(image)[-1].mean(dim=(-2, -1))


def stacked(crops: Sequence[Batch]) -> Tensor:
    """Crops of equal size as one batch (crops x b, 1, rows, columns), one crop after the other."""
    return torch.cat([crop.image for crop in crops])


def mlp(channels: int, hidden: Sequence[int], size: int, norm: str = "batch") -> nn.Sequential:
    """Linear layers with ReLU between them: (b, channels) -> (b, size).

    Parameters
    ----------
    hidden
        Widths of the layers in between.
    norm
        "batch" puts batch norm before each ReLU, "none" nothing.
    """
    layers: list[nn.Module] = []
    for width in hidden:
        # The bias of a layer before batch norm would be taken away again by it.
        layers += [nn.Linear(channels, width, bias=norm == "none")]
        layers += [nn.BatchNorm1d(width)] if norm == "batch" else []
        layers += [nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.Linear(channels, size))


def check_batch(crop: Batch, method: str, *, training: bool) -> None:
    """Refuse to train on a batch too small to compare images in; validation may end with a short one.

    Raises
    ------
    WrongUse
        One image, or none.
    """
    images = crop.image.shape[0]
    if training and images < SMALLEST_BATCH:
        raise WrongUse(
            f"{method} learns from several images at a time, and a process got {images}: "
            f"give batch_size = {SMALLEST_BATCH} or more for each process"
        )
