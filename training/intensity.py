"""Changes of intensity on the device, a batch at a time, each with the chance its settings give.

The parts and their order are those of de Mooij et al. 2024, read from their released configuration
(q-cardIA/ssp-cmr-cine-segmentation): noise, blur, scale, shift, gamma, on normalised images. Factors and
powers are drawn uniform in their logarithm, so that a change and its inverse are equally likely. Every number
drawn is a function of the example's key (see `training.draws`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from training.draws import normal, uniform

if TYPE_CHECKING:
    from training.settings import AugmentSettings

TRUNCATED_AT_SD = 4.0
"""The Gaussian is cut off beyond so many of its standard deviations, as in scipy's `gaussian_filter`."""

SMALLEST_SPAN = 1e-6
"""An image that varies less has no intensities that gamma could bend."""

_GAIN, _OFFSET, _GAMMA, _NOISE_SD, _NOISE = 6, 7, 8, 9, 10
_BLUR_X, _BLUR_Y = 21, 22
_IF_GAIN, _IF_OFFSET, _IF_GAMMA, _IF_NOISE, _IF_BLUR = 31, 32, 33, 34, 35


def change_intensity(settings: AugmentSettings, image: Tensor, draw: Tensor) -> Tensor:
    """Noise, blur, scale, shift and gamma on normalised images (b, 1, rows, columns).

    Parameters
    ----------
    settings
        Ranges and chances; offsets and noise in units of the normalised image.
    draw
        (b,) int64 keys.
    """
    if settings.noise_sd:
        drawn = settings.noise_sd * uniform(draw, _NOISE_SD)
        image = with_noise(image, drawn * _happens(draw, _IF_NOISE, settings.noise_chance), draw)
    if settings.blur_max_px:
        happens = _happens(draw, _IF_BLUR, settings.blur_chance)
        low, high = settings.blur_min_px, settings.blur_max_px
        sd_x, sd_y = ((low + (high - low) * uniform(draw, what)) * happens for what in (_BLUR_X, _BLUR_Y))
        image = blurred(image, sd_x, sd_y, high)
    if settings.intensity_scale != (1.0, 1.0):
        factor = _factor(draw, _GAIN, settings.intensity_scale)
        image = image * _each(_where(draw, _IF_GAIN, settings.intensity_scale_chance, factor, 1.0))
    if settings.intensity_shift != (0.0, 0.0):
        low, high = settings.intensity_shift
        offset = low + (high - low) * uniform(draw, _OFFSET)
        image = image + _each(_where(draw, _IF_OFFSET, settings.intensity_shift_chance, offset, 0.0))
    if settings.gamma != (1.0, 1.0):
        power = _factor(draw, _GAMMA, settings.gamma)
        image = bent(image, _where(draw, _IF_GAMMA, settings.gamma_chance, power, 1.0))
    return image


def with_noise(image: Tensor, sd: Tensor, draw: Tensor) -> Tensor:
    """Images (b, 1, rows, columns) with normal noise of standard deviation `sd` (b,) on every pixel."""
    pixels = torch.arange(image[0].numel(), device=image.device).view(image.shape[1:])
    return image + _each(sd) * normal(_each(draw), _NOISE, pixels[None])


def blurred(image: Tensor, sd_x: Tensor, sd_y: Tensor, most_px: float) -> Tensor:
    """Images (b, 1, rows, columns) under a Gaussian of their own; the edge pixels go on beyond the edges.

    Parameters
    ----------
    sd_x, sd_y
        (b,) standard deviations along a row and along a column, in pixels; 0 leaves an image as it is.
    most_px
        The largest of them: known beforehand, so that nothing waits for the device.
    """
    radius = _radius(most_px)
    count = image.shape[0]
    # Each image is a channel with a kernel of its own, so that one call serves the whole batch.
    lanes = functional.pad(image.transpose(0, 1), (radius, radius, radius, radius), mode="replicate")
    across, down = _kernels(sd_x, radius), _kernels(sd_y, radius)
    lanes = functional.conv2d(lanes, across[:, None, None, :], groups=count)
    return functional.conv2d(lanes, down[:, None, :, None], groups=count).transpose(0, 1)


def bent(image: Tensor, power: Tensor) -> Tensor:
    """Images (b, 1, rows, columns) scaled to 0-1 by their own range, raised to `power` (b,), scaled back."""
    low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
    span = (high - low).clamp(min=SMALLEST_SPAN)
    return ((image - low) / span).pow(_each(power)) * span + low


def _radius(sd_px: float) -> int:
    return int(TRUNCATED_AT_SD * sd_px + 0.5)


def _kernels(sd: Tensor, radius: int) -> Tensor:
    """(b, 2 radius + 1) sampled Gaussians of sum 1, each cut off at its own radius; 0 gives a single 1."""
    place = torch.arange(-radius, radius + 1, device=sd.device, dtype=sd.dtype)
    width = sd.clamp(min=torch.finfo(sd.dtype).tiny)[:, None]
    cut = (TRUNCATED_AT_SD * sd + 0.5).floor()[:, None]
    weight = torch.where(place.abs() <= cut, torch.exp(-0.5 * (place / width) ** 2), 0.0)
    return weight / weight.sum(dim=1, keepdim=True)


def _factor(draw: Tensor, what: int, ends: tuple[float, float]) -> Tensor:
    """Numbers between two ends, uniform in the logarithm; plainly uniform where the lower end is 0."""
    low, high = ends
    share = uniform(draw, what)
    if low == 0.0:
        return high * share
    return torch.exp(math.log(low) + (math.log(high) - math.log(low)) * share)


def _happens(draw: Tensor, what: int, chance: float) -> Tensor:
    return uniform(draw, what) < chance


def _where(draw: Tensor, what: int, chance: float, value: Tensor, otherwise: float) -> Tensor:
    return torch.where(_happens(draw, what, chance), value, otherwise)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]
