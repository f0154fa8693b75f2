"""Anatomical-position prediction: which of nine boxes round the heart a pixel lies in.

Bai et al., MICCAI 2019, "Self-supervised learning for cardiac MR image segmentation by anatomical position
prediction". Where two long-axis planes cross a short-axis image they mark a point of the anatomy; nine
squares are set out from it along the two lines. Telling them apart, pixel by pixel, is a segmentation into
ten classes with the background, learned with a 1 x 1 convolution on the decoder's full-size level and
cross-entropy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from pretext_targets.drawing import draw_boxes
from training.backbones import Backbone
from training.tasks.task import Batch, StoreFacts, SumAndCount, Task, masked_cross_entropy


class AnatomicalPosition(Task):
    """Ten-way segmentation: background and the boxes."""

    needs = frozenset({"box_centre", "box_present"})

    def __init__(self, backbone: Backbone, facts: StoreFacts) -> None:
        super().__init__()
        self.outputs = facts.box_names
        self.head = nn.Conv2d(backbone.decoder_channels[0], 1 + len(facts.box_names), kernel_size=1)

    def usable(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Rows with at least one box inside the image."""
        return np.asarray(columns["box_present"].any(axis=1))

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """Cross-entropy over all pixels."""
        (batch,) = crops
        logits = self.head(backbone.decode(backbone.encode(batch.image))[0])
        return {"cross_entropy": masked_cross_entropy(logits, self.targets(batch)["boxes"])}

    def predict(self, backbone: Backbone, image: Tensor) -> dict[str, Tensor]:
        """`boxes` (b, rows, columns), the likeliest class of each pixel."""
        logits = self.head(backbone.decode(backbone.encode(image))[0])
        return {"boxes": logits.argmax(dim=1)}

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """The boxes round their moved centres, drawn on the augmented image's grid."""
        rows, columns = batch.image.shape[-2:]
        labels = batch.labels
        boxes = draw_boxes(labels["box_centre"], labels["box_present"], labels["box_side_px"], rows, columns)
        return {"boxes": boxes.long()}
