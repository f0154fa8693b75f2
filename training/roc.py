"""Area under the ROC curve: of one label, of several, and of classes one against the rest.

The area is the chance that a patient who has the label gets a higher score than one who has not, ties
counting half (Hanley and McNeil, Radiology 1982); it follows from ranks. It is undefined, NaN, where all
patients have the label or none has, and such labels are left out of the macro average by name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]

MACRO = "auc mean"


def roc_auc(scores: ArrayLike, has_label: ArrayLike) -> float:
    """Area under the ROC curve of scores (n,) for truths (n,); NaN where only one kind of patient is there.

    Parameters
    ----------
    has_label
        True or false, or 1, 0 and NaN for unknown; unknown ones are left out.
    """
    said, true = np.asarray(scores, dtype=np.float64), np.asarray(has_label, dtype=np.float64)
    known = np.isfinite(true) & np.isfinite(said)
    return float(_areas(said[known, None], true[known, None])[0])


def _areas(scores: Floats, truths: Floats) -> Floats:
    """Areas (labels,) of scores and truths (n, labels) that are all known."""
    positive = truths > 0.5
    with_label = positive.sum(axis=0)
    without = len(positive) - with_label
    above = (rankdata(scores, axis=0) * positive).sum(axis=0) - with_label * (with_label + 1) / 2.0
    pairs = with_label * without
    return np.where(pairs > 0, above / np.maximum(pairs, 1), np.nan)


def label_aucs(
    scores: NDArray[np.floating], truths: NDArray[np.floating], names: Sequence[str]
) -> dict[str, float]:
    """AUC of each label, as `auc NAME`, and the mean of those that are defined, as `auc mean`.

    Parameters
    ----------
    scores, truths
        (n, labels); truths are 1, 0 or NaN for unknown.
    """
    said, true = np.asarray(scores, dtype=np.float64), np.asarray(truths, dtype=np.float64)
    if np.isfinite(said).all() and np.isfinite(true).all():
        found = _areas(said, true).tolist()
    else:
        found = [roc_auc(said[:, number], true[:, number]) for number in range(len(names))]
    defined = [area for area in found if np.isfinite(area)]
    areas = {f"auc {name}": area for name, area in zip(names, found, strict=True)}
    return areas | {MACRO: float(np.mean(defined)) if defined else float("nan")}


def class_aucs(
    probabilities: NDArray[np.floating], classes: NDArray[np.integer], names: Sequence[str]
) -> dict[str, float]:
    """AUC of each class against all others, and their macro average, which weighs classes alike.

    Parameters
    ----------
    probabilities
        (n, classes).
    classes
        (n,) indices into `names`.
    """
    one_hot = (np.asarray(classes)[:, None] == np.arange(len(names))).astype(np.float64)
    return label_aucs(probabilities, one_hot, names)
