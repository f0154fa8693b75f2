"""Redrawn contrast against phantoms imaged anew, its cost beside a warp, and pictures.

Run: ``python -m benchmarks.contrast [--hearts 3] [--pictures FILE.png]``. Prints Markdown.

A slice of a digital heart is imaged twice, with the same anatomy, texture, shading and noise and with other
brightness of every tissue. The first image is redrawn to the brightness of the second; the error is the root
mean square difference from the second image over its standard deviation, after one common factor.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phantoms.cardiac_exam import CardiacExam
from phantoms.contrast import FATTY
from phantoms.knee_exam import KneeExam
from phantoms.options import ExportOptions
from phantoms.tissues import RELAXATION, Tissue
from pretext_targets.tissue_table import TissueFacts
from training.augment import draw_motion, warp
from training.contrast import Redraw, Relaxation, blurred, repainted, tissue_brightness
from training.draws import mixed
from training.settings import AugmentSettings

OPTIONS = ExportOptions(
    phases=2, spacing_mm=1.5, columns=160, rows=160, vendor="siemens", enhanced_share=0, repeat_share=0
)
Floats = NDArray[np.float32]
Pair = tuple[Tensor, Tensor, Tensor, Tensor]
"""Image, tissue, the image taken with other levels, and these levels, (1, T)."""


def tissues() -> Relaxation:
    """The phantoms' own values."""
    facts = [
        TissueFacts(
            name=tissue.name,
            density=RELAXATION[tissue].density,
            t1_ms=RELAXATION[tissue].t1_ms,
            t2_ms=RELAXATION[tissue].t2_ms,
            fat=float(tissue in FATTY),
        )
        for tissue in Tissue
    ]
    return Relaxation.of(facts)


def balanced_again(level: Floats, rng: np.random.Generator) -> Floats:
    """Every tissue brighter or darker by some 30 %."""
    return (level * np.exp(rng.normal(0, 0.3, len(level)))).astype(np.float32)


def weighted_by_t1(level: Floats, rng: np.random.Generator) -> Floats:
    """The order of brightness turned round: what recovers fast is bright."""
    made = np.array([RELAXATION[t].density * (1 - np.exp(-400 / RELAXATION[t].t1_ms)) for t in Tissue])
    made *= level[Tissue.LV_BLOOD] / made[Tissue.LV_BLOOD] * np.exp(rng.normal(0, 0.2, len(level)))
    return made.astype(np.float32)


LOOKS = {"bSSFP of other tissues": balanced_again, "T1-weighted": weighted_by_t1}


