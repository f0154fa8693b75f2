"""Masked image modelling: fill in the three quarters of an image that were taken away.

He et al., CVPR 2022, "Masked autoencoders are scalable vision learners", in the form of de Mooij et al. 2024,
"Self-supervised pretraining for cardiovascular magnetic resonance cine segmentation", for a U-Net: the image
is cut into patches of 32 x 32 pixels, 75 % of them, drawn at random, are set to 0 after standardisation, and
the whole network says the pixels. With M the masked pixels of a batch, x the images and y what is said,

    loss = sum over M of (y - x)^2 / |M|.

Encoder and decoder are handed on; the output convolution is the head here, and stays. Where the side of the
grid is no multiple of the patch, the last patches of a row or column are cut off at the edge.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dicomgeom.errors import WrongUse
from training.backbones import Backbone
from training.draws import uniform
from training.tasks.task import Batch, StoreFacts, SumAndCount, Task, masked_squared_error

_PATCH = 301


class MaskedImageModelling(Task):
    """Regression of the masked pixels.

    Parameters
    ----------
    patch_px
        Side of a patch.
    masked
        Share of the patches that are masked; at least one is, and at least one is not.
    """

    def __init__(
        self, backbone: Backbone, facts: StoreFacts, patch_px: int = 32, masked: float = 0.75
    ) -> None:
        super().__init__()
        if max(facts.rows, facts.columns) <= patch_px:
            raise WrongUse(
                f"an image of {facts.rows} x {facts.columns} pixels is a single patch of {patch_px} pixels, "
                "and at least two are needed; give the recipe tasks.mim.patch_px = "
                f"{max(1, min(facts.rows, facts.columns) // 4)}"
            )
        self.patch_px, self.masked = patch_px, masked
        self.head = nn.Conv2d(backbone.decoder_channels[0], 1, kernel_size=1)

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """Squared error over the masked pixels."""
        (batch,) = crops
        hidden = self.hidden(batch.image, batch.draw)
        said = self.said(backbone, batch.image, hidden)
        return {"masked": masked_squared_error(said, batch.image.where(hidden, torch.nan))}

    def hidden(self, image: Tensor, draw: Tensor) -> Tensor:
        """Masks (b, 1, rows, columns) of images by their keys (b,)."""
        return masked_patches(draw, image.shape[-2], image.shape[-1], self.patch_px, self.masked)[:, None]

    def said(self, backbone: Backbone, image: Tensor, hidden: Tensor) -> Tensor:
        """The network's answer (b, 1, rows, columns) to images without their hidden pixels."""
        levels = backbone.encode(image.masked_fill(hidden, 0.0))
        return self.head(backbone.decode(levels)[0])  # type: ignore[no-any-return]

    def predict(self, backbone: Backbone, image: Tensor) -> dict[str, Tensor]:
        """`damaged` (b, rows, columns), masked by place in the batch, and `restored`, what is said there."""
        hidden = self.hidden(image, torch.arange(image.shape[0], device=image.device))
        restored = self.said(backbone, image, hidden).float().where(hidden, image)
        return {"damaged": image.masked_fill(hidden, 0.0)[:, 0], "restored": restored[:, 0]}

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """`restored`: the image."""
        return {"restored": batch.image[:, 0]}


def masked_patches(draw: Tensor, rows: int, columns: int, patch_px: int, masked: float) -> Tensor:
    """Masks (b, rows, columns), True in round(masked * n) of the n patches of each image, drawn by key.

    Parameters
    ----------
    draw
        (b,) int64 keys.
    """
    down, across = math.ceil(rows / patch_px), math.ceil(columns / patch_px)
    count = min(max(round(masked * down * across), 1), down * across - 1)
    chance = uniform(draw[:, None], _PATCH, torch.arange(down * across, device=draw.device))
    rank = chance.argsort(dim=1, stable=True).argsort(dim=1)
    patches = (rank < count).view(-1, down, across)
    return patches.repeat_interleave(patch_px, 1).repeat_interleave(patch_px, 2)[:, :rows, :columns]
