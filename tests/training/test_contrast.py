from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretext_targets.tissue_table import TissueFacts
from training.contrast import (
    FAT_LEFT,
    Redraw,
    Relaxation,
    balanced_signal,
    drawn_signal,
    like_before,
    repainted,
    spin_echo_signal,
    varied,
)
from training.draws import mixed

TISSUES = (
    TissueFacts(name="air", density=0.0, t1_ms=1000, t2_ms=50),
    TissueFacts(name="blood", density=0.98, t1_ms=1480, t2_ms=270),
    TissueFacts(name="more blood", density=0.95, t1_ms=1500, t2_ms=250),
    TissueFacts(name="muscle", density=0.8, t1_ms=1030, t2_ms=47),
    TissueFacts(name="loose fat", density=0.9, t1_ms=260, t2_ms=84, fat=1.0),
)
AIR, BLOOD, MORE_BLOOD, MUSCLE, FAT = range(5)
LEVEL = np.array([10.0, 400.0, 380.0, 130.0, 420.0])
SIDE = 64


@pytest.fixture
def tissues() -> Relaxation:
    return Relaxation.of(TISSUES)


def keys(count: int, seed: int = 3) -> Tensor:
    return mixed(seed, torch.arange(count))


def body() -> NDArray[np.int64]:
    """Air round a body of fat, muscle in it, two pools of blood in that; no region is thin."""
    tissue = np.full((SIDE, SIDE), AIR)
    tissue[6:58, 6:58] = FAT
    tissue[16:48, 16:48] = MUSCLE
    tissue[20:34, 20:34] = BLOOD
    tissue[20:44, 36:46] = MORE_BLOOD
    return tissue


def pictured(level: NDArray[np.float64], noise: float = 0.0, every: int = 1) -> Tensor:
    """The body as a scanner would take it (1, 1, rows, columns): borders blurred, noise."""
    place = np.arange(-4, 5)
    kernel = np.exp(-0.5 * (place / 1.2) ** 2)
    image = np.pad(level[body()[::every, ::every]], 4, mode="edge")
    for axis in (0, 1):
        image = np.apply_along_axis(np.convolve, axis, image, kernel / kernel.sum(), "valid")
    image += noise * np.random.default_rng(0).normal(size=image.shape)
    return torch.tensor(image, dtype=torch.float32)[None, None]


def inside(code: int, margin: int) -> NDArray[np.bool_]:
    """Pixels of a tissue that lie further from others than `margin`."""
    mask = body() == code
    kept = mask.copy()
    for row in range(-margin, margin + 1):
        for column in range(-margin, margin + 1):
            kept &= np.roll(mask, (row, column), (0, 1))
    return np.asarray(kept)


@pytest.mark.parametrize("flip_deg", [25.0, 50.0, 80.0])
def test_the_balanced_signal_is_that_of_the_equation(tissues: Relaxation, flip_deg: float) -> None:
    # The exact steady state for TR -> 0 (Freeman and Hill 1971), in float64 from its own form with
    # exponentials, of which the code's is the limit.
    found = balanced_signal(tissues, torch.deg2rad(torch.tensor(flip_deg))).double().numpy()
    flip, repetition_ms = np.deg2rad(flip_deg), 1e-3
    for code, tissue in enumerate(TISSUES):
        e1, e2 = np.exp(-repetition_ms / tissue.t1_ms), np.exp(-repetition_ms / tissue.t2_ms)
        below = 1 - (e1 - e2) * np.cos(flip) - e1 * e2
        exact = tissue.density * (1 - e1) * np.sin(flip) / below
        assert found[code] == pytest.approx(exact, rel=1e-4)


def test_the_balanced_signal_of_the_same_settings_is_the_phantoms_own(tissues: Relaxation) -> None:
    from phantoms.contrast import balanced_signal as of_phantoms
    from phantoms.tissues import RelaxationTimes

    found = balanced_signal(tissues, torch.deg2rad(torch.tensor(55.0)))
    for code, one in enumerate(TISSUES):
        expected = of_phantoms(RelaxationTimes(one.density, one.t1_ms, one.t2_ms), 55.0)
        assert float(found[code]) == pytest.approx(expected, rel=1e-5)


