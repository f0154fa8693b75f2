"""Findings of an exam (a tear, an abnormality) from a whole series of its slices.

The network of MRNet (Bien et al., PLOS Medicine 2018, "Deep-learning-assisted diagnosis for knee magnetic
resonance imaging"), with which Zhang, Wei et al. (Medical Image Analysis 2024) diagnose knees: the encoder
sees each slice alone, its coarsest level is averaged over the pixels, each feature's maximum over the slices
of a series goes into a linear layer with a logit for each label, and the loss is a binary cross-entropy in
which present and absent weigh alike however rare either is. MRNet trains one network a label; here one
network has them all, and their losses are summed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dicomgeom.errors import NothingUsable
from training.backbones import Backbone
from training.tasks.task import Batch, StoreFacts, SumAndCount, Task

UNKNOWN = -1
"""What stands in the store for a finding nobody told."""


def head_name(label: str) -> str:
    """How messages and saved weights call the output of a finding."""
    return f"finding {label}"


class Findings(Task):
    """A logit for each finding of a series.

    Parameters
    ----------
    labels
        Which of the store's findings to learn; empty: all.
    """

    needs = frozenset({"findings"})
    trains = "encoder"
    unit = "series"
    column: Tensor
    on: Tensor
    present_weight: Tensor

    def __init__(self, backbone: Backbone, facts: StoreFacts, labels: Sequence[str] = ()) -> None:
        super().__init__()
        stored = facts.finding_names
        self.label_names = tuple(name for name in labels or stored if name in stored)
        self.outputs = self.label_names
        if not self.label_names:
            wanted = f"none of the findings {', '.join(labels)}" if labels else "no findings"
            raise NothingUsable(
                f"the store has {wanted}; it has {', '.join(stored) or 'none at all'}: build one with a "
                "table of findings, or choose another recipe"
            )
        self.columns = [stored.index(name) for name in self.label_names]
        self.absent = [head_name(name) for name in labels if name not in stored]
        self.register_buffer("column", torch.tensor(self.columns), persistent=False)
        ones = torch.ones(len(self.label_names))
        self.register_buffer("on", ones.bool(), persistent=False)
        self.register_buffer("present_weight", ones, persistent=False)
        self.head = nn.Linear(backbone.encoder_channels[-1], len(self.label_names))

    def usable(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Slices of exams of which any finding is known."""
        return np.asarray((columns["findings"][:, self.columns] != UNKNOWN).any(axis=1))

    def heads_without_labels(self, columns: Mapping[str, NDArray[Any]]) -> list[str]:
        """Findings that are known of no exam, or that were asked for and that the store does not name."""
        known = (columns["findings"][:, self.columns] != UNKNOWN).any(axis=0)
        unknown = [
            head_name(name) for name, any_known in zip(self.label_names, known, strict=True) if not any_known
        ]
        return [*unknown, *self.absent]

    def switch_off(self, heads: Collection[str]) -> None:
        """Leave these findings out of the loss; they are predicted as unknown."""
        self.on.copy_(torch.tensor([head_name(name) not in heads for name in self.label_names]))

    def see_training(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Weigh "present" by the number of series without a finding over those with it."""
        findings = columns["findings"][:, self.columns]
        with_it, without = (findings == 1).sum(axis=0), (findings == 0).sum(axis=0)
        both = (with_it > 0) & (without > 0)
        weight = np.where(both, without / np.maximum(with_it, 1), 1.0)
        self.present_weight.copy_(torch.from_numpy(weight))

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """Weighted binary cross-entropy of each finding, over the series of which it is known."""
        (batch,) = crops
        logits = self.logits(backbone, batch.image, batch.unit).float()
        # A row for each slice, of which as many are used as there are series: their number would have to be
        # waited for.
        wanted = torch.full_like(logits, UNKNOWN)
        truth = batch.labels["findings"].index_select(1, self.column).float()
        wanted.scatter_reduce_(0, batch.unit[:, None].expand_as(truth), truth, "amax")
        known = (wanted != UNKNOWN) & self.on
        weight = torch.where(wanted == 1.0, self.present_weight, 1.0) * known
        errors = weight * nn.functional.binary_cross_entropy_with_logits(
            logits, wanted.clamp(min=0.0), reduction="none"
        )
        counts = known.sum(dim=0).float()
        return {
            head_name(name): SumAndCount(errors[:, number].sum(), counts[number])
            for number, name in enumerate(self.label_names)
        }

    def logits(self, backbone: Backbone, image: Tensor, unit: Tensor) -> Tensor:
        """(b, labels): row u is of the series that `unit` (b,) calls u, rows beyond the last are unused."""
        pooled = backbone.encode(image)[-1].mean(dim=(-2, -1))
        bags = torch.zeros_like(pooled).scatter_reduce(
            0, unit[:, None].expand_as(pooled), pooled, "amax", include_self=False
        )
        said: Tensor = self.head(bags)
        return said

    def predict(self, backbone: Backbone, image: Tensor) -> dict[str, Tensor]:
        """`diagnosis` (b, labels): probabilities for the one series whose slices these are, on every row."""
        unit = torch.zeros(len(image), dtype=torch.int64, device=image.device)
        probability = self.logits(backbone, image, unit)[:1].float().sigmoid()
        probability = torch.where(self.on, probability, torch.nan)
        return {"diagnosis": probability.expand(len(image), -1)}

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """`diagnosis` (b, labels): 1 present, 0 absent, NaN unknown, as the exam of each slice has it."""
        truth = batch.labels["findings"].index_select(1, self.column).float()
        return {"diagnosis": torch.where((truth == UNKNOWN) | ~self.on, torch.nan, truth)}
