"""MONAI's BasicUNet, the network of Bai et al. and of Zhang, Wei et al."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from monai.networks.nets.basic_unet import BasicUNet, UpCat
from torch import Tensor, nn

from training.backbones.backbone import Backbone, levels_back, levels_through


class BasicUNetBackbone(Backbone):
    """MONAI's BasicUNet in 2D with batch norm: five levels, widths w, 2w, 4w, 8w, 16w and w again at the end.

    Zhang, Wei et al. (Medical Image Analysis 2024) use 64 to 1,024 channels: 31 million parameters, `width`
    64. MONAI's own defaults (narrower, instance norm) are neither paper's. `encode` and `decode` walk the
    children of the network in the order of its `forward`; a test holds them equal.

    Parameters
    ----------
    width
        Channels of the finest level.
    norm
        "batch", as in the papers, or "instance".
    """

    smallest_side = 32

    def __init__(self, width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        self.width = width
        self.encoder_channels = (width, 2 * width, 4 * width, 8 * width, 16 * width)
        self.decoder_channels = (width, 2 * width, 4 * width, 8 * width)
        features = (*self.encoder_channels, width)
        layer = norm if norm == "batch" else (norm, {"affine": True})
        self.net = BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=features, norm=layer)
        # The heads are the tasks' own; the output layer of the network would only be a dead weight.
        self.net.final_conv = nn.Identity()

    def parts(self) -> dict[str, tuple[nn.Module, ...]]:
        """Encoder and decoder as tuples of MONAI's blocks, in the order in which they are called."""
        net = self.net
        encoder = (net.conv_0, net.down_1, net.down_2, net.down_3, net.down_4)
        decoder = (net.upcat_4, net.upcat_3, net.upcat_2, net.upcat_1)
        return {
            "encoder": cast("tuple[nn.Module, ...]", encoder),
            "decoder": cast("tuple[nn.Module, ...]", decoder),
        }

    def encode(self, image: Tensor) -> list[Tensor]:
        """Five levels, each with half the side of the one before."""
        self.check_side(image.shape[-2], image.shape[-1])
        return levels_through(self.parts()["encoder"], image)

    def decode(self, levels: list[Tensor]) -> list[Tensor]:
        """Four levels; the first has the side of the image."""
        blocks = [partial(_up, cast("UpCat", block)) for block in self.parts()["decoder"]]
        return levels_back(blocks, levels)


def _up(block: UpCat, coarse: Tensor, skipped: Tensor) -> Tensor:
    """What MONAI's block makes of two levels, padded only where pooling had rounded a side down.

    MONAI's own forward copies every level to pad it by nothing, a tenth of a step on CPUs, and torch.compile
    neither gets through it in one piece nor, in channels-last layout, at all (torch 2.13).
    """
    raised = block.upsample(coarse)
    rows, columns = (skipped.shape[side] - raised.shape[side] for side in (-2, -1))
    if rows or columns:
        raised = nn.functional.pad(raised, (0, columns, 0, rows), "replicate")
    return cast("Tensor", block.convs(torch.cat([skipped, raised], dim=1)))
