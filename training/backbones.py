"""Networks behind one small face: an encoder from fine to coarse levels, and a decoder back to full size.

A task asks for the levels it needs: the location of a slice hangs on the coarsest level of the encoder, a
map of pixels on the finest level of the decoder. Heads live with the tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from monai.networks.nets.basic_unet import BasicUNet
from torch import Tensor, nn

from dicomgeom.errors import WrongUse
from training.settings import BackboneSettings


class Backbone(nn.Module):
    """The face of every network: `encode` an image to levels, `decode` the levels.

    Attributes
    ----------
    smallest_side
        Images with fewer rows or columns cannot be taken.
    encoder_channels, decoder_channels
        Channels of each level: of the encoder from fine to coarse, of the decoder with the full size first.
    frozen_encoder
        True once `freeze_encoder` was called.
    """

    smallest_side: int
    encoder_channels: tuple[int, ...]
    decoder_channels: tuple[int, ...]
    frozen_encoder: bool = False

    def encode(self, image: Tensor) -> list[Tensor]:
        """Image (b, 1, rows, columns) -> feature levels, fine to coarse."""
        raise NotImplementedError

    def decode(self, levels: list[Tensor]) -> list[Tensor]:
        """Levels of the encoder -> levels of the decoder, full size first."""
        raise NotImplementedError

    def parts(self) -> dict[str, tuple[nn.Module, ...]]:
        """The modules that make up the "encoder" and the "decoder"."""
        raise NotImplementedError

    def parameters_of(self, part: str) -> Iterator[nn.Parameter]:
        """All parameters of the "encoder" or the "decoder"."""
        for module in self.parts()[part]:
            yield from module.parameters()

    def freeze_encoder(self) -> None:
        """Stop the encoder from learning; batch-norm statistics stay too (see `train`)."""
        self.frozen_encoder = True
        for parameter in self.parameters_of("encoder"):
            parameter.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """Switch to training, but keep a frozen encoder in evaluation mode.

        ``requires_grad=False`` alone would leave the running statistics of batch norm moving, and a plain
        ``train()`` would undo an ``eval()`` of the encoder.
        """
        super().train(mode)
        if self.frozen_encoder:
            for module in self.parts()["encoder"]:
                module.eval()
        return self

    def check_side(self, rows: int, columns: int) -> None:
        """Raise `WrongUse` when an image is too small for the network's levels."""
        if min(rows, columns) < self.smallest_side:
            raise WrongUse(
                f"images of {rows} x {columns} pixels are too small for this network, which needs at least "
                f"{self.smallest_side} pixels a side: build the store on a larger grid"
            )


class BasicUNetBackbone(Backbone):
    """MONAI's BasicUNet in 2D with batch norm: five levels, widths w, 2w, 4w, 8w, 16w and w again at the end.

    Zhang, Wei et al. (Medical Image Analysis 2024) use 64 to 1,024 channels: 31 million parameters, `width`
    64. MONAI's own defaults (narrower, instance norm) are neither paper's. `encode` and `decode` walk the
    children of the network in the order of its `forward`; a test holds them equal.

    Parameters
    ----------
    width
        Channels of the finest level.
    """

    smallest_side = 32

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.encoder_channels = (width, 2 * width, 4 * width, 8 * width, 16 * width)
        self.decoder_channels = (width, 2 * width, 4 * width, 8 * width)
        features = (*self.encoder_channels, width)
        self.net = BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=features, norm="batch")
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
        levels = []
        for block in self.parts()["encoder"]:
            image = block(image)
            levels.append(image)
        return levels

    def decode(self, levels: list[Tensor]) -> list[Tensor]:
        """Four levels; the first has the side of the image."""
        features = levels[-1]
        decoded = []
        for block, skipped in zip(self.parts()["decoder"], reversed(levels[:-1]), strict=True):
            features = block(features, skipped)
            decoded.append(features)
        return decoded[::-1]


def make_backbone(settings: BackboneSettings) -> Backbone:
    """The network a recipe names."""
    return BasicUNetBackbone(settings.width)
