"""Positional contrastive learning: slices from like places of two hearts shall be like each other.

Zeng et al., MICCAI 2021, "Positional contrastive learning for volumetric medical image segmentation". The
loss is SimCLR's with several positives: among the 2b views of a batch the positives of anchor i are all
whose relative positions differ from its own by less than a threshold, the views of its own image always:

    P(i) = { j != i : | n_i / N_i - n_j / N_j | < t },   L_i = 1/|P(i)| * sum over p in P(i) of l(i, p)

with slice n = 0, 1, ... of N and t = .1 (de Mooij et al. 2024; l as in `training.tasks.contrastive`). The
comparison is exact (`training.tasks.positions`). Neighbours in a stack of N slices are 1 / N apart: for
N <= 10 no two slices of one stack are positives of each other, and whether slices of two stacks are depends
on both numbers of slices. `threshold_mm` asks for the distance in mm from the base along the stack's normal
instead, whatever the number of slices; a heart of twice the length then has twice the positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dicomgeom.errors import NothingUsable
from training.backbones import Backbone
from training.gathering import gathered
from training.tasks.collapse import MONITORED, monitored
from training.tasks.contrastive import nt_xent
from training.tasks.embedding import SMALLEST_BATCH, check_batch, mlp, pooled, stacked
from training.tasks.positions import MICROMETRES_A_MM, exact, micrometres_from_base, near, stored_at
from training.tasks.task import Batch, Crop, StoreFacts, SumAndCount, Task


class Pcl(Task):
    """NT-Xent with positives by position.

    Parameters
    ----------
    threshold
        On relative positions, 0 to 1.
    threshold_mm
        On distances from the base in mm; 0 takes relative positions.
    temperature, hidden, size, norm
        As for SimCLR.
    """

    trains = "encoder"
    least_images = SMALLEST_BATCH
    crops = (Crop(), Crop())
    weights = MONITORED
    micrometres: Tensor

    def __init__(
        self,
        backbone: Backbone,
        facts: StoreFacts,
        threshold: float = 0.1,
        threshold_mm: float = 0.0,
        temperature: float = 0.1,
        hidden: int = 512,
        size: int = 512,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.by_mm, self.temperature = threshold_mm > 0, temperature
        self.needs = frozenset(
            {"location", "patient_from_pixel", "stack_key"} if self.by_mm else {"slice_index", "n_slices"}
        )
        self.threshold = Fraction(round(threshold_mm * MICROMETRES_A_MM)) if self.by_mm else exact(threshold)
        self.head = mlp(backbone.encoder_channels[-1], (hidden, hidden), size, norm)
        # By row of the store; made from whole stacks, so it cannot travel with a batch.
        self.register_buffer("micrometres", torch.full((0,), -1), persistent=False)

    def usable(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Rows whose position is known; in mm it is worked out here, and kept."""
        if not self.by_mm:
            inside: NDArray[np.bool_] = columns["slice_index"] < columns["n_slices"]
            return inside & (columns["slice_index"] >= 0)
        found = micrometres_from_base(columns)
        self.micrometres = stored_at(columns["row"], found, self.micrometres)
        if len(found) and (self.micrometres < 0).all():
            raise NothingUsable(
                "tasks.pcl.threshold_mm needs the places of slices in mm, which no stack of the store tells; "
                "leave it at 0 to compare relative positions, or give a store made from DICOM"
            )
        return found >= 0

    def position(self, batch: Batch) -> Tensor:
        """(b, 2) int64: numerator and denominator of each slice's position."""
        if self.by_mm:
            distance = self.micrometres[batch.example]
            return torch.stack([distance, torch.ones_like(distance)], dim=1)
        return torch.stack([batch.labels["slice_index"], batch.labels["n_slices"]], dim=1).long()

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """`nt_xent` over the views of all images, and what is watched."""
        check_batch(crops[0], "pcl", training=self.training)
        embedded: Tensor = self.head(pooled(backbone, stacked(crops))).float()
        position = self.position(crops[0]).repeat(len(crops), 1)
        vectors, start = gathered(embedded, training=self.training)
        positions, _ = gathered(position, training=self.training)
        positive = near(position, positions, self.threshold)
        return {
            "nt_xent": nt_xent(embedded, vectors, positive, start, self.temperature),
            **monitored(embedded),
        }
