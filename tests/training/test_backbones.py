from __future__ import annotations

from typing import Literal

import pytest
import torch
from monai.networks.nets import BasicUNet

from dicomgeom.errors import WrongUse
from training.backbones import BasicUNetBackbone, make_backbone
from training.settings import BackboneSettings


@pytest.mark.parametrize(("rows", "columns"), [(32, 32), (50, 50), (50, 64), (64, 50)])
def test_encode_and_decode_equal_the_forward_of_monai(rows: int, columns: int) -> None:
    torch.manual_seed(0)
    backbone = BasicUNetBackbone(width=4)
    whole = BasicUNet(2, 1, 3, features=(4, 8, 16, 32, 64, 4), norm="batch")
    whole.load_state_dict(backbone.net.state_dict(), strict=False)
    image = torch.randn(2, 1, rows, columns)
    for training in (True, False):
        backbone.train(training)
        whole.train(training)
        with torch.no_grad():
            ours = whole.final_conv(backbone.decode(backbone.encode(image))[0])
            assert torch.equal(ours, whole(image))


@pytest.mark.parametrize(
    ("kind", "side"), [("basic-unet", 96), ("basic-unet", 100), ("alexnet", 96), ("dyn-unet", 128)]
)
def test_a_compiler_takes_a_network_in_one_piece(
    kind: Literal["basic-unet", "alexnet", "dyn-unet"], side: int
) -> None:
    backbone = make_backbone(BackboneSettings(kind=kind, width=8))

    @torch.compile(backend="eager", fullgraph=True)
    def there_and_back(image: torch.Tensor) -> list[torch.Tensor]:
        return backbone.decode(backbone.encode(image))

    assert there_and_back(torch.randn(2, 1, side, side))[0].shape[-2:] == (side, side)


def test_nothing_is_copied_to_be_padded_by_nothing() -> None:
    backbone = BasicUNetBackbone(4)
    levels = backbone.encode(torch.randn(2, 1, 96, 96))
    with torch.profiler.profile() as record:
        backbone.decode(levels)
    assert not [event for event in record.key_averages() if "pad" in event.key]


def test_levels_go_from_fine_to_coarse_and_back_with_the_channels_they_promise() -> None:
    backbone = BasicUNetBackbone(width=4)
    levels = backbone.encode(torch.randn(1, 1, 64, 64))
    assert [level.shape[-1] for level in levels] == [64, 32, 16, 8, 4]
    assert tuple(level.shape[1] for level in levels) == backbone.encoder_channels
    decoded = backbone.decode(levels)
    assert [level.shape[-1] for level in decoded] == [64, 32, 16, 8]
    assert tuple(level.shape[1] for level in decoded) == backbone.decoder_channels


def test_the_width_of_the_paper_has_31_million_parameters() -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in BasicUNetBackbone(64).parameters())
    assert 31.0e6 < count < 31.2e6


def test_every_parameter_belongs_to_the_encoder_or_the_decoder() -> None:
    backbone = BasicUNetBackbone(width=4)
    parts = [id(p) for part in ("encoder", "decoder") for p in backbone.parameters_of(part)]
    assert sorted(parts) == sorted(id(p) for p in backbone.parameters())


def test_a_frozen_encoder_keeps_its_weights_and_its_batch_norm_statistics() -> None:
    backbone = BasicUNetBackbone(width=4)
    backbone.freeze_encoder()
    backbone.train()
    before = {name: values.clone() for name, values in backbone.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    backbone.decode(backbone.encode(torch.randn(2, 1, 32, 32)))[0].square().mean().backward()
    optimiser.step()
    changed = {
        name.split(".")[1] for name, values in backbone.state_dict().items() if not values.equal(before[name])
    }
    assert changed == {"upcat_1", "upcat_2", "upcat_3", "upcat_4"}


def test_an_image_too_small_for_the_levels_is_refused() -> None:
    with pytest.raises(WrongUse, match=r"31 x 40 pixels are too small .* at least 32"):
        BasicUNetBackbone(width=4).encode(torch.zeros(1, 1, 31, 40))
