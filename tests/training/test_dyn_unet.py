from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks.nets import DynUNet
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dicomgeom.errors import WrongUse
from training.backbones import DynUNetBackbone, make_backbone
from training.recipe import load_recipe
from training.settings import BackboneSettings

LEVELS = 4


def monai_with_heads(backbone: DynUNetBackbone, classes: int, heads: int, norm: object) -> DynUNet:
    """MONAI's whole network with deep supervision and the weights of ours."""
    whole = DynUNet(
        2, 1, classes, [3] * LEVELS, [1, 2, 2, 2], [2] * (LEVELS - 1),
        filters=backbone.encoder_channels, norm_name=norm, trans_bias=True,
        deep_supervision=True, deep_supr_num=heads,
    )  # fmt: skip
    missing = whole.load_state_dict(backbone.net.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all(
        name.startswith(("skip_layers", "output_block", "deep_supervision_heads"))
        for name in missing.missing_keys
    )
    return whole


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_encode_and_decode_with_heads_equal_the_forward_of_monai(norm: str) -> None:
    torch.manual_seed(0)
    backbone = DynUNetBackbone(width=4, levels=LEVELS, norm=norm)
    whole = monai_with_heads(backbone, 3, 2, "batch" if norm == "batch" else ("instance", {"affine": True}))
    image = torch.randn(2, 1, 32, 48)

    def ours() -> list[Tensor]:
        levels = backbone.decode(backbone.encode(image))
        heads: list[nn.Module] = [whole.output_block, *whole.deep_supervision_heads]
        return [head(level) for head, level in zip(heads, levels, strict=True)]

    with torch.no_grad():
        backbone.train()
        whole.train()
        # In training MONAI stacks its outputs, each brought to full size by nearest neighbours.
        stacked, found = whole(image), ours()
        for number, output in enumerate(found):
            assert torch.equal(nn.functional.interpolate(output, (32, 48)), stacked[:, number])
        assert [tuple(output.shape[-2:]) for output in found] == [(32, 48), (16, 24), (8, 12)]
        backbone.eval()
        whole.eval()
        assert torch.equal(ours()[0], whole(image))


def test_the_published_network_has_seven_levels_and_six_outputs_of_these_channels() -> None:
    with torch.device("meta"):
        backbone = make_backbone(load_recipe("segment-sax-nnunet").backbone)
    assert backbone.encoder_channels == (32, 64, 128, 256, 512, 512, 512)
    assert backbone.decoder_channels == (32, 64, 128, 256, 512, 512)


def test_levels_halve_and_have_the_channels_they_promise() -> None:
    backbone = DynUNetBackbone(width=2, levels=7)
    levels = backbone.encode(torch.randn(2, 1, 128, 64))
    assert [tuple(level.shape[-2:]) for level in levels] == [(128 >> i, 64 >> i) for i in range(7)]
    assert tuple(level.shape[1] for level in levels) == backbone.encoder_channels == (2, 4, 8, 16, 32, 32, 32)
    assert tuple(level.shape[1] for level in backbone.decode(levels)) == backbone.decoder_channels


def test_every_tensor_has_one_name_and_survives_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = DynUNetBackbone(width=4, levels=LEVELS)
    state = backbone.state_dict()
    assert not any("skip_layers" in name for name in state)
    assert len({values.data_ptr() for values in state.values() if values.numel() > 1}) == sum(
        values.numel() > 1 for values in state.values()
    )
    save_file(state, tmp_path / "weights.safetensors")
    other = DynUNetBackbone(width=4, levels=LEVELS)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    image = torch.randn(1, 1, 32, 32)
    assert torch.equal(other.eval().encode(image)[-1], backbone.eval().encode(image)[-1])


def test_every_parameter_belongs_to_the_encoder_or_the_decoder() -> None:
    backbone = DynUNetBackbone(width=4, levels=LEVELS)
    parts = [id(p) for part in ("encoder", "decoder") for p in backbone.parameters_of(part)]
    assert sorted(parts) == sorted(id(p) for p in backbone.parameters())


def test_a_frozen_encoder_keeps_its_weights_and_its_batch_norm_statistics() -> None:
    torch.manual_seed(0)
    backbone = DynUNetBackbone(width=4, levels=LEVELS)
    backbone.freeze_encoder()
    backbone.train()
    before = {name: values.clone() for name, values in backbone.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    backbone.decode(backbone.encode(torch.randn(2, 1, 32, 32)))[0].square().mean().backward()
    optimiser.step()
    changed = {
        name.split(".")[1] for name, values in backbone.state_dict().items() if not values.equal(before[name])
    }
    assert changed == {"upsamples"}


def test_sides_that_the_levels_do_not_divide_are_refused_in_one_line() -> None:
    with pytest.raises(
        WrongUse, match=r"224 x 224 pixels do not fit .* 64 divides.* backbone\.levels below 7"
    ) as caught:
        DynUNetBackbone(width=2, levels=7).check_side(224, 224)
    assert "\n" not in str(caught.value)
    DynUNetBackbone(width=2, levels=6).check_side(224, 224)
    DynUNetBackbone(width=2, levels=6).check_side(96, 96)
    with pytest.raises(WrongUse, match=r"32 x 64 pixels are too small .* at least 64"):
        DynUNetBackbone(width=2, levels=6, norm="instance").check_side(32, 64)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "basic-unet", "levels": 5}, "levels is for dyn-unet"),
        ({"kind": "alexnet", "norm": "instance"}, "norm is for U-Nets"),
        ({"kind": "dyn-unet", "levels": 2}, "greater than or equal to 3"),
    ],
)
def test_settings_of_another_network_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BackboneSettings.model_validate(settings)
