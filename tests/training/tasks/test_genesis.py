from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dicomgeom.errors import WrongUse
from training.backbones import BasicUNetBackbone
from training.draws import mixed, uniform
from training.recipe import load_recipe
from training.tasks.genesis import (
    ModelsGenesis,
    bezier_curves,
    painted_places,
    shuffled_in_windows,
    through_curves,
)
from training.tasks.task import Batch, StoreFacts

SIDE = 48


@pytest.fixture
def backbone() -> BasicUNetBackbone:
    torch.manual_seed(0)
    return BasicUNetBackbone(4).eval()


def keys(count: int, seed: int = 0) -> Tensor:
    return mixed(seed, torch.arange(count))


def noise(count: int, rows: int = SIDE, columns: int = SIDE) -> Tensor:
    return torch.rand(count, 1, rows, columns, generator=torch.Generator().manual_seed(3))


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 70), st.integers(8, 70), st.integers(0, 2**40))
def test_shuffling_moves_every_pixel_within_a_small_window(rows: int, columns: int, seed: int) -> None:
    numbered = torch.arange(rows * columns).float().view(1, 1, rows, columns).repeat(4, 1, 1, 1)
    shuffled = shuffled_in_windows(numbered, keys(4, seed)).long()[:, 0].numpy()
    largest = max(2, min(rows, columns) // 10)
    y, x = np.mgrid[0:rows, 0:columns]
    for one in shuffled:
        assert np.array_equal(np.sort(one.ravel()), np.arange(rows * columns))
        assert np.abs(one // columns - y).max() < largest
        assert np.abs(one % columns - x).max() < largest
        assert (one != y * columns + x).mean() > 0.4


def test_the_windows_that_are_shuffled_are_those_of_a_tiling() -> None:
    side = 60
    numbered = torch.arange(side * side).float().view(1, 1, side, side).repeat(30, 1, 1, 1)
    draw = keys(30)
    shuffled = shuffled_in_windows(numbered, draw).long()[:, 0]
    windows = (2 + uniform(draw, 322) * 5).long()
    assert set(windows.tolist()) == {2, 3, 4, 5, 6}
    before_x, before_y = ((uniform(draw, what) * windows).long() for what in (323, 324))
    pixel = torch.arange(side)
    for one, window, x0, y0 in zip(shuffled, windows, before_x, before_y, strict=True):
        number = ((pixel + y0) // window)[:, None] * 1000 + ((pixel + x0) // window)[None, :]
        assert torch.equal(number.flatten()[one.flatten()].view(side, side), number)


def test_every_order_of_a_window_comes_as_often() -> None:
    numbered = torch.arange(400).float().view(1, 1, 20, 20).repeat(3000, 1, 1, 1)
    shuffled = shuffled_in_windows(numbered, keys(3000)).long()[:, 0]  # windows of 2 x 2 only
    whole = uniform(keys(3000), 323).mul(2).long() + uniform(keys(3000), 324).mul(2).long() == 0
    corner = shuffled[whole][:, :2, :2].flatten(1)
    share = torch.stack([(corner[:, 0] == value).double().mean() for value in (0, 1, 20, 21)])
    assert float((share - 0.25).abs().max()) < 0.06


def test_grey_values_follow_the_bezier_curve_of_float64() -> None:
    draw = keys(40)
    values = noise(40, 16, 16)
    found = through_curves(values, draw).flatten(1).double().numpy()
    control = uniform(draw[:, None, None], 328, torch.arange(4).view(2, 2)).double().numpy()
    falling = (uniform(draw, 327) < 0.5).numpy()
    assert 0.2 < falling.mean() < 0.8
    t = np.linspace(0, 1, 200_001)
    for image in range(40):
        x, y = (
            3 * (1 - t) ** 2 * t * control[image, 0, axis]
            + 3 * (1 - t) * t**2 * control[image, 1, axis]
            + t**3
            for axis in (0, 1)
        )
        assert np.all(np.diff(x) >= -1e-12)
        grey = values[image].flatten().double().numpy()
        # A value is moved to the nearest of 4,096 grey steps at most: the answer lies between those two.
        low, high = (np.interp(np.clip(grey + s * 0.6 / 4096, 0, 1), x, y) for s in (-1, 1))
        if falling[image]:
            low, high = 1 - high, 1 - low
        assert np.all(found[image] >= low - 1e-3)
        assert np.all(found[image] <= high + 1e-3)


def test_curves_are_monotone_from_end_to_end() -> None:
    xs, ys = bezier_curves(keys(500))
    assert float(xs.diff(dim=1).min()) > -1e-6
    assert torch.allclose(xs[:, 0], torch.zeros(500))
    assert torch.allclose(xs[:, -1], torch.ones(500))
    steps = ys.diff(dim=1)
    assert bool(((steps > -1e-6).all(dim=1) | (steps < 1e-6).all(dim=1)).all())
    assert torch.allclose((ys[:, 0] - ys[:, -1]).abs(), torch.ones(500))


@settings(max_examples=40, deadline=None)
@given(st.integers(16, 90), st.integers(16, 90), st.integers(0, 2**40))
def test_no_more_than_a_quarter_is_ever_painted(rows: int, columns: int, seed: int) -> None:
    for inside in (0.0, 1.0):
        share = painted_places(keys(20, seed), rows, columns, inside).double().mean(dim=(1, 2))
        assert float(share.max()) <= 0.25
        assert inside == 0.0 or float(share.min()) > 0.0


def test_painting_inside_and_outside_come_with_their_chances() -> None:
    places = painted_places(keys(3000), 40, 40, 0.2)
    border = torch.cat([places[:, 0], places[:, -1], places[:, :, 0], places[:, :, -1]], dim=1)
    # An outside that is painted is a part of the border; an inside in the middle seldom touches it.
    assert float(places.any(dim=2).any(dim=1).double().mean()) > 0.9
    inside_only = places.any(dim=2).any(dim=1) & ~border.any(dim=1)
    assert 0.02 < float(inside_only.double().mean()) < 0.2
    assert float(border.any(dim=1).double().mean()) > 0.7


def test_damage_is_a_function_of_the_key_and_stays_in_0_1(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    task, image = ModelsGenesis(backbone, facts), noise(30)
    damaged = task.damaged(image, keys(30))
    assert torch.equal(damaged[:7], task.damaged(image[:7], keys(30)[:7]))
    assert not torch.equal(damaged, task.damaged(image, keys(30, seed=1)))
    assert 0.0 <= float(damaged.min()) <= float(damaged.max()) <= 1.0
    never = ModelsGenesis(backbone, facts, shuffle=0, bezier=0, paint=0)
    assert torch.equal(never.damaged(image, keys(30)), image)
    assert float(never.damaged(image - 0.5, keys(30)).min()) == 0.0


def test_each_kind_of_damage_comes_with_its_chance(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    image = torch.rand(1, 1, 16, 16).repeat(1000, 1, 1, 1)
    for chances, wanted in (((0.5, 0, 0), 0.5), ((0, 0.9, 0), 0.9), ((0, 0, 0.9), 0.9)):
        task = ModelsGenesis(backbone, facts, *chances, paint_inside=1.0)
        hit = (task.damaged(image, keys(1000)) != image).flatten(1).any(dim=1)
        assert float(hit.double().mean()) == pytest.approx(wanted, abs=0.05)


def test_the_loss_equals_a_computation_in_float64(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task, number = ModelsGenesis(backbone, facts), torch.arange(3)
    batch = Batch(noise(3) * 1.2 - 0.1, {}, torch.eye(3).expand(3, 3, 3), number, keys(3), number)
    with torch.no_grad():
        seen = task.damaged(batch.image, batch.draw)
        said = task.head(backbone.decode(backbone.encode(seen))[0]).double().numpy()
        found = task.loss(backbone, [batch])["restored"]
    true = np.clip(batch.image.double().numpy(), 0, 1)
    assert float(found.count) == 3 * SIDE * SIDE
    assert float(found.mean()) == pytest.approx(float(np.mean((said - true) ** 2)), rel=1e-5)
    pictures = task.predict(backbone, batch.image)
    assert {name: tuple(values.shape) for name, values in pictures.items()} == {
        "damaged": (3, SIDE, SIDE),
        "restored": (3, SIDE, SIDE),
    }


def test_genesis_is_refused_images_that_are_not_in_0_1() -> None:
    assert load_recipe("pretrain-genesis").normalise == "image-0-1"
    with pytest.raises(WrongUse, match="between 0 and 1, not those of normalise = 'image-z-score'; expected"):
        load_recipe("pretrain-genesis", {"normalise": "image-z-score"})
