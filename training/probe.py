"""A linear probe: how well the place of a slice in its stack can be read off the features of a network.

The usual test of representations (Alain and Bengio, ICLR workshop 2017, "Understanding intermediate layers
using linear classifier probes"): the network is frozen, a level of its encoder (the coarsest, unless
another is asked for) is averaged over the pixels, and a ridge regression in float64,

    w = (X'X + penalty * n * I)^-1 X'y,

with features standardised by the patients it is fitted on, says the location. The penalty is chosen among
`PENALTIES` by leaving out a fifth of these patients at a time. What is told is measured on other patients.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dicomgeom.errors import NothingUsable, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.reader import StoreReader
from training.backbones import Backbone
from training.data import STATISTICS, chosen_patients, facts_of, patients_of, plain_batches, sound_rows
from training.model import read_model
from training.sources import Rows, open_source
from training.team import chosen_device
from training.transfer import WEIGHTS_FILE, read_initial_weights

LABELS = ("location", "location_sine")
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
FOLDS = 5
SMALLEST_SPREAD = 1e-12
"""A feature that varies less than this is constant and says nothing."""

BATCH = 64

COARSEST = -1
"""The last level of an encoder, which most pretexts hang on."""


@dataclass(frozen=True)
class LocationProbe:
    """What a probe found.

    Attributes
    ----------
    r, r2
        Pearson's correlation of what was said and what is true, and 1 - (squared error) / (squared deviation
        from the mean), over all measured slices. NaN where nothing varies.
    images, patients
        Measured slices, and the patients they are of.
    fitted_images, fitted_patients
        The same of those it was fitted on.
    penalty
        The one that was chosen.
    strangers
        Whether it is known that the network never saw the measured patients: its run, and those it began
        with, recorded whom they saw, under the same salt.
    """

    r: float
    r2: float
    images: int
    patients: int
    fitted_images: int
    fitted_patients: int
    penalty: float
    strangers: bool

    def as_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return asdict(self)


@dataclass(frozen=True)
class LocatedFeatures:
    """What a frozen network sees of slices whose place in their stack is known.

    Attributes
    ----------
    features, truth
        float64, (n, channels) and (n,): a level averaged over the pixels, and the place.
    patients
        Whose slice each is, n keys.
    fitted
        So many slices, the first ones, are there to be fitted on; the others are measured.
    strangers
        See `LocationProbe`.
    """

    features: NDArray[np.float64]
    truth: NDArray[np.float64]
    patients: list[str]
    fitted: int
    strangers: bool

    def probed(self, subjects: int = 0, seed: int = 0) -> LocationProbe:
        """Fit on so many patients, chosen as a run's `subjects` are (0: all), and measure on the others."""
        ours = self.patients[: self.fitted]
        kept = chosen_patients(ours, subjects, seed) if subjects else set(ours)
        some = np.array([patient in kept for patient in ours])
        features, truth = self.features[: self.fitted][some], self.truth[: self.fitted][some]
        whose = [patient for patient in ours if patient in kept]
        penalty = chosen_penalty(features, truth, whose)
        said = ridge(features, truth, self.features[self.fitted :], penalty)
        r, r2 = _agreement(said, self.truth[self.fitted :])
        others = self.patients[self.fitted :]
        return LocationProbe(
            r, r2, len(others), len(set(others)), len(truth), len(kept), penalty, self.strangers
        )


def located_features(
    weights: Path | Backbone,
    reader: StoreReader,
    *,
    split: str = "test",
    label: str = "location",
    level: int = COARSEST,
    normalise: str = "image-z-score",
    device: str = "auto",
    progress: Progress = silent,
) -> LocatedFeatures:
    """Show a frozen network the slices of a store's training patients and of those of another split.

    Parameters
    ----------
    weights
        A finished run or a weights file of this program, or a network as it is (a random one, say).
    split
        "test" or "validation".
    label
        The store's array to say: "location" or "location_sine".
    level
        Which level of the encoder to read: 1 the finest, or -1 the coarsest, -2 the one before. What a method
        asks is answered at the last; what serves other questions can lie before it.
    normalise
        For a network; a run knows how its images were normalised.

    Raises
    ------
    WrongUse
        A split, label or level that there is not; patients of the split that the run was trained on.
    NothingUsable
        No slice with a known location to fit on or to measure.
    """
    if label not in LABELS or split not in ("validation", "test"):
        raise WrongUse(
            f"{label!r} cannot be probed on {split!r}; expected {' or '.join(LABELS)} on validation or test"
        )
    if isinstance(weights, Path):
        model, configuration = read_model(weights / WEIGHTS_FILE if weights.is_dir() else weights)
        backbone, normalise = model.backbone, configuration.recipe.normalise
    else:
        backbone = weights
    levels = len(backbone.encoder_channels)
    if not 1 <= abs(level) <= levels:
        raise WrongUse(f"the network has no level {level}; expected 1 to {levels}, or -1 to -{levels}")
    fitted, measured = (_located(reader, part, label, normalise) for part in ("train", split))
    strangers = isinstance(weights, Backbone) or _are_strangers(weights, reader, measured, split)
    rows = np.concatenate([fitted, measured])
    features = pooled_features(
        backbone, reader, rows, normalise, level=level, device=device, progress=progress
    )
    truth = reader.column(label)[rows].astype(np.float64)
    return LocatedFeatures(features, truth, patients_of(reader, rows), len(fitted), strangers)


