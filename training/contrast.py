"""Contrast drawn anew on the device from what every pixel is made of: a phantom never looks the same twice.

A store with the array `tissue` knows what lies under every pixel, and its attributes know the proton density,
T1 and T2 of every tissue. For each image, at every step, a sequence with its settings and other relaxation
times are drawn; the signal equation says how bright each tissue becomes, and the image is repainted so. Why
widely varied contrast carries over to real scanners: Billot et al., Medical Image Analysis 2023 (SynthSeg).

How an image is repainted. Let G be the image's own brightness of each tissue and S the drawn one, both
painted on the tissue image and blurred a little (`BLUR_PX`). Then

    redrawn = S + (image - G) * min(sqrt(S / G), LARGEST_GAIN)

Blurred, since the image is averaged over its pixels and its thickness and the tissue image is not: a pixel at
a border holds both tissues. (With image * S / G from sharp maps, dark and bright rims run along borders.)
What remains, image - G, is texture, coil shading and noise. It is scaled by the square root: shading and
texture would take S / G, noise would take 1, and with S / G a tissue that was dark and becomes bright is
little but magnified noise. Each choice was measured against phantoms that were imaged anew with other levels
(docs/results/contrast.md).

What gives no signal (air) keeps its own brightness. At the end the image is brought back to the mean and the
standard deviation it had, so that the store's statistics normalise it as before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from pretext_targets.tissue_table import UNKNOWN_TISSUE, TissueFacts
from training.draws import normal, uniform

if TYPE_CHECKING:
    from pretext_targets.store import StoreAttributes
    from training.settings import AugmentSettings, SequenceName

FLIP_DEG = (25.0, 80.0)
"""Flip angles of balanced steady-state sequences: beyond what cines of the heart use (45 to 70)."""

REPETITION_MS, ECHO_MS = (350.0, 5000.0), (8.0, 80.0)
"""Of spin echoes, equal chances for equal ratios: T1-, proton-density- and T2-weighted ones."""

FAT_SUPPRESSED_SHARE, FAT_LEFT = 0.5, (0.05, 0.3)
"""How often a spin echo suppresses fat, and how much of its signal is left then."""

T1_SPREAD, T2_SPREAD, DENSITY_SPREAD = 0.25, 0.35, 0.08
"""Standard deviation of the logarithm of what relaxation times and density are multiplied by."""

LIKENESS = 0.5
"""Tissues whose T1 and T2 differ by less than this (logarithm) vary alike: all muscles do, all blood does."""

OWN_SPREAD = 0.06
"""What each tissue's signal varies by on its own (logarithm): flow, magnetisation transfer and the like."""

BLUR_PX = 1.2
"""Width (standard deviation) of the blur of a tissue's border in an image."""

BORDER_WEIGHT = 0.05
"""What a pixel counts for its own tissue's brightness where another tissue is two pixels away; where it is
one pixel away the square of this: such a pixel shows both."""

LARGEST_GAIN = 2.0
"""What texture and noise are multiplied by at most."""

_WAVES = 12
_PICK, _SEQUENCE, _FLIP, _REPETITION, _ECHO, _SUPPRESSED, _LEFT, _T1, _T2, _DENSITY, _OWN = range(300, 311)


@dataclass(frozen=True)
class Relaxation:
    """Proton density, T1 and T2 (ms), and the share of fat; all of one shape, tissues last."""

    density: Tensor
    t1_ms: Tensor
    t2_ms: Tensor
    fat: Tensor

    @classmethod
    def of(cls, tissues: Sequence[TissueFacts], device: torch.device | None = None) -> Relaxation:
        """Of a store's tissues, shape (T,)."""
        columns = ([getattr(one, name) for one in tissues] for name in ("density", "t1_ms", "t2_ms", "fat"))
        return cls(*(torch.tensor(column, dtype=torch.float32, device=device) for column in columns))


def balanced_signal(of: Relaxation, flip_rad: Tensor) -> Tensor:
    """Steady state of balanced SSFP on resonance, for TR much shorter than T1 and T2.

    density * sin a / (1 + cos a + (1 - cos a) T1 / T2)   (Scheffler and Lehnhardt, European Radiology 2003)
    """
    ratio = of.t1_ms / of.t2_ms
    cosine = torch.cos(flip_rad)
    return of.density * torch.sin(flip_rad) / (1.0 + cosine + (1.0 - cosine) * ratio)


def spin_echo_signal(of: Relaxation, repetition_ms: Tensor, echo_ms: Tensor) -> Tensor:
    """Spin echo with TE much shorter than TR.

    density * (1 - exp(-TR / T1)) * exp(-TE / T2)   (Bernstein, King and Zhou, Handbook of MRI Pulse
    Sequences, 2004, chapter 14)
    """
    recovered = -torch.expm1(-repetition_ms / of.t1_ms)
    return of.density * recovered * torch.exp(-echo_ms / of.t2_ms)


