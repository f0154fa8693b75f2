"""How measures, intervals, line fits and the diagnosis compare with peers and with the truth.

1. Time of all measures of a volume beside MONAI's and SimpleITK's surface distances, on phantom masks.
2. How often 95 % bootstrap intervals cover the true mean, by the number of patients.
3. Line fits of heatmaps with noise and rivals beside plain least squares.
4. The random forest on true features of phantoms, and with `--acdc` on ejection fractions of ACDC.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from numpy.typing import NDArray
from scipy import stats

from dicomgeom.data_manifest import load_data_manifest
from phantoms.cardiac_patient import Group
from phantoms.cardiac_scene import CardiacScene
from phantoms.cardiac_volumes import chamber_volumes_ml
from pretext_targets.build import build
from pretext_targets.drawing import draw_heatmaps
from pretext_targets.nifti_sets import plan_nifti
from pretext_targets.protocol import load_protocol
from pretext_targets.reader import StoreReader
from training.cardiac_features import LV, MYOCARDIUM, RV, PhaseVolume, Told, features_of, manual_features
from training.forest import Forest
from training.intervals import mean_interval
from training.line_fit import FITTED_ABOVE, fitted_line, line_errors, quadratic_fit
from training.roc import class_aucs
from training.segmentation_measures import segmentation_measures
from training.volume_grid import counted_grid

Floats = NDArray[np.float64]

SHAPE, SPACING_MM, APART_MM = (12, 224, 224), 1.37, 8.0
SIDE, SIGMA_PX = 112, 6.0


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def volume(shift_px: int) -> NDArray[np.uint8]:
    """A heart of cylinders that narrow toward the apex: LV, wall and RV."""
    y, x = np.mgrid[0 : SHAPE[1], 0 : SHAPE[2]] - 112.0 - shift_px
    classes = np.zeros(SHAPE, np.uint8)
    for place in range(1, SHAPE[0] - 1):
        radius = 22.0 - 1.4 * place
        classes[place][np.hypot(x + radius + 12, y) < radius] = 3
        classes[place][np.hypot(x, y) < radius + 7] = 2
        classes[place][np.hypot(x, y) < radius] = 1
    return classes


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Median time of a call."""
    taken = []
    for _ in range(repeats):
        started_s = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started_s)
    return float(np.median(taken))


def times() -> None:
    """Print section 1."""
    said, true = volume(2), volume(0)
    spacing_mm = (APART_MM, SPACING_MM, SPACING_MM)
    grid = counted_grid(range(SHAPE[0]), SPACING_MM, APART_MM)

    def ours() -> None:
        segmentation_measures(said, true, ("LV", "wall", "RV"), grid, Counter())

    def monai() -> None:
        pair = [torch.from_numpy(np.stack([one == k for k in range(4)])[None]) for one in (said, true)]
        compute_average_surface_distance(*pair, symmetric=True, spacing=spacing_mm)
        compute_hausdorff_distance(*pair, percentile=95, spacing=spacing_mm)

    def simpleitk() -> None:
        for number in (1, 2, 3):
            edges = []
            for one in (said, true):
                image = sitk.GetImageFromArray((one == number).astype(np.uint8))
                image.SetSpacing(spacing_mm[::-1])
                edges.append(sitk.LabelContour(image))
            maps = [
                sitk.SignedMaurerDistanceMap(one, squaredDistance=False, useImageSpacing=True)
                for one in edges
            ]
            for edge, far in ((edges[0], maps[1]), (edges[1], maps[0])):
                np.abs(sitk.GetArrayFromImage(far)[sitk.GetArrayFromImage(edge) > 0]).mean()

    own_s = seconds(ours)
    say("| measures of a volume of 12 x 224 x 224, three structures | ms | ours is faster by |")
    say("|---|---|---|")
    say(f"| ours: Dice, ASSD, HD95, contour distance, volumes | {own_s * 1e3:.0f} | |")
    for name, work in (("MONAI: ASSD, HD95", monai), ("SimpleITK: ASSD by distance maps", simpleitk)):
        peer_s = seconds(work)
        say(f"| {name} | {peer_s * 1e3:.0f} | {peer_s / own_s:.1f} |")


def coverage(repeats: int = 2000) -> None:
    """Print section 2."""
    say("\n| patients | normal: covered | equation | skewed (gamma, shape 1): covered |")
    say("|---|---|---|---|")
    rng = np.random.default_rng(0)
    for count in (5, 10, 20, 50, 100):
        covered = np.zeros(2)
        for _ in range(repeats):
            for kind, values in enumerate((rng.normal(1, 1, count), rng.gamma(1, 1, count))):
                low, high = mean_interval(values, resamples=1000) or (math.nan, math.nan)
                covered[kind] += low <= 1.0 <= high
        wide = 1.96 * math.sqrt((count - 1) / count)
        equation = 2 * stats.t(count - 1).cdf(wide) - 1
        say(f"| {count} | {covered[0] / repeats:.3f} | {equation:.3f} | {covered[1] / repeats:.3f} |")


def plain_fit(heatmap: Floats) -> Floats | None:
    """Least squares through all bright pixels."""
    row, column = np.nonzero(heatmap > FITTED_ABOVE * heatmap.max())
    return quadratic_fit(row, column, heatmap[row, column])


def spoiled(what: str, heatmap: Floats, rng: np.random.Generator) -> Floats:
    """A heatmap as a network that errs would predict it."""
    if what == "noise of 0.06 on a height of 0.7":
        return heatmap * 0.7 + rng.normal(0, 0.06, heatmap.shape)
    if what == "a second line, 0.6 as high":
        return np.maximum(heatmap, 0.6 * _heatmap(_line(rng)))
    if what == "a blob, 0.8 as high":
        y, x = np.mgrid[0:SIDE, 0:SIDE]
        away = np.hypot(x - rng.uniform(0, SIDE), y - rng.uniform(0, SIDE))
        return np.maximum(heatmap, 0.8 * np.exp(-0.5 * (away / 9.0) ** 2))
    return heatmap


