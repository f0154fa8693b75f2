"""The face of every network: an encoder from fine to coarse levels, and a decoder back to full size.

A task asks for the levels it needs: the location of a slice hangs on the coarsest level of the encoder, a
map of pixels on the finest level of the decoder. Heads live with the tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Self

from torch import Tensor, nn

from dicomgeom.errors import WrongUse


class Backbone(nn.Module):
    """`encode` an image to levels, `decode` the levels.

    Attributes
    ----------
    width
        Channels of the finest level that is learned, the one number by which a network is scaled.
    smallest_side
        Images with fewer rows or columns cannot be taken.
    divisor
        Rows and columns must be multiples of it.
    encoder_channels, decoder_channels
        Channels of each level: of the encoder from fine to coarse, of the decoder with the full size first.
    frozen_encoder
        True once `freeze_encoder` was called.
    """

    width: int
    smallest_side: int
    divisor: int = 1
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

    def train(self, mode: bool = True) -> Self:
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
        """Raise `WrongUse` when the network's levels cannot take images of this size."""
        if min(rows, columns) < self.smallest_side:
            raise WrongUse(
                f"images of {rows} x {columns} pixels are too small for this network, which needs at least "
                f"{self.smallest_side} pixels a side: build the store on a larger grid{self.other_ways()}"
            )
        if rows % self.divisor or columns % self.divisor:
            raise WrongUse(
                f"images of {rows} x {columns} pixels do not fit this network, which needs sides that "
                f"{self.divisor} divides: build the store on such a grid{self.other_ways()}"
            )

    def other_ways(self) -> str:
        """What else than another grid would help, as the end of a sentence."""
        return ""


def levels_through(blocks: tuple[nn.Module, ...], image: Tensor) -> list[Tensor]:
    """What each block makes of the one before it."""
    levels = []
    for block in blocks:
        image = block(image)
        levels.append(image)
    return levels


def levels_back(blocks: Sequence[Callable[[Tensor, Tensor], Tensor]], levels: list[Tensor]) -> list[Tensor]:
    """What each block makes of the coarser level and the skipped one, full size first."""
    features, decoded = levels[-1], []
    for block, skipped in zip(blocks, reversed(levels[:-1]), strict=True):
        features = block(features, skipped)
        decoded.append(features)
    return decoded[::-1]
