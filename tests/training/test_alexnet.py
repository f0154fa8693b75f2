from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, relu

from dicomgeom.errors import WrongUse
from training.backbones import AlexNetBackbone
from training.transfer import load_into, read_initial_weights

PUBLISHED = {
    # Number of the layer: output channels, input channels, side of the kernel, stride, padding.
    0: (64, 3, 11, 4, 2),
    3: (192, 64, 5, 1, 2),
    6: (384, 192, 3, 1, 1),
    8: (256, 384, 3, 1, 1),
    10: (256, 256, 3, 1, 1),
}
"""The convolutions of the published network; ReLU after each, pooling of 3 by 2 after 0, 3 and 10."""


def published_weights(seed: int = 3) -> dict[str, Tensor]:
    """A state_dict as the public ImageNet weights have it, classifier included, with random numbers."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for number, (out, given, side, _, _) in PUBLISHED.items():
        scale = (given * side * side) ** -0.5
        weights[f"features.{number}.weight"] = (
            torch.randn(out, given, side, side, generator=generator) * scale
        )
        weights[f"features.{number}.bias"] = torch.randn(out, generator=generator) * 0.1
    return weights | {"classifier.6.weight": torch.zeros(5, 9), "classifier.6.bias": torch.zeros(5)}


def by_hand(weights: dict[str, Tensor], image: Tensor) -> list[Tensor]:
    """The levels of the published network, written out."""
    image, levels = image.repeat(1, 3, 1, 1), []
    for number, (_, _, _, stride, padding) in PUBLISHED.items():
        weight, bias = weights[f"features.{number}.weight"], weights[f"features.{number}.bias"]
        image = relu(conv2d(image, weight, bias, stride=stride, padding=padding))
        if number in (0, 3, 10):
            levels.append(image)
            image = max_pool2d(image, 3, 2)
    return [*levels, image]


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "alexnet.safetensors"
    save_file(published_weights(), path)
    return path


def test_public_weights_are_taken_over_and_give_the_published_network(imagenet: Path) -> None:
    torch.manual_seed(0)
    backbone = AlexNetBackbone().eval()
    table = load_into(backbone, read_initial_weights(imagenet), 0.9)
    assert (len(table.matched), table.missing, table.misfitting, table.coverage) == (10, (), (), 1.0)
    image = torch.randn(2, 1, 128, 100)
    with torch.no_grad():
        levels = backbone.encode(image)
        for level, true in zip(levels[1:], by_hand(published_weights(), image), strict=True):
            assert torch.equal(level, true)
    assert torch.equal(levels[0], image.repeat(1, 3, 1, 1))


def test_public_weights_as_a_pickle_of_plain_tensors_are_read_without_unpickling(tmp_path: Path) -> None:
    torch.save(published_weights(), tmp_path / "alexnet.pth")
    backbone = AlexNetBackbone()
    load_into(backbone, read_initial_weights(tmp_path / "alexnet.pth"), 0.9)
    assert torch.equal(backbone.features[3].weight, published_weights()["features.3.weight"])


def test_weights_of_another_network_are_still_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet.safetensors")
    with pytest.raises(WrongUse, match=r"0 of .* tensors of its encoder and decoder match"):
        load_into(AlexNetBackbone(), read_initial_weights(tmp_path / "resnet.safetensors"), 0.9)


def test_levels_have_the_sides_and_channels_they_promise() -> None:
    with torch.device("meta"):
        backbone = AlexNetBackbone()
        levels = backbone.encode(torch.zeros(1, 1, 256, 256))
        decoded = backbone.decode(levels)
    assert [level.shape[-1] for level in levels] == [256, 63, 31, 15, 7]
    assert tuple(level.shape[1] for level in levels) == backbone.encoder_channels == (3, 64, 192, 256, 256)
    assert [level.shape[-1] for level in decoded] == [256, 63, 31, 15]
    assert tuple(level.shape[1] for level in decoded) == backbone.decoder_channels


def test_every_parameter_belongs_to_the_encoder_or_the_decoder() -> None:
    backbone = AlexNetBackbone(width=4)
    parts = [id(p) for part in ("encoder", "decoder") for p in backbone.parameters_of(part)]
    assert sorted(parts) == sorted(id(p) for p in backbone.parameters())


def test_a_frozen_encoder_learns_nothing_while_the_decoder_and_its_batch_norm_do() -> None:
    torch.manual_seed(0)
    backbone = AlexNetBackbone(width=4)
    backbone.freeze_encoder()
    backbone.train()
    before = {name: values.clone() for name, values in backbone.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    backbone.decode(backbone.encode(torch.randn(2, 1, 64, 64)))[0].square().mean().backward()
    optimiser.step()
    changed = {name for name, values in backbone.state_dict().items() if not values.equal(before[name])}
    assert {name.split(".")[0] for name in changed} == {"mixes"}
    assert "mixes.3.mix.1.running_mean" in changed


def test_an_image_too_small_for_the_pooling_is_refused() -> None:
    with pytest.raises(WrongUse, match=r"62 x 80 pixels are too small .* at least 63"):
        AlexNetBackbone(width=4).encode(torch.zeros(1, 1, 62, 80))
    AlexNetBackbone(width=4).encode(torch.zeros(1, 1, 63, 63))
