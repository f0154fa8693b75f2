"""Slice ordering: which of two slices of one stack comes first.

Zhang, P., Wang, F. and Zheng, Y., ISBI 2017, "Self supervised deep representation learning for fine-grained
body part recognition": two slices of one volume pass through one shared encoder, and the network says in
which order they were taken, with binary cross-entropy. With f1, f2 the pooled coarsest features and g two
fully connected layers on both,

    P(the first lies before the second) = sigmoid(g(f1, f2) - g(f2, f1)),

so that exchanging the slices exchanges the answer; this form is ours, as the layers are. "Before" is by the
store's `slice_index`, from base to apex or along the direction of the protocol. A stack without geometry has
it, too: the order of its file. Where stacks begin at either end by chance the loss stays at log 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.backbones import Backbone
from training.tasks.task import Batch, Crop, StoreFacts, SumAndCount, Task

HIDDEN = 256
"""Width of the layer between the features of both slices and the answer; our choice."""


class SliceOrdering(Task):
    """Binary classification of pairs of slices from the encoder's end."""

    needs = frozenset({"slice_index"})
    trains = "encoder"
    unit = "pair"
    crops = (Crop(), Crop())

    def __init__(self, backbone: Backbone, facts: StoreFacts) -> None:
        super().__init__()
        # A bias after the last layer would cancel out.
        self.head = nn.Sequential(
            nn.Linear(2 * backbone.encoder_channels[-1], HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, 1, bias=False),
        )

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """Binary cross-entropy; two rows at the same place of a stack count neither way."""
        first, second = crops
        both = backbone.encode(torch.cat([first.image, second.image]))[-1].mean(dim=(-2, -1))
        place, other = first.labels["slice_index"], second.labels["slice_index"]
        differ = (place != other).float()
        losses = nn.functional.binary_cross_entropy_with_logits(
            self.compared(*both.chunk(2)), (place < other).float(), reduction="none"
        )
        return {"order": SumAndCount((losses * differ).sum(), differ.sum())}

    def compared(self, features: Tensor, others: Tensor) -> Tensor:
        """Log-odds (b,) that slices with features (b, channels) lie before the others, in float32."""
        forward = self.head(torch.cat([features, others], dim=1))
        backward = self.head(torch.cat([others, features], dim=1))
        return (forward.float() - backward.float())[:, 0]  # type: ignore[no-any-return]