def test_the_spin_echo_signal_is_that_of_the_equation(tissues: Relaxation) -> None:
    found = spin_echo_signal(tissues, torch.tensor(600.0), torch.tensor(15.0)).double().numpy()
    expected = [t.density * (1 - np.exp(-600 / t.t1_ms)) * np.exp(-15 / t.t2_ms) for t in TISSUES]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


SIGNAL = np.array([0.0, 0.25, 0.5, 0.35, 0.15])


def test_every_tissue_becomes_as_bright_as_drawn_and_air_keeps_its_own() -> None:
    redrawn = repainted(
        pictured(LEVEL, noise=4.0), torch.tensor(body())[None], torch.tensor(SIGNAL)[None].float()
    )
    found = np.array([redrawn[0, 0].numpy()[inside(code, 3)].mean() for code in range(len(TISSUES))])
    factors = found[1:] / SIGNAL[1:]
    np.testing.assert_allclose(factors, factors.mean(), rtol=0.02)
    assert found[AIR] == pytest.approx(LEVEL[AIR], abs=0.5)
    # One common factor keeps the bright parts as bright as they were.
    pixels = np.bincount(body().ravel())[1:]
    assert (found[1:] ** 4 * pixels).sum() == pytest.approx((LEVEL[1:] ** 4 * pixels).sum(), rel=0.05)


def test_an_image_is_redrawn_as_if_it_had_been_taken_so() -> None:
    # The order of brightness is turned round; muscle between two pools is where rims would show.
    tissue, before = torch.tensor(body())[None], pictured(LEVEL)
    signal = torch.tensor(SIGNAL)[None].float()
    redrawn = repainted(before, tissue, signal)[0, 0].double().numpy()
    factor = redrawn[inside(BLOOD, 3)].mean() / SIGNAL[BLOOD]
    expected = np.where(SIGNAL > 0, SIGNAL * factor, LEVEL)
    after = pictured(expected)[0, 0].double().numpy()
    assert np.abs(redrawn - after).max() < 0.02 * after.max()
    sharp = before[0, 0].double().numpy() * (expected / LEVEL)[body()]
    assert np.abs(sharp - after).max() > 0.2 * after.max()


def test_texture_of_an_image_stays_where_it_was() -> None:
    plain, textured = pictured(LEVEL), pictured(LEVEL, noise=15.0)
    tissue, signal = torch.tensor(body())[None], torch.tensor(SIGNAL)[None].float()
    before = (textured - plain)[0, 0].numpy()
    after = (repainted(textured, tissue, signal) - repainted(plain, tissue, signal))[0, 0].numpy()
    for code in range(1, len(TISSUES)):
        where = body() == code
        assert np.corrcoef(before[where], after[where])[0, 1] > 0.97
    assert after.std() < 2.0 * before.std()


def test_the_same_keys_give_the_same_images_and_others_others(tissues: Relaxation) -> None:
    image, tissue = (
        pictured(LEVEL, 5.0).repeat(4, 1, 1, 1),
        torch.tensor(body())[None].repeat(4, 1, 1),
    )
    redraw = Redraw(tissues)
    first = redraw(image, tissue, keys(4))
    assert torch.equal(first, redraw(image, tissue, keys(4)))
    # Each image depends on its own key alone, not on its place or company.
    alone = redraw(image[2:3], tissue[2:3], keys(4)[2:3])
    assert torch.allclose(alone, first[2:3], atol=1e-3)
    assert not torch.allclose(first[0], first[1], atol=1.0)


