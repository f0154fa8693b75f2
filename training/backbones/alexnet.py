"""AlexNet, with which Zhang, Wei et al. and MRNet look at knees, and a small decoder of ours.

The encoder is the convolutional part of Krizhevsky, "One weird trick for parallelizing convolutional
neural networks", arXiv:1404.5997, layer by layer under the numbers by which its public ImageNet weights are
known (``features.0`` to ``features.12``), so that a state_dict of them in safetensors form can be given to
`--init`. It takes three channels: the image is repeated.

Zhang, Wei et al. (Medical Image Analysis 2024) do not say how heatmaps come out of it. Ours: from the
coarsest level up, features are resampled bilinearly to the side of the next finer one, put beside it, and
mixed by a 3 x 3 convolution with batch norm and ReLU, at last beside the image itself. The first convolution
has a stride of 4 and less padding than its reach, so the levels lie a pixel or two off a regular grid; the
convolutions learn that shift.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from training.backbones.backbone import Backbone, levels_back

LEVEL_ENDS = (2, 5, 12, 13)
"""One past the last layer of each level: after the first, second and fifth ReLU, and the last pooling."""


class Mix(nn.Module):
    """Coarse features beside finer ones, mixed by a 3 x 3 convolution."""

    def __init__(self, coarse: int, fine: int, out: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(coarse + fine, out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(b, coarse, r, c) and (b, fine, rows, columns) -> (b, out, rows, columns)."""
        side = fine.shape[-2:]
        resampled = nn.functional.interpolate(coarse, size=side, mode="bilinear", align_corners=False)
        mixed: Tensor = self.mix(torch.cat([resampled, fine], dim=1))
        return mixed


class AlexNetBackbone(Backbone):
    """AlexNet without its classifier; the image is the finest level of the encoder.

    Parameters
    ----------
    width
        Channels of the first convolution: 64 in the published network, and 192, 384, 256, 256 after it.
    """

    smallest_side = 63

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.width = width
        self.encoder_channels = (3, width, 3 * width, 4 * width, 4 * width)
        self.decoder_channels = (max(width // 4, 1), width, 2 * width, 2 * width)
        self.features = nn.Sequential(
            nn.Conv2d(3, width, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(width, 3 * width, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(3 * width, 6 * width, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(6 * width, 4 * width, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * width, 4 * width, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        coarser = (*self.decoder_channels[1:], self.encoder_channels[-1])
        self.mixes = nn.ModuleList(
            Mix(below, fine, out)
            for below, fine, out in zip(
                coarser[::-1], self.encoder_channels[-2::-1], self.decoder_channels[::-1], strict=True
            )
        )

    def parts(self) -> dict[str, tuple[nn.Module, ...]]:
        """The convolutional layers, and the steps of the decoder, coarse to fine."""
        return {"encoder": (self.features,), "decoder": tuple(self.mixes)}

    def encode(self, image: Tensor) -> list[Tensor]:
        """The image three times, then four levels of a 4th, 8th, 16th and 32nd of its side, rounded down."""
        self.check_side(image.shape[-2], image.shape[-1])
        levels = [image.repeat(1, 3, 1, 1)]
        for start, end in pairwise((0, *LEVEL_ENDS)):
            levels.append(self.features[start:end](levels[-1]))
        return levels

    def decode(self, levels: list[Tensor]) -> list[Tensor]:
        """Four levels; the first has the side of the image."""
        return levels_back(self.parts()["decoder"], levels)
