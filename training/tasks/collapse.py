"""Whether embeddings still tell images apart: numbers for the log, without gradients.

A joint-embedding pretext can reach a low loss by giving every image the same vector. Two numbers tell:

- spread (Chen and He, CVPR 2021, SimSiam, section 4.1): the standard deviation of each dimension of the
  L2-normalised vectors over the batch, averaged, times sqrt(d). 1 for directions all over the sphere,
  0 when all are one.
- dimensions: (tr C)^2 / tr(C^2) of the covariance C of the same vectors (the participation ratio), the
  number of directions that are really used: d when all vary alike, 1 when one does. It is at most the
  number of vectors less one.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from training.tasks.task import SumAndCount

COLLAPSED_BELOW = 0.05
"""A spread below this is a twentieth of what unrelated directions have: images are hardly told apart."""

MONITORED: Mapping[str, float] = {"spread": 0.0, "dimensions": 0.0}
"""The parts of `monitored` with their weight in the loss: they are only watched."""


def monitored(embedded: Tensor) -> dict[str, SumAndCount]:
    """Spread and dimensions of vectors (n, d), each weighted by n so that batches average."""
    with torch.no_grad(), torch.autocast(embedded.device.type, enabled=False):
        unit = normalize(embedded.detach().float(), dim=1)
        count, size = unit.shape
        centred = unit - unit.mean(dim=0)
        spread = centred.square().mean(dim=0).sqrt().mean() * size**0.5
        # Vectors by vectors or dimensions by dimensions: both have the same trace and squared entries.
        products = centred @ centred.T if count < size else centred.T @ centred
        squared = products.square().sum()
        dimensions = products.trace().square() / squared.clamp(min=torch.finfo(torch.float32).tiny)
        images = torch.full_like(spread, float(count))
        return {
            "spread": SumAndCount(spread * images, images),
            "dimensions": SumAndCount(dimensions * images, images),
        }


def told_of_collapse(losses: Mapping[str, float]) -> list[str]:
    """Warnings for people, from the last logged mean of each part, "task/part"."""
    return [
        f"{name.rpartition('/')[0]}: its embeddings have collapsed, with a spread of {value:.3f} of 1: all "
        "images look alike to this network, and its weights are of little use; try a smaller "
        "optimiser.learning_rate, a larger batch_size or more augmentation"
        for name, value in losses.items()
        if name.endswith("/spread") and value < COLLAPSED_BELOW
    ]
