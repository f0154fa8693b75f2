"""Multi-task learning: orientation and location together, 1 : 1.

Zhang, Wei et al., Medical Image Analysis 2024, "Self-supervised learning for medical image data with
anatomy-oriented imaging planes", section on multi-task learning. One network, two heads: heatmaps from the
decoder's full-size level, the location from the encoder's end; the two losses are summed with equal
weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from training.backbones import Backbone
from training.tasks.location import Location
from training.tasks.orientation import Orientation, head_name
from training.tasks.task import Batch, StoreFacts, SumAndCount, Task


class OrientationAndLocation(Task):
    """Both pretexts on one pass through the network."""

    def __init__(
        self, backbone: Backbone, facts: StoreFacts, mapping: str = "protocol", location_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.orientation = Orientation(backbone, facts)
        self.location = Location(backbone, facts, mapping)
        self.needs = self.orientation.needs | self.location.needs
        self.outputs = (*self.orientation.outputs, *self.location.outputs)
        self.weights = {"heatmap": 1.0, "location": location_weight}
        self.on = {"orientation": True, "location": True}

    def usable(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Rows with a line or a location: the other label's loss is masked."""
        return self.orientation.usable(columns) | self.location.usable(columns)

    def heads_without_labels(self, columns: Mapping[str, NDArray[Any]]) -> list[str]:
        """Partners that cut none of the rows, and "location" where no row has one."""
        without = self.orientation.heads_without_labels(columns)
        return without if self.location.usable(columns).any() else [*without, "location"]

    def switch_off(self, heads: Collection[str]) -> None:
        """Switch off the location, single partners, or, with all of these, the orientation."""
        self.orientation.switch_off(heads)
        self.on = {
            "orientation": any(head_name(partner) not in heads for partner in self.orientation.partners),
            "location": "location" not in heads,
        }
        self.trains = "both" if self.on["orientation"] else "encoder"

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """The sum of the two losses, the second weighted by `location_weight` (1 in the paper)."""
        (batch,) = crops
        levels = backbone.encode(batch.image)
        parts: dict[str, SumAndCount] = {}
        if self.on["orientation"]:
            parts |= self.orientation.loss_on(backbone.decode(levels)[0], batch)
        if self.on["location"]:
            parts |= self.location.loss_on(levels, batch)
        return parts

    def predict(self, backbone: Backbone, image: Tensor) -> dict[str, Tensor]:
        """`heatmaps` (b, K, rows, columns) and `location` (b,)."""
        levels = backbone.encode(image)
        said: dict[str, Tensor] = {}
        if self.on["orientation"]:
            said["heatmaps"] = self.orientation.head(backbone.decode(levels)[0]).float()
        if self.on["location"]:
            said["location"] = self.location.located(levels).float()
        return said

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """The targets of the two."""
        wanted: dict[str, Tensor] = {}
        if self.on["orientation"]:
            wanted |= self.orientation.targets(batch)
        if self.on["location"]:
            wanted |= self.location.targets(batch)
        return wanted