def pairs(hearts: int, look: Callable[[Floats, np.random.Generator], Floats]) -> Iterator[Pair]:
    """The middle short-axis slice and the four-chamber image of some hearts."""
    rng = np.random.default_rng(0)
    for index in range(hearts):
        one, other = CardiacExam(77, index, OPTIONS), CardiacExam(77, index, OPTIONS)
        level = look(one.contrast.level, rng)
        other.contrast = replace(other.contrast, level=level)
        short = [series for series in one.series if series.view == "SAX" and series.segmented]
        long = [series for series in one.series if series.view == "4CH" and series.segmented]
        for series in (short[len(short) // 2], long[0]):
            middle = len(series.planes) // 2
            single = replace(series, planes=series.planes[middle : middle + 1])
            first, second = next(iter(one.images(single))), next(iter(other.images(single)))
            assert first.tissue is not None
            wanted = torch.tensor(level)[None].clone()
            wanted[0, Tissue.AIR] = 0.0
            yield _image(first.pixels), torch.tensor(first.tissue)[None].long(), _image(second.pixels), wanted


def _image(pixels: NDArray[np.uint16]) -> Tensor:
    return torch.tensor(pixels.astype(np.float32))[None, None]


def by_ratio(image: Tensor, tissue: Tensor, signal: Tensor, *, smooth: bool) -> Tensor:
    """What `repainted` is compared with: the image times new over old brightness."""
    now, _ = tissue_brightness(image, tissue, signal.shape[1])
    wanted = torch.where(signal > 0, signal, now)
    maps = torch.stack([level[0][tissue] for level in (now, wanted)], dim=1)
    maps = blurred(maps) if smooth else maps
    return image * maps[:, 1:] / maps[:, :1].clamp(min=1e-3 * float(now.max()))


METHODS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "not redrawn": lambda image, tissue, signal: image,
    "image x S / G, sharp": lambda *given: by_ratio(*given, smooth=False),
    "image x S / G, blurred": lambda *given: by_ratio(*given, smooth=True),
    "S + (image - G) x root of S / G": repainted,
}


def error(redrawn: Tensor, truth: Tensor) -> float:
    """Root mean square difference over the standard deviation of the truth."""
    factor = (redrawn * truth).sum() / (redrawn * redrawn).sum()
    return float((redrawn * factor - truth).square().mean().sqrt() / truth.std())


def error_table(hearts: int) -> list[str]:
    """Errors of all methods, means over images."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name, look in LOOKS.items():
        for image, tissue, truth, signal in pairs(hearts, look):
            for method, act in METHODS.items():
                found[method][name].append(error(act(image, tissue, signal), truth))
    rows = [f"| | {' | '.join(LOOKS)} |", "|---" * (len(LOOKS) + 1) + "|"]
    for method, of in found.items():
        rows.append(f"| {method} | {' | '.join(f'{np.mean(of[name]):.3f}' for name in LOOKS)} |")
    return rows


def one_cost(count: int, side: int, repeats: int = 9) -> tuple[float, float]:
    """Milliseconds of redrawing and of warping one batch, medians of runs that take turns."""
    image, tissue = torch.rand(count, 1, side, side), torch.randint(0, len(Tissue), (count, side, side))
    draw, redraw = mixed(1, torch.arange(count)), Redraw(tissues())
    motion = draw_motion(AugmentSettings(rotation_deg=20), draw, side, side)
    spent = []
    for _ in range(repeats):
        moments = [time.perf_counter()]
        redraw(image, tissue, draw)
        moments.append(time.perf_counter())
        warp(image, motion)
        moments.append(time.perf_counter())
        spent.append(np.diff(moments))
    redrawing, warping = 1e3 * np.median(spent, axis=0)
    return float(redrawing), float(warping)


def cost_table() -> list[str]:
    """Rows of a table."""
    rows = ["| batch | redraw, ms | warp of the image, ms |", "|---|---|---|"]
    for count, side in ((8, 128), (20, 224)):
        redrawing, warping = one_cost(count, side)
        rows.append(f"| {count} of {side} x {side} | {redrawing:.0f} | {warping:.0f} |")
    return rows


def draw_pictures(path: Path, columns: int = 6) -> None:
    """One image a row: as it is, and redrawn; hearts balanced, knees as spin echoes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = [(pair[0], pair[1], "balanced") for pair in pairs(1, balanced_again)]
    knee = KneeExam(3, 0, ExportOptions(spacing_mm=0.8, columns=192, rows=192))
    for series in [one for one in knee.series if one.segmented and one.view == "SAG"][:2]:
        images = list(knee.images(series))
        one = images[len(images) // 3]
        shown.append((_image(one.pixels), torch.tensor(one.tissue)[None].long(), "spin-echo"))
    figure, axes = plt.subplots(
        len(shown), columns + 1, figsize=(1.5 * (columns + 1), 1.5 * len(shown)), layout="constrained"
    )
    for row, (image, tissue, sequence) in enumerate(shown):
        redraw = Redraw(tissues(), 1.0, (sequence,))
        keys = mixed(2, row, torch.arange(columns))
        drawn = redraw(image.repeat(columns, 1, 1, 1), tissue.repeat(columns, 1, 1), keys)
        for axis, one in zip(axes[row], [image[0], *drawn], strict=True):
            pixels = one[0].numpy()
            axis.imshow(pixels, cmap="gray", vmin=np.percentile(pixels, 1), vmax=np.percentile(pixels, 99.5))
            axis.set_axis_off()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hearts", type=int, default=3, help="digital hearts, two images each")
    parser.add_argument("--pictures", type=Path, help="also draw pictures into this file")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write("\n".join([*error_table(asked.hearts), "", *cost_table(), ""]))
    if asked.pictures:
        draw_pictures(asked.pictures)


if __name__ == "__main__":
    main()
