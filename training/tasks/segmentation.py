"""Segmentation of the structures a labelled store names: the task pretraining is for.

Cross-entropy over all pixels, as both Bai et al. (MICCAI 2019) and Zhang, Wei et al. (Medical Image
Analysis 2024) fine-tune with; optionally a soft Dice loss beside it (Milletari et al., 3DV 2016; de Mooij
et al. 2024 take half of each), and optionally outputs at all levels of the decoder (deep supervision: Lee
et al., AISTATS 2015, weighed as in nnU-Net and by de Mooij et al.). The L1 penalty of Zhang et al. is a
setting of the optimiser. Pixels of class 255 are not annotated: they count neither for nor against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dicomgeom.errors import NothingUsable
from training.backbones import Backbone
from training.tasks.task import Batch, StoreFacts, SumAndCount, Task, masked_cross_entropy

NOT_ANNOTATED = 255
DICE_LOSS = "dice_loss"  # a measure called "dice" grows with better masks; this one falls


class Segmentation(Task):
    """Classes and their names come from the store.

    Parameters
    ----------
    structures
        Names of the structures to learn; others become background. Empty: all of the store.
    cross_entropy, dice
        Weights of the two parts; a part of weight 0 is not computed.
    dice_smoothing_px
        See `soft_dice_loss`.
    deep_supervision
        Whether each level of the decoder has an output of its own, compared with the annotation at its size.
        Level i, of which 0 has full size, weighs 2^-i over the sum of all these.
    """

    needs = frozenset({"segmentation"})
    class_of_code: Tensor

    def __init__(
        self,
        backbone: Backbone,
        facts: StoreFacts,
        structures: Sequence[str] = (),
        cross_entropy: float = 1.0,
        dice: float = 0.0,
        dice_smoothing_px: float = 1.0,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        if not facts.segment_names:
            raise NothingUsable(
                "the store holds no segmentation, and a labelled store is needed here: build one with the "
                "labels, or choose a pretext recipe"
            )
        stored = facts.segment_names
        found = [name for name in structures or stored[1:] if name in stored]
        if not found:
            raise NothingUsable(
                f"the store has none of the structures {', '.join(structures)}; "
                f"it has {', '.join(stored[1:])}: "
                "name them with --set tasks.segmentation.structures='[\"...\"]'"
            )
        self.absent = [name for name in structures if name not in stored]
        self.segment_names = self.outputs = (stored[0], *found)
        class_of_code = torch.zeros(256, dtype=torch.int64)
        class_of_code[[stored.index(name) for name in self.segment_names]] = torch.arange(len(found) + 1)
        class_of_code[NOT_ANNOTATED] = NOT_ANNOTATED
        self.register_buffer("class_of_code", class_of_code, persistent=False)
        levels = len(backbone.decoder_channels) if deep_supervision else 1
        self.weights = weights_by_level({"cross_entropy": cross_entropy, DICE_LOSS: dice}, levels)
        self.dice_smoothing_px = dice_smoothing_px
        self.head, *coarser = (
            nn.Conv2d(channels, len(self.segment_names), kernel_size=1)
            for channels in backbone.decoder_channels[:levels]
        )
        self.coarse_heads = nn.ModuleList(coarser)

    def usable(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Rows with an annotated pixel."""
        annotated: NDArray[np.bool_] = columns["has_segmentation"].astype(bool)
        return annotated

    def heads_without_labels(self, columns: Mapping[str, NDArray[Any]]) -> list[str]:
        """Structures that were asked for and that the store does not name."""
        return self.absent

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """Cross-entropy over annotated pixels, and soft Dice when it has a weight; at each level in turn."""
        (batch,) = crops
        decoded = backbone.decode(backbone.encode(batch.image))
        classes = self.targets(batch)["segmentation"]
        parts: dict[str, SumAndCount] = {}
        for level, (head, features) in enumerate(zip((self.head, *self.coarse_heads), decoded, strict=False)):
            logits, wanted = head(features), at_size(classes, features.shape[-2], features.shape[-1])
            if self.weights["cross_entropy"]:
                parts[part_name("cross_entropy", level)] = masked_cross_entropy(logits, wanted, NOT_ANNOTATED)
            if self.weights[DICE_LOSS]:
                parts[part_name(DICE_LOSS, level)] = soft_dice_loss(logits, wanted, self.dice_smoothing_px)
        return parts

    def predict(self, backbone: Backbone, image: Tensor) -> dict[str, Tensor]:
        """`segmentation` (b, rows, columns), the likeliest class of each pixel."""
        logits = self.head(backbone.decode(backbone.encode(image))[0])
        return {"segmentation": logits.argmax(dim=1)}

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """The annotation, carried through the augmentation with nearest neighbours."""
        return {"segmentation": self.class_of_code[batch.labels["segmentation"]]}


def part_name(name: str, level: int) -> str:
    """How the log calls a part of the loss at a level of the decoder: "dice_loss", "dice_loss 1/2"."""
    return name if level == 0 else f"{name} 1/{2**level}"


def weights_by_level(weights: Mapping[str, float], levels: int) -> dict[str, float]:
    """The weight of each part of the loss at each level: 2^-level of it, over the sum of these."""
    shares = [2.0**-level / sum(2.0**-one for one in range(levels)) for level in range(levels)]
    return {
        part_name(name, level): weight * share
        for level, share in enumerate(shares)
        for name, weight in weights.items()
    }


def at_size(classes: Tensor, rows: int, columns: int) -> Tensor:
    """Classes (b, r, c) int64 on a coarser grid, each from the pixel under the middle of the coarse one."""
    if classes.shape[-2:] == (rows, columns):
        return classes
    # Class numbers are small integers, which floats hold exactly.
    size = (rows, columns)
    return nn.functional.interpolate(classes[:, None].float(), size, mode="nearest-exact")[:, 0].long()


def soft_dice_loss(logits: Tensor, classes: Tensor, smoothing_px: float = 1.0) -> SumAndCount:
    """1 - Dice of the class probabilities, summed over images and foreground classes.

    Parameters
    ----------
    logits
        (b, classes, rows, columns).
    classes
        (b, rows, columns) int64; 255 = not annotated. An image without any annotation is not counted.
    smoothing_px
        Added to both sides of the ratio, so that an absent structure that is not predicted scores 1.
    """
    known = classes != NOT_ANNOTATED
    probability = logits.float().softmax(dim=1) * known[:, None]
    one_hot = (
        nn.functional.one_hot(torch.where(known, classes, 0), logits.shape[1]).movedim(-1, 1) * known[:, None]
    )
    overlap = (probability * one_hot).sum(dim=(-2, -1))[:, 1:]
    sizes = (probability + one_hot).sum(dim=(-2, -1))[:, 1:]
    dice = (2.0 * overlap + smoothing_px) / (sizes + smoothing_px)
    annotated = known.flatten(1).any(dim=1, keepdim=True).expand_as(dice)
    return SumAndCount(((1.0 - dice) * annotated).sum(), annotated.sum().float())