def varied(tissues: Relaxation, draw: Tensor) -> Relaxation:
    """Other relaxation times for each key, shape (b, T): tissues that are alike vary alike.

    The factors' logarithm is a smooth random function of (ln T1, ln T2), made of cosine waves (random
    Fourier features of a Gaussian kernel of width `LIKENESS`; Rahimi and Recht, NeurIPS 2007).
    """
    place = torch.stack([tissues.t1_ms.log(), tissues.t2_ms.log()], dim=-1) / LIKENESS
    wave = torch.arange(_WAVES, device=draw.device)[None, :, None]
    axis = torch.arange(2, device=draw.device)[None, None, :]

    def factor(what: int, spread: float) -> Tensor:
        key = draw[:, None, None]
        direction = normal(key, what, wave, axis)
        phase = 2.0 * math.pi * uniform(key, what, wave, 2)
        # No matrix product: an accelerator may round those to a thousandth.
        turned = direction[..., :1] * place[:, 0] + direction[..., 1:] * place[:, 1]
        waves = torch.cos(turned + phase)
        return torch.exp(spread * math.sqrt(2.0 / _WAVES) * waves.sum(dim=1))

    return Relaxation(
        density=tissues.density * factor(_DENSITY, DENSITY_SPREAD),
        t1_ms=tissues.t1_ms * factor(_T1, T1_SPREAD),
        t2_ms=tissues.t2_ms * factor(_T2, T2_SPREAD),
        fat=tissues.fat.expand(len(draw), -1),
    )


def drawn_signal(tissues: Relaxation, draw: Tensor, sequences: Sequence[SequenceName]) -> Tensor:
    """How bright each tissue is in the sequence drawn for each key, shape (b, T); 0 where nothing answers."""

    def between(ends: tuple[float, float], what: int) -> Tensor:
        return (ends[0] + (ends[1] - ends[0]) * uniform(draw, what))[:, None]

    def ratio_between(ends: tuple[float, float], what: int) -> Tensor:
        return torch.exp(between((math.log(ends[0]), math.log(ends[1])), what))

    of = varied(tissues, draw)
    balanced = balanced_signal(of, torch.deg2rad(between(FLIP_DEG, _FLIP)))
    echo = spin_echo_signal(of, ratio_between(REPETITION_MS, _REPETITION), ratio_between(ECHO_MS, _ECHO))
    left = between(FAT_LEFT, _LEFT)
    suppressed = (uniform(draw, _SUPPRESSED) < FAT_SUPPRESSED_SHARE)[:, None]
    echo = torch.where(suppressed, echo * (1.0 - of.fat * (1.0 - left)), echo)
    chosen = (uniform(draw, _SEQUENCE) * len(sequences)).long()
    is_echo = torch.zeros_like(suppressed)
    for place, name in enumerate(sequences):
        if name == "spin-echo":
            is_echo = is_echo | (chosen == place)[:, None]
    tissue = torch.arange(len(tissues.t1_ms), device=draw.device)
    own = torch.exp(OWN_SPREAD * normal(draw[:, None], _OWN, tissue))
    return torch.where(is_echo, echo, balanced) * own


@dataclass(frozen=True)
class Redraw:
    """How the contrast of a store's images is redrawn.

    Attributes
    ----------
    tissues
        What the codes of its `tissue` stand for, each (T,).
    probability
        Chance of an image to be redrawn.
    sequences
        Kinds of sequence to draw from, with equal chances.
    """

    tissues: Relaxation
    probability: float = 1.0
    sequences: Sequence[SequenceName] = ("balanced",)

    def __call__(self, image: Tensor, tissue: Tensor, draw: Tensor) -> Tensor:
        """Redraw the contrast of some images of a batch.

        Parameters
        ----------
        image
            (b, 1, rows, columns), before it is normalised.
        tissue
            (b, rows, columns) int64, what each pixel is made of; an image with an unknown pixel (255) stays.
        draw
            (b,) int64 keys: what is drawn is a function of them alone.

        Returns
        -------
        Tensor
            (b, 1, rows, columns), of the mean and standard deviation that `image` had.
        """
        known = (tissue != UNKNOWN_TISSUE).flatten(1).all(dim=1)
        codes = torch.where(known[:, None, None], tissue, 0)
        signal = drawn_signal(self.tissues, draw, self.sequences)
        redrawn = like_before(repainted(image, codes, signal), image)
        taken = known & (uniform(draw, _PICK) < self.probability)
        return torch.where(taken[:, None, None, None], redrawn, image)