def _line(rng: np.random.Generator) -> Floats:
    x, y, angle = rng.uniform(25, SIDE - 25), rng.uniform(25, SIDE - 25), rng.uniform(0, math.pi)
    return np.array([math.cos(angle), math.sin(angle), -x * math.cos(angle) - y * math.sin(angle)])


def _heatmap(line: Floats) -> Floats:
    return np.asarray(draw_heatmaps(line[None], SIGMA_PX, SIDE, SIDE)[0], dtype=np.float64)


def lines(repeats: int = 500) -> None:
    """Print section 3."""
    say("\n| heatmap | fit | median angle | mean angle | 95 of 100 below | median offset | ms |")
    say("|---|---|---|---|---|---|---|")
    kinds = ("exact", "noise of 0.06 on a height of 0.7", "a second line, 0.6 as high", "a blob, 0.8 as high")
    for what in kinds:
        for name, fit in (
            ("least squares", plain_fit),
            ("with votes", lambda heatmap: fitted_line(heatmap, SIGMA_PX)),
        ):
            rng, errors, taken_s = np.random.default_rng(1), [], 0.0
            for _ in range(repeats):
                line = _line(rng)
                heatmap = spoiled(what, _heatmap(line), rng)
                started_s = time.perf_counter()
                found = fit(heatmap)
                taken_s += time.perf_counter() - started_s
                if found is not None:
                    errors.append(line_errors(found, line, SIDE, SIDE, 1.0))
            angle, offset = np.array(errors).T
            say(
                f"| {what} | {name} | {np.median(angle):.2f} | {angle.mean():.2f} | "
                f"{np.percentile(angle, 95):.2f} | {np.median(offset):.2f} | {taken_s / repeats * 1e3:.1f} |"
            )


def phantom_features(index: int) -> tuple[Floats, int]:
    """True features and group of a digital patient."""
    scene = CardiacScene(np.random.default_rng([2024, index]))
    patient = scene.patient
    # Volumes in mm^3 as voxels of 0.001 ml.
    phases = [
        PhaseVolume(b"", place, 10, tuple(round(1e3 * of[name]) for name in (LV, MYOCARDIUM, RV)), 1e-3)  # type: ignore[arg-type]
        for place, of in enumerate(chamber_volumes_ml(scene, [0.0, patient.end_systole]))
    ]
    told = Told(patient.height_m * 100, patient.weight_kg)
    return features_of(phases, told), list(Group).index(patient.group)


def areas(
    name: str, features: Floats, classes: NDArray[np.int64], names: tuple[str, ...], folds: int = 5
) -> None:
    """Print the areas of a forest, cross-validated."""
    said = np.zeros((len(classes), len(names)))
    fold = np.random.default_rng(0).permutation(len(classes)) % folds
    for number in range(folds):
        here = fold == number
        said[here] = Forest(features[~here], classes[~here]).probabilities(features[here], len(names))
    found = class_aucs(said, classes, names)
    right = float((said.argmax(axis=1) == classes).mean())
    say(
        f"| {name} | {len(classes)} | {right:.2f} | "
        + " | ".join(f"{one:.3f}" for one in found.values())
        + " |"
    )


def diagnosis(acdc: Path | None, patients: int) -> None:
    """Print section 4."""
    names = tuple(Group)
    say(f"\n| features | patients | told rightly | {' | '.join(names)} | mean area |")
    say("|---|---|---|" + "---|" * (len(names) + 1))
    drawn = [phantom_features(index) for index in range(patients)]
    features, classes = np.stack([one for one, _ in drawn]), np.array([group for _, group in drawn])
    areas("phantoms, all ten", features, classes, names)
    areas("phantoms, ejection fractions", features[:, :2], classes, names)
    if acdc is not None:
        features, classes = acdc_features(acdc)
        areas("ACDC, ejection fractions", features[:, :2], classes, names)


def acdc_features(folder: Path) -> tuple[Floats, NDArray[np.int64]]:
    """Features of the manual segmentations, and groups, which in ACDC go by the patients' numbers."""
    groups = (Group.DILATED, Group.HYPERTROPHIC, Group.INFARCTION, Group.NORMAL, Group.ABNORMAL_RV)
    found, classes = [], []
    for number in range(1, 101):
        files = sorted(folder.glob(f"**/patient{number:03d}_frame*"))
        if files:
            with tempfile.TemporaryDirectory() as work:
                for file in files:
                    (Path(work) / "in").mkdir(exist_ok=True)
                    (Path(work) / "in" / file.name).symlink_to(file.resolve())
                plan = plan_nifti(Path(work) / "in", load_protocol("cardiac-sax"), load_data_manifest("acdc"))
                build(plan, Path(work) / "s.zarr")
                reader = StoreReader(Path(work) / "s.zarr")
                found += list(manual_features(reader, np.arange(len(reader))).values())
            classes.append(list(Group).index(groups[(number - 1) // 20]))
    return np.stack(found), np.array(classes)


def main() -> None:
    """Print all sections as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--acdc", type=Path, help="folder of ACDC's NIfTI files")
    parser.add_argument("--patients", type=int, default=300, help="digital patients for the forest")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # of MONAI, about its own use of itself
    torch.set_num_threads(1)
    times()
    coverage()
    lines()
    diagnosis(chosen.acdc, chosen.patients)


if __name__ == "__main__":
    main()