def probe_location(
    weights: Path | Backbone, reader: StoreReader, *, subjects: int = 0, seed: int = 0, **shown: Any
) -> LocationProbe:
    """Fit a probe on the training patients of a store and measure it on those of another split.

    Parameters
    ----------
    subjects, seed
        See `LocatedFeatures.probed`.
    weights, reader, shown
        See `located_features`, with its errors.
    """
    return located_features(weights, reader, **shown).probed(subjects, seed)


def _located(reader: StoreReader, split: str, label: str, normalise: str) -> Rows:
    """Readable rows of a split whose location is known."""
    rows = sound_rows(reader, split, normalise)
    rows = np.asarray(rows[np.isfinite(reader.column(label)[rows])])
    if not len(rows):
        raise NothingUsable(
            f"no readable {split} image of the store has a {label}; "
            f"give a store with {split} patients and stacks of slices"
        )
    return rows


def _are_strangers(weights: Path, reader: StoreReader, rows: Rows, split: str) -> bool:
    """Whether it is known that a network never saw the patients of these rows; raises where it did."""
    seen = read_initial_weights(weights).seen
    if seen is None:
        return False
    patients = patients_of(reader, rows)
    seen.refuse(patients, split)
    return seen.ancestors_known and seen.comparable_with(patients)


@torch.no_grad()
def pooled_features(
    backbone: Backbone,
    reader: StoreReader,
    rows: Rows,
    normalise: str,
    *,
    level: int = COARSEST,
    device: str = "auto",
    progress: Progress = silent,
) -> NDArray[np.float64]:
    """A level of a frozen encoder, averaged over its pixels: (n, channels), in the rows' order."""
    chosen = chosen_device(device)
    names = ("image", "image_scale", "image_offset", *STATISTICS[normalise])
    source = open_source(reader, names, np.unique(rows), chosen, progress=progress)
    was_training = backbone.training
    backbone.to(chosen).eval()
    found, done = [], 0
    for some, batch in plain_batches(source, rows, BATCH, facts_of(reader.attributes), normalise):
        read = backbone.encode(batch.image)[level - (level > 0)]
        found.append(read.mean(dim=(-2, -1)).double().cpu().numpy())
        done += len(some)
        progress("features", done=done, total=len(rows))
    backbone.train(was_training)
    return np.concatenate(found)


def ridge(
    features: NDArray[np.float64], truth: NDArray[np.float64], others: NDArray[np.float64], penalty: float
) -> NDArray[np.float64]:
    """What a ridge regression, fitted on features (n, c) and truth (n,), says of others (m, c)."""
    middle, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > SMALLEST_SPREAD, spread, np.inf)
    X = (features - middle) / spread
    squares = X.T @ X + penalty * len(X) * np.eye(X.shape[1])
    w = np.linalg.solve(squares, X.T @ (truth - truth.mean()))
    said: NDArray[np.float64] = (others - middle) / spread @ w + truth.mean()
    return said


def chosen_penalty(features: NDArray[np.float64], truth: NDArray[np.float64], whose: list[str]) -> float:
    """The penalty with the least error on patients left out; the middle one where there is one patient."""
    numbers = np.unique(whose, return_inverse=True)[1]
    if numbers.max() == 0:
        return PENALTIES[len(PENALTIES) // 2]
    errors = np.zeros(len(PENALTIES))
    for fold in range(min(FOLDS, int(numbers.max()) + 1)):
        out = numbers % FOLDS == fold
        for place, penalty in enumerate(PENALTIES):
            said = ridge(features[~out], truth[~out], features[out], penalty)
            errors[place] += ((said - truth[out]) ** 2).sum()
    return PENALTIES[int(np.argmin(errors))]


def _agreement(said: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[float, float]:
    """Pearson's r and R^2."""
    deviation = ((truth - truth.mean()) ** 2).sum()
    if deviation == 0 or np.ptp(said) == 0:
        return float("nan"), float("nan")
    r = float(np.corrcoef(said, truth)[0, 1])
    return r, float(1.0 - ((said - truth) ** 2).sum() / deviation)
