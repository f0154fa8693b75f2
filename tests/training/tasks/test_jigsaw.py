from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from torch import Tensor

from training.backbones import AlexNetBackbone, Backbone, BasicUNetBackbone, DynUNetBackbone
from training.draws import mixed, uniform
from training.tasks.jigsaw import TILE_SHARE, Jigsaw, permutation_set, tiles_of
from training.tasks.task import Batch, StoreFacts


def batch_of(image: Tensor, seed: int = 0) -> Batch:
    number = torch.arange(len(image))
    return Batch(image, {}, torch.eye(3).expand(len(image), 3, 3), number, mixed(seed, number), number)


def test_the_permutations_lie_far_apart_and_are_always_the_same() -> None:
    chosen = permutation_set(100)
    assert chosen.shape == (100, 9)
    assert np.array_equal(np.sort(chosen, axis=1), np.tile(np.arange(9), (100, 1)))
    assert chosen[0].tolist() == list(range(9))
    apart = (chosen[:, None] != chosen[None]).sum(axis=-1)[~np.eye(100, dtype=bool)]
    assert apart.min() == 6
    assert apart.mean() > 8.0
    rng = np.random.default_rng(0)
    random = np.array([rng.permutation(9) for _ in range(100)])
    others = (random[:, None] != random[None]).sum(axis=-1)[~np.eye(100, dtype=bool)]
    assert others.min() < apart.min()
    assert np.array_equal(permutation_set(20), chosen[:20])


def test_nine_permutations_differ_everywhere() -> None:
    nine = permutation_set(9)
    assert ((nine[:, None] != nine[None]).sum(axis=-1) == 9 * (1 - np.eye(9))).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(30, 100), st.integers(30, 100), st.integers(0, 2**40))
def test_each_tile_is_a_normalised_window_of_its_own_cell(rows: int, columns: int, seed: int) -> None:
    noise = torch.rand(1, 1, rows, columns, generator=torch.Generator().manual_seed(seed % 1000))
    draw = mixed(seed, torch.arange(1))
    tiles = tiles_of(noise, draw)[0].double().numpy()
    high, wide = (round(TILE_SHARE * (side // 3)) for side in (rows, columns))
    assert tiles.shape == (9, high, wide)
    assert np.allclose(tiles.mean(axis=(1, 2)), 0, atol=1e-4)
    assert np.allclose(tiles.std(axis=(1, 2)), 1, atol=1e-3)
    image = noise[0, 0].double().numpy()
    for number, tile in enumerate(tiles):
        top, left = number // 3 * (rows // 3), number % 3 * (columns // 3)
        found = 0
        for y in range(top, top + rows // 3 - high + 1):
            for x in range(left, left + columns // 3 - wide + 1):
                window = image[y : y + high, x : x + wide]
                found += np.allclose((window - window.mean()) / window.std(), tile, atol=1e-3)
        assert found == 1


def test_a_shade_across_the_image_looks_the_same_in_every_tile() -> None:
    ramp = torch.arange(96 * 96).float().view(1, 1, 96, 96).repeat(8, 1, 1, 1)
    tiles = tiles_of(ramp, mixed(torch.arange(8)))
    assert tiles.shape == (8, 9, 27, 27)
    assert torch.allclose(tiles, tiles[:1, :1].expand_as(tiles), atol=1e-4)


def test_tiles_lie_at_random_places_of_their_cells() -> None:
    image = torch.rand(1, 1, 96, 96).repeat(200, 1, 1, 1)
    tiles = tiles_of(image, mixed(torch.arange(200)))
    for number in range(9):  # 6 x 6 places each
        assert len(tiles[:, number, 0, 0].unique()) > 25


def test_a_tile_without_content_is_zero_and_not_noise() -> None:
    assert torch.equal(tiles_of(torch.full((2, 1, 48, 48), 7.25), torch.arange(2)), torch.zeros(2, 9, 14, 14))


def test_the_loss_equals_a_computation_in_float64(facts: StoreFacts) -> None:
    torch.manual_seed(0)
    backbone = BasicUNetBackbone(4).eval()
    task = Jigsaw(backbone, facts, permutations=7)
    batch = batch_of(torch.randn(5, 1, 48, 48))
    with torch.no_grad():
        found = task.loss(backbone, [batch])["permutation"]
    which = np.floor(7 * uniform(batch.draw, 311).double().numpy()).astype(int)
    tiles = tiles_of(batch.image, batch.draw)
    total = 0.0
    for image, k in enumerate(which):
        features = []
        for j in range(9):
            tile = tiles[image, permutation_set(7)[k][j]][None, None]
            enlarged = torch.nn.functional.interpolate(tile, size=(32, 32), mode="bilinear")
            with torch.no_grad():
                level = backbone.encode(enlarged)[-1].mean(dim=(-2, -1))
                features.append(task.on_tile(level)[0].double().numpy())
        W1, b1, W2, b2 = (p.detach().double().numpy() for p in task.on_all.parameters())
        logits = np.maximum(W1 @ np.concatenate(features) + b1, 0) @ W2.T + b2
        total += logsumexp(logits) - logits[k]
    assert float(found.sum) == pytest.approx(total, rel=1e-4)
    assert float(found.count) == 5


def test_the_puzzle_is_a_function_of_the_keys(facts: StoreFacts) -> None:
    torch.manual_seed(0)
    backbone = BasicUNetBackbone(4).eval()
    task, image = Jigsaw(backbone, facts), torch.randn(6, 1, 48, 48)

    def loss(seed: int) -> float:
        return float(task.loss(backbone, [batch_of(image, seed)])["permutation"].sum.detach())

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


@pytest.mark.parametrize("network", [BasicUNetBackbone(4), DynUNetBackbone(4, levels=5), AlexNetBackbone(8)])
def test_every_network_and_a_grid_of_any_size_will_do(network: Backbone, facts: StoreFacts) -> None:
    task = Jigsaw(network, replace(facts, rows=64, columns=80), permutations=4)
    found = task.loss(network, [batch_of(torch.randn(2, 1, 64, 80))])["permutation"]
    assert bool(found.sum.isfinite())
    assert task.trains == "encoder"
