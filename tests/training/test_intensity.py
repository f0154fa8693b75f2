from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.transforms import AdjustContrast, ScaleIntensity, ShiftIntensity
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dicomgeom.errors import WrongUse
from training.draws import mixed
from training.intensity import bent, blurred, change_intensity, with_noise
from training.recipe import load_recipe
from training.settings import AugmentSettings

KEYS = mixed(torch.arange(400))


def images(count: int = 400, rows: int = 12, columns: int = 17) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, 1, rows, columns, generator=generator)


def changed(**ranges: object) -> Tensor:
    return change_intensity(AugmentSettings(**ranges), images(), KEYS)  # type: ignore[arg-type]


def test_nothing_asked_for_changes_nothing() -> None:
    assert torch.equal(changed(), images())
    assert torch.equal(changed(noise_sd=1.0, noise_chance=0.0), images())
    assert torch.equal(changed(blur_min_px=1.0, blur_max_px=1.5, blur_chance=0.0), images())


def test_a_blur_equals_scipys_gaussian_filter_along_each_axis() -> None:
    image = images(5, 40, 33).double()
    sd_x = torch.tensor([0.0, 0.5, 0.9, 1.5, 0.2], dtype=torch.float64)
    sd_y = torch.tensor([0.0, 1.5, 0.6, 0.5, 0.7], dtype=torch.float64)
    found = blurred(image, sd_x, sd_y, 1.5)
    for one, x, y, out in zip(image[:, 0], sd_x, sd_y, found[:, 0], strict=True):
        true = gaussian_filter(one.numpy(), (float(y), float(x)), mode="nearest", truncate=4.0)
        np.testing.assert_allclose(out.numpy(), true, atol=1e-12)


def test_a_blur_in_single_precision_leaves_an_image_of_spread_0_exactly_as_it_was() -> None:
    image = images(3)
    zero = torch.zeros(3)
    assert torch.equal(blurred(image, zero, zero, 1.5), image)


def test_noise_has_the_spread_it_was_given_and_differs_from_image_to_image() -> None:
    sd = torch.linspace(0.0, 0.5, 6)
    noise = with_noise(torch.zeros(6, 1, 100, 100), sd, KEYS[:6])[:, 0]
    assert torch.allclose(noise.std((1, 2)), sd, rtol=0.03)
    assert torch.allclose(noise.mean((1, 2)), torch.zeros(6), atol=0.02)
    assert abs(float(torch.corrcoef(noise[4:].flatten(1))[0, 1])) < 0.05


def test_gamma_scale_and_shift_equal_monais() -> None:
    image = images(3)
    power = torch.tensor([0.7, 1.0, 1.5])
    for one, p, out in zip(image, power.tolist(), bent(image, power), strict=True):
        assert torch.allclose(out, torch.as_tensor(AdjustContrast(p)(one)), atol=1e-5)
    scaled, shifted = changed(intensity_scale=(1.3, 1.3)), changed(intensity_shift=(0.4, 0.4))
    assert torch.allclose(
        scaled[0], torch.as_tensor(ScaleIntensity(minv=None, maxv=None, factor=0.3)(images()[0]))
    )
    assert torch.allclose(shifted[0], torch.as_tensor(ShiftIntensity(offset=0.4)(images()[0])))


@pytest.mark.parametrize(
    ("name", "ends", "drawn_from"),
    [
        ("intensity_scale", (0.6, 1.5), lambda new, old: (new / old)[:, 0, 0, 0]),
        ("intensity_shift", (-0.4, 0.4), lambda new, old: (new - old)[:, 0, 0, 0]),
    ],
)
def test_ranges_are_filled_and_not_left_with_the_chance_that_was_asked_for(
    name: str, ends: tuple[float, float], drawn_from: object
) -> None:
    found = drawn_from(changed(**{name: ends, f"{name}_chance": 0.5}), images())  # type: ignore[operator]
    same = 1.0 if name == "intensity_scale" else 0.0
    touched = (found - same).abs() > 1e-4
    assert 150 < int(touched.sum()) < 250
    low, high = float(found.min()), float(found.max())
    assert ends[0] - 1e-4 <= low < ends[0] + 0.05
    assert ends[1] - 0.05 < high <= ends[1] + 1e-4


@pytest.mark.parametrize("part", ["noise", "blur", "gamma"])
def test_a_part_of_chance_a_fifth_changes_a_fifth_of_the_images(part: str) -> None:
    ranges = {
        "noise": {"noise_sd": 0.2},
        "blur": {"blur_min_px": 0.5, "blur_max_px": 1.5},
        "gamma": {"gamma": (0.7, 1.5)},
    }[part]
    new = changed(**ranges, **{f"{part}_chance": 0.2})
    touched = ((new - images()).abs() > 1e-5).flatten(1).any(dim=1)
    assert 50 < int(touched.sum()) < 110
    if part == "gamma":
        assert torch.allclose(new.amin((1, 2, 3)), images().amin((1, 2, 3)), atol=1e-5)
        assert torch.allclose(new.amax((1, 2, 3)), images().amax((1, 2, 3)), atol=1e-5)


def test_the_draws_of_an_image_are_its_own_whatever_else_is_in_the_batch() -> None:
    settings = AugmentSettings(
        noise_sd=0.2,
        blur_max_px=1.5,
        intensity_scale=(0.6, 1.5),
        intensity_shift=(-0.4, 0.4),
        gamma=(0.7, 1.5),
    )
    whole = change_intensity(settings, images(), KEYS)
    alone = change_intensity(settings, images()[33:34], KEYS[33:34])
    assert torch.allclose(whole[33:34], alone, atol=1e-6)


def test_one_number_is_a_spread_round_no_change() -> None:
    settings = AugmentSettings(intensity_scale=0.3, intensity_shift=0.3, gamma=0.3)  # type: ignore[arg-type]
    assert settings.intensity_scale == (0.7, 1.3)
    assert settings.intensity_shift == (-0.3, 0.3)
    assert settings.gamma == (math.exp(-0.3), math.exp(0.3))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "intensity_scale",
            "[1.5, 0.6]",
            "the lower end of intensity_scale, 1.5 is larger than its upper end, 0.6",
        ),
        ("blur_min_px", "3", "blur_min_px 3.0 is larger than blur_max_px 0.0"),
        ("gamma", "[0.0, 1.5]", "gamma must be above 0"),
        ("noise_chance", "1.5", "less than or equal to 1"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(key: str, value: str, said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        load_recipe("segment-sax", {f"augment.{key}": value})
