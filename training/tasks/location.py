"""Location: where in its stack a slice lies, as one number.

Zhang, Wei et al., Medical Image Analysis 2024, "Self-supervised learning for medical image data with
anatomy-oriented imaging planes". The label is the distance from the first slice over the length of the
stack: 0 at the base, 1 at the apex; for the knee its sine, sin(pi * ratio), as left and right knees mirror
each other. The coarsest level of the encoder is averaged over its pixels, and a linear layer gives the
number; squared error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from dicomgeom.errors import WrongUse
from training.backbones import Backbone
from training.tasks.task import Batch, StoreFacts, SumAndCount, Task, masked_squared_error

LABELS = {"linear": "location", "sine": "location_sine"}


class Location(Task):
    """Regression of the relative location from the encoder's end.

    Parameters
    ----------
    mapping
        "linear", "sine", or "protocol": as the protocol of the store says.
    """

    trains = "encoder"

    def __init__(self, backbone: Backbone, facts: StoreFacts, mapping: str = "protocol") -> None:
        super().__init__()
        chosen = facts.location_mapping if mapping == "protocol" else mapping
        if chosen not in LABELS:
            raise WrongUse(f"location mapping {chosen!r} is unknown; expected one of {', '.join(LABELS)}")
        self.label = LABELS[chosen]
        self.needs = frozenset({self.label})
        self.outputs = (self.label,)
        self.head = nn.Linear(backbone.encoder_channels[-1], 1)

    def usable(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Rows whose location is known."""
        known: NDArray[np.bool_] = ~np.isnan(columns[self.label])
        return known

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """Squared error of the location."""
        (batch,) = crops
        return self.loss_on(backbone.encode(batch.image), batch)

    def loss_on(self, levels: list[Tensor], batch: Batch) -> dict[str, SumAndCount]:
        """The same, on levels of the encoder that another task may share."""
        return {"location": masked_squared_error(self.located(levels), self.targets(batch)["location"])}

    def located(self, levels: list[Tensor]) -> Tensor:
        """Levels of the encoder -> locations (b,)."""
        pooled = levels[-1].mean(dim=(-2, -1))
        return self.head(pooled)[:, 0]  # type: ignore[no-any-return]

    def predict(self, backbone: Backbone, image: Tensor) -> dict[str, Tensor]:
        """`location` (b,)."""
        return {"location": self.located(backbone.encode(image)).float()}

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """The store's value: no augmentation moves a slice along its stack."""
        return {"location": batch.labels[self.label]}
