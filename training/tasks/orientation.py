"""Orientation: heatmaps of the lines along which other views cut this image.

Zhang, Wei et al., Medical Image Analysis 2024, "Self-supervised learning for medical image data with
anatomy-oriented imaging planes". One heatmap a partner view, exp(-d^2 / 2 sigma^2) of the pixel's distance
d to the line, regressed with a 1 x 1 convolution without activation on the decoder's full-size level, and
mean squared error over images, partners and pixels. The paper leaves exams without a partner out; here the
channel of a missing partner is masked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pretext_targets.drawing import draw_heatmaps
from training.backbones import Backbone
from training.tasks.task import Batch, StoreFacts, SumAndCount, Task, masked_squared_error


def head_name(partner: str) -> str:
    """How messages and saved weights call the heatmap of a partner view."""
    return f"heatmap of {partner}"


class Orientation(Task):
    """Regression of one heatmap for each partner view."""

    needs = frozenset({"line"})
    partner_on: Tensor

    def __init__(self, backbone: Backbone, facts: StoreFacts) -> None:
        super().__init__()
        self.partners = self.outputs = facts.partners
        self.head = nn.Conv2d(backbone.decoder_channels[0], len(facts.partners), kernel_size=1)
        self.register_buffer(
            "partner_on", torch.ones(len(facts.partners), dtype=torch.bool), persistent=False
        )

    def usable(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Rows that at least one partner plane cuts."""
        known = ~np.isnan(columns["line"]).any(axis=2)
        return np.asarray(known.any(axis=1))

    def heads_without_labels(self, columns: Mapping[str, NDArray[Any]]) -> list[str]:
        """Heatmaps of partners that cut none of the rows."""
        known = (~np.isnan(columns["line"]).any(axis=2)).any(axis=0)
        return [
            head_name(name) for name, any_known in zip(self.partners, known, strict=True) if not any_known
        ]

    def switch_off(self, heads: Collection[str]) -> None:
        """Mask the heatmaps of these partners."""
        self.partner_on.copy_(torch.tensor([head_name(name) not in heads for name in self.partners]))

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """Mean squared error of the heatmaps."""
        (batch,) = crops
        return self.loss_on(backbone.decode(backbone.encode(batch.image))[0], batch)

    def loss_on(self, full_size: Tensor, batch: Batch) -> dict[str, SumAndCount]:
        """The same, on features (b, channels, rows, columns) that another task may share."""
        return {"heatmap": masked_squared_error(self.head(full_size), self.targets(batch)["heatmaps"])}

    def predict(self, backbone: Backbone, image: Tensor) -> dict[str, Tensor]:
        """`heatmaps` (b, K, rows, columns)."""
        return {"heatmaps": self.head(backbone.decode(backbone.encode(image))[0]).float()}

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """Heatmaps of the moved lines; NaN all over for a partner that is missing."""
        rows, columns = batch.image.shape[-2:]
        line = batch.labels["line"]
        drawn = draw_heatmaps(line, batch.labels["line_sigma_px"], rows, columns)
        known = ~torch.isnan(line).any(dim=-1) & self.partner_on
        return {"heatmaps": torch.where(known[..., None, None], drawn, torch.full_like(drawn, torch.nan))}