def redraw_of(settings: AugmentSettings, attributes: StoreAttributes, device: torch.device) -> Redraw | None:
    """How a recipe redraws the images of a store; None where it doesn't, or where tissues are unknown."""
    if not settings.redraw_contrast or "tissue" not in attributes.parts:
        return None
    tissues = Relaxation.of(attributes.tissues, device)
    return Redraw(tissues, settings.redraw_contrast, settings.redraw_sequences)


def repainted(image: Tensor, tissue: Tensor, signal: Tensor) -> Tensor:
    """Images (b, 1, rows, columns) in which tissues are as bright as `signal` (b, T) says, up to one factor.

    The factor keeps the brightness of the bright parts (fourth-power mean), as a scanner's noise is the same
    whatever is bright; with the mean, what was dark would stay as noisy. What gives no signal stays as it is.
    """
    now, pixels = tissue_brightness(image, tissue, signal.shape[1])
    gives = signal > 0
    factor = _bright_part(now, pixels * gives) / _bright_part(signal, pixels * gives)
    wanted = torch.where(gives, signal * factor, now)
    maps = torch.stack([level.gather(1, tissue.flatten(1)) for level in (now, wanted)], dim=1)
    smooth = blurred(maps.view(len(image), 2, *tissue.shape[1:]))
    before, after = smooth[:, :1], smooth[:, 1:]
    floor = 1e-3 * now.amax(dim=1).clamp(min=1e-6)[:, None, None, None]
    gain = torch.sqrt(after.clamp(min=0.0) / torch.maximum(before, floor)).clamp(max=LARGEST_GAIN)
    return after + (image - before) * gain


def _bright_part(level: Tensor, pixels: Tensor) -> Tensor:
    """Fourth-power mean of (b, T) over pixels, up to their number; (b, 1), never 0."""
    return (level**4 * pixels).sum(dim=1, keepdim=True).clamp(min=1e-30) ** 0.25


def tissue_brightness(image: Tensor, tissue: Tensor, tissues: int) -> tuple[Tensor, Tensor]:
    """Mean brightness of every tissue of each image and its number of pixels, (b, T); 0 where there is none.

    Pixels near another tissue count little (`BORDER_WEIGHT`).
    """
    beside = _differs(tissue, 1)
    near = beside | _differs(tissue, 2)
    weight = torch.where(near, BORDER_WEIGHT, 1.0) * torch.where(beside, BORDER_WEIGHT, 1.0)
    weight = weight.to(image.dtype)[:, None]
    places, empty = tissue.flatten(1), image.new_zeros(len(image), tissues)
    summed = empty.scatter_add(1, places, (image * weight).flatten(1))
    weights = empty.scatter_add(1, places, weight.flatten(1))
    pixels = empty.scatter_add(1, places, torch.ones_like(weight).flatten(1))
    return summed / weights.clamp(min=BORDER_WEIGHT**2), pixels


def _differs(tissue: Tensor, away_px: int) -> Tensor:
    """Whether a pixel (b, rows, columns) so far above, below, left or right is of another tissue."""
    other = torch.zeros_like(tissue, dtype=torch.bool)
    for axis in (1, 2):
        length = tissue.shape[axis] - away_px
        changes = tissue.narrow(axis, 0, length) != tissue.narrow(axis, away_px, length)
        other.narrow(axis, 0, length).logical_or_(changes)
        other.narrow(axis, away_px, length).logical_or_(changes)
    return other


def blurred(maps: Tensor) -> Tensor:
    """Gaussian blur of (b, c, rows, columns) by `BLUR_PX`; the border is repeated outward.

    As sums of shifted maps: on a CPU several times as fast as a convolution of single channels.
    """
    reach = math.ceil(3 * BLUR_PX)
    weights = [math.exp(-0.5 * (step / BLUR_PX) ** 2) for step in range(reach + 1)]
    total = weights[0] + 2.0 * sum(weights[1:])
    wide = pad(maps, (reach, reach, reach, reach), mode="replicate")
    for axis in (2, 3):
        length = wide.shape[axis] - 2 * reach
        summed = wide.narrow(axis, reach, length) * (weights[0] / total)
        for step in range(1, reach + 1):
            for start in (reach - step, reach + step):
                summed.add_(wide.narrow(axis, start, length), alpha=weights[step] / total)
        wide = summed
    return wide


def like_before(image: Tensor, before: Tensor) -> Tensor:
    """Each image (b, 1, rows, columns) with the mean and standard deviation of the other of its place."""
    old, old_mean = torch.std_mean(before, dim=(1, 2, 3), keepdim=True)
    new, new_mean = torch.std_mean(image, dim=(1, 2, 3), keepdim=True)
    return (image - new_mean) * (old / new.clamp(min=1e-12)) + old_mean
