from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dicomgeom.errors import WrongUse
from training.backbones import BasicUNetBackbone
from training.draws import mixed
from training.model import Model
from training.tasks.mim import MaskedImageModelling, masked_patches
from training.tasks.task import Batch, StoreFacts
from training.transfer import InitialWeights, load_into

SIDE = 48


@pytest.fixture
def backbone() -> BasicUNetBackbone:
    torch.manual_seed(0)
    return BasicUNetBackbone(4).eval()


@pytest.fixture
def batch() -> Batch:
    number = torch.arange(3)
    image = torch.randn(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) + 0.5
    return Batch(image, {}, torch.eye(3).expand(3, 3, 3), number, mixed(number), number)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 70),
    st.integers(2, 70),
    st.integers(1, 40),
    st.floats(0.05, 0.95),
    st.integers(0, 2**40),
)
def test_whole_patches_are_masked_in_the_right_number(
    rows: int, columns: int, patch: int, share: float, seed: int
) -> None:
    assume(max(rows, columns) > patch)
    mask = masked_patches(mixed(seed, torch.arange(3)), rows, columns, patch, share).numpy()
    assert mask.shape == (3, rows, columns)
    tops, lefts = range(0, rows, patch), range(0, columns, patch)
    wanted = min(max(round(share * len(tops) * len(lefts)), 1), len(tops) * len(lefts) - 1)
    for one in mask:
        cells = [one[y : y + patch, x : x + patch] for y in tops for x in lefts]
        assert all(cell.all() or not cell.any() for cell in cells)
        assert sum(bool(cell.all()) for cell in cells) == wanted


def test_seven_of_nine_patches_of_96_pixels_and_every_patch_as_often() -> None:
    mask = masked_patches(mixed(torch.arange(2000)), 96, 96, 32, 0.75)[:, ::32, ::32].double()
    assert mask.sum(dim=(1, 2)).unique().tolist() == [7.0]
    assert float((mask.mean(dim=0) - 7 / 9).abs().max()) < 0.04
    assert torch.equal(
        masked_patches(mixed(torch.arange(5)), 96, 96, 32, 0.75),
        masked_patches(mixed(torch.arange(9)), 96, 96, 32, 0.75)[:5],
    )


def test_the_loss_is_the_mean_squared_error_of_the_masked_pixels_in_float64(
    backbone: BasicUNetBackbone, facts: StoreFacts, batch: Batch
) -> None:
    task = MaskedImageModelling(backbone, facts, patch_px=20)
    mask = masked_patches(batch.draw, SIDE, SIDE, 20, 0.75)
    with torch.no_grad():
        seen = batch.image * ~mask[:, None]
        said = task.head(backbone.decode(backbone.encode(seen))[0])[:, 0].double().numpy()
        found = task.loss(backbone, [batch])["masked"]
    hidden = mask.numpy()
    error = ((said - batch.image[:, 0].double().numpy()) ** 2)[hidden]
    assert float(found.count) == hidden.sum() < hidden.size
    assert float(found.mean()) == pytest.approx(float(np.mean(error)), rel=1e-5)


def test_what_was_masked_reaches_neither_the_answer_nor_the_gradient(
    backbone: BasicUNetBackbone, facts: StoreFacts, batch: Batch
) -> None:
    task = MaskedImageModelling(backbone, facts, patch_px=16)
    hidden = task.hidden(batch.image, batch.draw)
    changed = batch.image.masked_fill(hidden, 1e3)
    assert torch.equal(task.said(backbone, batch.image, hidden), task.said(backbone, changed, hidden))
    task.loss(backbone, [batch])["masked"].mean().backward()
    gradients = [parameter.grad for parameter in [*backbone.parameters(), *task.parameters()]]
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)


def test_encoder_and_decoder_are_handed_on_and_the_output_convolution_is_not(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    model = Model(backbone, {"mim": MaskedImageModelling(backbone, facts)})
    assert model.trained_parts() == ["encoder", "decoder"]
    given_weights = {
        name.removeprefix("backbone."): values
        for name, values in model.state_dict().items()
        if name.startswith("backbone.")
    }
    assert not any("head" in name for name in given_weights)
    torch.manual_seed(9)
    fresh = BasicUNetBackbone(4)
    table = load_into(fresh, InitialWeights(given_weights, ("encoder", "decoder"), "", None, 4), 1.0)
    assert table.coverage == 1.0
    assert all(torch.equal(values, fresh.state_dict()[name]) for name, values in given_weights.items())


def test_pictures_show_the_image_where_it_was_seen(
    backbone: BasicUNetBackbone, facts: StoreFacts, batch: Batch
) -> None:
    task = MaskedImageModelling(backbone, facts, patch_px=16)
    said, true = task.predict(backbone, batch.image), task.targets(batch)["restored"]
    hidden = said["damaged"] == 0
    assert 0.5 < float(hidden.double().mean()) < 0.9
    assert torch.equal(said["restored"][~hidden], true[~hidden])
    assert not torch.equal(said["restored"][hidden], true[hidden])


def test_a_grid_of_a_single_patch_is_refused_in_one_line(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    with pytest.raises(WrongUse, match=r"single patch of 48 pixels.*tasks\.mim\.patch_px = 12"):
        MaskedImageModelling(backbone, facts, patch_px=48)
    MaskedImageModelling(backbone, replace(facts, columns=49), patch_px=48)