def test_mean_and_spread_of_each_image_stay(tissues: Relaxation) -> None:
    image, tissue = (
        pictured(LEVEL, 5.0).repeat(6, 1, 1, 1),
        torch.tensor(body())[None].repeat(6, 1, 1),
    )
    redrawn = Redraw(tissues, sequences=("balanced", "spin-echo"))(image, tissue, keys(6))
    for before, after in zip(image, redrawn, strict=True):
        assert float(after.mean()) == pytest.approx(float(before.mean()), rel=1e-4)
        assert float(after.std()) == pytest.approx(float(before.std()), rel=1e-4)
    flat = torch.full((1, 1, SIDE, SIDE), 7.0)
    assert torch.isfinite(like_before(flat, flat)).all()
    assert torch.isfinite(Redraw(tissues)(flat * 0.0, tissue[:1], keys(1))).all()


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_so_many_images_are_redrawn_as_the_probability_says(tissues: Relaxation, probability: float) -> None:
    count = 300
    image = pictured(LEVEL, 5.0, every=4).repeat(count, 1, 1, 1)
    tissue = torch.tensor(body()[::4, ::4].copy())[None].repeat(count, 1, 1)
    redrawn = Redraw(tissues, probability)(image, tissue, keys(count))
    changed = (redrawn != image).flatten(1).any(dim=1).float().mean()
    assert float(changed) == pytest.approx(probability, abs=0.08)


def test_an_image_of_unknown_tissue_stays_as_it_is(tissues: Relaxation) -> None:
    image, tissue = pictured(LEVEL).repeat(2, 1, 1, 1), torch.tensor(body())[None].repeat(2, 1, 1)
    tissue[0] = 255
    redrawn = Redraw(tissues)(image, tissue, keys(2))
    assert torch.equal(redrawn[0], image[0])
    assert not torch.equal(redrawn[1], image[1])


def test_signals_vary_widely_and_tissues_that_are_alike_vary_alike(tissues: Relaxation) -> None:
    signal = drawn_signal(tissues, keys(2000), ("balanced",)).double().log().numpy()
    ratio = signal - signal[:, [BLOOD]]
    assert np.isneginf(signal[:, AIR]).all()
    # Blood to muscle is 3.4 at 55 degrees by the textbook; published cines have 2 to 5.
    assert np.exp(-np.median(ratio[:, MUSCLE])) == pytest.approx(3.0, abs=1.0)
    assert 0.25 < ratio[:, MUSCLE].std() < 0.8
    assert ratio[:, MORE_BLOOD].std() < 0.2
    assert (ratio[:, MUSCLE] < 0).mean() > 0.97


def test_what_is_varied_stays_physical(tissues: Relaxation) -> None:
    of = varied(tissues, keys(500))
    for values, spread in ((of.t1_ms / tissues.t1_ms, 0.25), (of.t2_ms / tissues.t2_ms, 0.35)):
        assert float(values.log().mean().abs()) < 0.05
        assert float(values.log().std(dim=0).mean()) == pytest.approx(spread, rel=0.15)
    assert (of.t1_ms > 0).all()
    assert (of.density[:, AIR] == 0).all()


def test_spin_echoes_suppress_fat_in_half_of_the_images(tissues: Relaxation) -> None:
    signal = drawn_signal(tissues, keys(1000), ("spin-echo",))
    without = tuple(one.model_copy(update={"fat": 0.0}) for one in TISSUES)
    full = drawn_signal(Relaxation.of(without), keys(1000), ("spin-echo",))
    left = signal[:, FAT] / full[:, FAT]
    suppressed = left < 0.999
    assert float(suppressed.float().mean()) == pytest.approx(0.5, abs=0.05)
    assert float(left[suppressed].min()) >= FAT_LEFT[0] - 1e-4
    assert float(left[suppressed].max()) <= FAT_LEFT[1] + 1e-4
    assert torch.equal(signal[:, :FAT], full[:, :FAT])


def test_both_kinds_of_sequence_come_when_both_are_named(tissues: Relaxation) -> None:
    both = drawn_signal(tissues, keys(400), ("balanced", "spin-echo"))
    balanced = drawn_signal(tissues, keys(400), ("balanced",))
    echo = drawn_signal(tissues, keys(400), ("spin-echo",))
    is_balanced, is_echo = (both == balanced).all(dim=1), (both == echo).all(dim=1)
    assert (is_balanced | is_echo).all()
    assert float(is_echo.float().mean()) == pytest.approx(0.5, abs=0.08)
