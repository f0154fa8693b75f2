"""MONAI's DynUNet as de Mooij et al. use it: a 2D U-Net after nnU-Net, with up to seven levels."""

from __future__ import annotations

from monai.networks.nets.dynunet import DynUNet
from torch import Tensor, nn

from training.backbones.backbone import Backbone, levels_back, levels_through

WIDEST = 16
"""The coarse levels have at most so many times the channels of the finest: 512 of 32."""


class DynUNetBackbone(Backbone):
    """Strided convolutions down, transposed ones up, leaky ReLU of slope 0.01, and no output layer.

    De Mooij et al. 2024 (channels, strides and norm from their released code, q-cardIA/qcardia-models): seven
    levels of 32, 64, 128, 256, 512, 512 and 512 channels, batch norm, an output at each of the six levels of
    the decoder. Here these outputs are heads of the segmentation, so that all tasks see the same network.
    After Isensee et al., Nature Methods 2021 (nnU-Net), which takes instance norm.

    MONAI holds every block twice, once below ``skip_layers`` for its own `forward`; that second name is
    dropped, since `encode` and `decode` call the blocks themselves, and a file of weights must hold each
    tensor once.

    Parameters
    ----------
    width
        Channels of the finest level; each level has twice those of the one before, up to 16 times `width`.
    levels
        Of the encoder, at least three; sides must be divisible by 2^(levels - 1).
    norm
        "batch" or "instance".
    """

    def __init__(self, width: int = 32, levels: int = 7, norm: str = "batch") -> None:
        super().__init__()
        self.width = width
        self.divisor = 2 ** (levels - 1)
        # Instance norm needs more than one pixel at the coarsest level to take a standard deviation of.
        self.smallest_side = 2 * self.divisor if norm == "instance" else self.divisor
        channels = tuple(width * min(2**level, WIDEST) for level in range(levels))
        self.encoder_channels, self.decoder_channels = channels, channels[:-1]
        self.net = DynUNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=1,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=channels,
            norm_name="batch" if norm == "batch" else ("instance", {"affine": True}),
            trans_bias=True,
        )
        del self.net.skip_layers
        self.net.output_block = nn.Identity()

    def parts(self) -> dict[str, tuple[nn.Module, ...]]:
        """Encoder and decoder as tuples of MONAI's blocks, in the order in which they are called."""
        net = self.net
        return {
            "encoder": (net.input_block, *net.downsamples, net.bottleneck),
            "decoder": tuple(net.upsamples),
        }

    def encode(self, image: Tensor) -> list[Tensor]:
        """As many levels as asked for, each with half the side of the one before."""
        self.check_side(image.shape[-2], image.shape[-1])
        return levels_through(self.parts()["encoder"], image)

    def decode(self, levels: list[Tensor]) -> list[Tensor]:
        """One level fewer; the first has the side of the image."""
        return levels_back(self.parts()["decoder"], levels)

    def other_ways(self) -> str:
        """Fewer levels ask for a smaller divisor."""
        return f", or give the recipe backbone.levels below {len(self.encoder_channels)}"
