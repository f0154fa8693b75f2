"""A network taught on phantoms, asked about real short-axis images: ACDC as NIfTI, Dice by patient.

Images are resampled over their whole field of view to the network's square grid, as averages where
that is coarser; probabilities are resampled back, and Dice is counted on the images' own pixels, over
all slices of a volume at once. ACDC as redistributed without spacing is enough for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLASSES = {"LV cavity": 3, "RV cavity": 1, "LV myocardium": 2}
"""Structure -> ACDC's code, in the order of reports."""

TEST_REMAINDER = 1
"""Patients whose number leaves this when divided by five are reported, and looked at for nothing else."""

TUNING_REMAINDERS = (2, 3, 4)


@dataclass(frozen=True)
class RealVolume:
    """One labelled volume; images and labels (slices, rows, columns)."""

    patient: int
    moment: str
    images: NDArray[np.float32]
    labels: NDArray[np.uint8]


def patients_in(folder: Path, remainders: Sequence[int]) -> list[int]:
    """Numbers of the patients whose number leaves one of these remainders when divided by five."""
    numbers = {int(path.name[7:10]) for path in folder.glob("patient*_gt.nii.gz")}
    return sorted(number for number in numbers if number % 5 in remainders)


def volumes(folder: Path, patients: Sequence[int]) -> Iterator[RealVolume]:
    """End-diastole (the first frame that is labelled) and end-systole of these patients."""
    import nibabel as nib

    for number in patients:
        pairs = sorted(folder.glob(f"patient{number:03d}_frame*_gt.nii.gz"))
        for moment, path in zip(("ED", "ES"), pairs, strict=True):
            images = np.asarray(nib.load(str(path).replace("_gt", "")).dataobj, dtype=np.float32)
            labels = np.asarray(nib.load(path).dataobj).astype(np.uint8)
            yield RealVolume(number, moment, images.transpose(2, 1, 0), labels.transpose(2, 1, 0))


def resized(images: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Images (n, rows, columns) or (n, channels, rows, columns) over the same field of view."""
    import torch

    given = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))
    given = given if given.ndim == 4 else given[:, None]
    result = torch.nn.functional.interpolate(given, size=shape, mode="bilinear", antialias=True)
    array: NDArray[np.float32] = result.numpy().reshape(*images.shape[:-2], *shape)
    return array


class PhantomTaught:
    """The finished run's network, ready for real volumes."""

    def __init__(self, weights: Path) -> None:
        from training.model import read_model

        self._model, configuration = read_model(weights)
        self._model.eval()
        (label,) = self._model.labels
        self._task = self._model.task(label)
        facts = configuration.facts[label]
        self._shape = facts.rows, facts.columns
        codes = {**CLASSES, "background": 0}
        self._codes = np.array([codes[name] for name in self._task.segment_names], dtype=np.uint8)

    def labels(self, volume: RealVolume) -> NDArray[np.uint8]:
        """ACDC's codes on the volume's own pixels, (slices, rows, columns)."""
        import torch

        small = resized(volume.images, self._shape)
        small = small - small.mean(axis=(1, 2), keepdims=True)
        small /= np.maximum(small.std(axis=(1, 2), keepdims=True), 1e-6)
        with torch.no_grad():
            levels = self._model.backbone.encode(torch.from_numpy(small)[:, None])
            logits = self._task.head(self._model.backbone.decode(levels)[0])
            probability = logits.float().softmax(dim=1).numpy()
        rows, columns = volume.images.shape[1:]
        return np.asarray(self._codes[resized(probability, (rows, columns)).argmax(axis=1)])


def dice(found: NDArray[np.uint8], true: NDArray[np.uint8], code: int) -> float:
    """2 |A and B| / (|A| + |B|) over a whole volume; 1 where neither has the class."""
    a, b = found == code, true == code
    return float(2 * (a & b).sum() / (a.sum() + b.sum())) if a.any() or b.any() else 1.0


def scores(network: PhantomTaught, folder: Path, patients: Sequence[int]) -> dict[str, list[float]]:
    """Dice by "ED LV cavity" and so on, one for each patient in order."""
    table: dict[str, list[float]] = {f"{m} {name}": [] for m in ("ED", "ES") for name in CLASSES}
    for volume in volumes(folder, patients):
        found = network.labels(volume)
        for name, code in CLASSES.items():
            table[f"{volume.moment} {name}"].append(dice(found, volume.labels, code))
    return table


def mean_with_interval(
    columns: Sequence[Sequence[float]], seed: int = 0, draws: int = 4000
) -> tuple[float, float, float]:
    """Mean over patients and columns, and the 95 % interval of drawing the patients again."""
    by_patient = np.mean(np.array(columns, dtype=np.float64), axis=0)
    rng = np.random.default_rng(seed)
    drawn = by_patient[rng.integers(len(by_patient), size=(draws, len(by_patient)))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(by_patient.mean()), float(low), float(high)
