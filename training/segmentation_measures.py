"""All measures of a segmented volume, and what happens where a mask is empty.

For each structure: Dice, ASSD, HD95 and the mean contour distance of its slices; its volume as predicted, as
true, and how far they are apart. In mm and ml where the store knows how the slices lie, else all distances
are in voxels (their names say which) and the volumes are left out. A lone slice has no volume.

==================  ======================  ==========================================================
empty               Dice                    distances
==================  ======================  ==========================================================
both                1: agreement            0
one of them         0: missed or invented   the volume's diagonal, the largest distance that it allows
no slice with both  as above                contour distance: the diagonal of a slice
==================  ======================  ==========================================================

Each case is counted; none is left out, so that a network cannot improve its mean by missing a structure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.contour_distance import contour_distance
from training.metrics import class_overlaps
from training.surface_distance import surface_distances
from training.volume_grid import VolumeGrid

HD_PERCENT = 95.0

Masks = NDArray[np.bool_]


def segmentation_measures(
    predicted: NDArray[np.integer],
    true: NDArray[np.integer],
    names: Sequence[str],
    grid: VolumeGrid,
    counts: Counter[str],
    *,
    ignored: int = 255,
) -> dict[str, float]:
    """Measure one volume.

    Parameters
    ----------
    predicted, true
        Classes (slices, rows, columns); voxels whose true class is `ignored` count for neither.
    names
        Of the classes from 1 on.
    counts
        Empty masks and lone contours are added to it.
    """
    known = true != ignored
    measures: dict[str, float] = {}
    overlaps = class_overlaps(predicted, true, range(1, len(names) + 1), ignored)
    for number, (name, overlap) in enumerate(zip(names, overlaps, strict=True), start=1):
        measures[f"dice {name}"] = overlap.dice
        if overlap.empty:
            counts[f"dice {name}: empty in {overlap.empty}"] += 1
        said, wanted = (predicted == number) & known, (true == number) & known
        measures |= _distances(said, wanted, name, grid, counts)
        measures |= _volumes(said, wanted, name, grid)
    measures["dice mean"] = float(np.mean([overlap.dice for overlap in overlaps]))
    for kind in ("assd", "hd95", "contour distance"):
        of_each = [measures[f"{kind} {name} ({grid.unit})"] for name in names]
        measures[f"{kind} mean ({grid.unit})"] = float(np.mean(of_each))
    return measures


def _distances(
    predicted: Masks, true: Masks, name: str, grid: VolumeGrid, counts: Counter[str]
) -> dict[str, float]:
    rows, columns = true.shape[1:]
    contours = contour_distance(predicted, true, grid.pixel)
    for what, number in (("truth", contours.only_true), ("prediction", contours.only_predicted)):
        if number:
            counts[f"contour distance {name}: slices only in {what}"] += number
    surfaces = surface_distances(predicted, true, grid)
    if surfaces is not None:
        average, high = surfaces.average(), surfaces.percentile(HD_PERCENT)
    elif predicted.any() or true.any():
        average = high = grid.diagonal(rows, columns)
        counts[f"assd and hd95 {name}: the volume's diagonal"] += 1
    else:
        average = high = 0.0
    if contours.mean is not None:
        contour = contours.mean
    elif contours.only_true or contours.only_predicted:
        contour = grid.pixel * math.hypot(rows - 1, columns - 1)
        counts[f"contour distance {name}: the slice's diagonal"] += 1
    else:
        contour = 0.0
    return {
        f"assd {name} ({grid.unit})": average,
        f"hd95 {name} ({grid.unit})": high,
        f"contour distance {name} ({grid.unit})": contour,
    }


def _volumes(predicted: Masks, true: Masks, name: str, grid: VolumeGrid) -> dict[str, float]:
    if grid.voxel_ml is None:
        return {}
    said, wanted = float(predicted.sum() * grid.voxel_ml), float(true.sum() * grid.voxel_ml)
    return {
        f"volume {name} (ml)": said,
        f"true volume {name} (ml)": wanted,
        f"volume error {name} (ml)": abs(said - wanted),
    }
