"""Store -> batches: which rows a stream learns from, in which order, and how raw arrays become a batch.

The order is a function of (seed, stream, epoch, row) alone, so a run goes on from its step number without
any state of a sampler. An epoch is one pass through all rows; batches run on across its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dicomgeom.errors import WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.reader import StoreReader
from pretext_targets.store import NOT_ANNOTATED, SPLITS, StoreAttributes
from training.augment import Motion, change_intensity, draw_motion, move_labels, warp
from training.draws import mixed, shuffled
from training.settings import AugmentSettings
from training.sources import READ_AT_ONCE, Rows, Source
from training.tasks.task import Batch, StoreFacts, Task

STATISTICS: Mapping[str, tuple[str, ...]] = {
    "image-z-score": ("image_mean", "image_std"),
    "stack-z-score": ("stack_mean", "stack_std"),
    "image-0-1": ("image_min", "image_max"),
    "stack-0-1": ("stack_min", "stack_max"),
    "none": (),
}
"""The store's columns that each kind of normalisation takes."""

SMALLEST_SPREAD = 1e-6
"""An image that varies less than this is constant; dividing by it would make noise of rounding."""

_ORDER, _DRAW = 101, 102


def facts_of(attributes: StoreAttributes) -> StoreFacts:
    """What tasks must know of a store."""
    return StoreFacts(
        rows=attributes.rows,
        columns=attributes.columns,
        spacing_mm=attributes.spacing_mm,
        partners=tuple(attributes.partners),
        box_names=tuple(attributes.box_names),
        box_side_px=attributes.box_side_px,
        line_sigma_px=attributes.line_sigma_px,
        segment_names=tuple(attributes.segment_names),
        location_mapping=str(attributes.protocol.get("location_mapping", "linear")),
        protocol=str(attributes.protocol.get("name", "")),
        view=str(attributes.protocol.get("carrier", "")),
    )


def raw_names(task: Task, normalise: str) -> tuple[str, ...]:
    """The store's arrays that batches of a task are made of."""
    return ("image", "image_scale", "image_offset", *STATISTICS[normalise], *sorted(task.needs))


def label_columns(
    reader: StoreReader, task: Task, rows: Rows, progress: Progress = silent
) -> dict[str, NDArray[Any]]:
    """The small arrays by which a task judges rows; ``has_segmentation`` in the place of the segmentation.

    Raises
    ------
    WrongUse
        When the store lacks an array that the task needs.
    """
    missing = sorted(task.needs - set(reader.names))
    if missing:
        raise WrongUse(
            f"the store (protocol {reader.attributes.protocol.get('name')}) has no {', '.join(missing)}, "
            "which this recipe learns from; give a labelled store, or a recipe that needs no such labels"
        )
    columns = {name: reader.column(name)[rows] for name in sorted(task.needs - {"segmentation"})}
    if "segmentation" in task.needs:
        columns["has_segmentation"] = _annotated(reader, rows, progress)
    return columns


def _annotated(reader: StoreReader, rows: Rows, progress: Progress) -> NDArray[np.bool_]:
    found = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(rows), READ_AT_ONCE):
        classes = reader.read("segmentation", rows[start : start + READ_AT_ONCE])
        found[start : start + READ_AT_ONCE] = (classes != NOT_ANNOTATED).any(axis=(1, 2))
        progress("looking for annotations", done=min(start + READ_AT_ONCE, len(rows)), total=len(rows))
    return found


def sound_rows(reader: StoreReader, split: str, normalise: str) -> Rows:
    """Rows of a split whose pixels were read and can be normalised; `split` "all" takes every split."""
    rows = rows_of(reader, split)
    sound = reader.column("valid")[rows].astype(bool)
    for name in ("image_scale", "image_offset", *STATISTICS[normalise]):
        sound &= np.isfinite(reader.column(name)[rows])
    return np.asarray(rows[sound])


def rows_of(reader: StoreReader, split: str) -> Rows:
    """All rows of a split; "all" takes every split."""
    if split == "all":
        return np.arange(len(reader), dtype=np.int64)
    return np.flatnonzero(reader.column("split") == SPLITS.index(split)).astype(np.int64)


def patients_of(reader: StoreReader, rows: Rows) -> list[str]:
    """Salted-hash keys, in hexadecimal, of the patients of rows; one for each row."""
    return [bytes(key).hex() for key in reader.column("patient_key")[rows]]


def chosen_patients(patients: Sequence[str], count: int, seed: int) -> set[str]:
    """`count` of the patients, the first of an order by the hash of (seed, patient): nested subsets.

    Raises
    ------
    WrongUse
        When there are fewer.
    """
    known = sorted(set(patients), key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())
    if count > len(known):
        raise WrongUse(
            f"subjects = {count}, but only {len(known)} training patients have labels; "
            f"ask for {len(known)} or fewer, or 0 for all"
        )
    return set(known[:count])


@dataclass
class Order:
    """Endless shuffled passes through rows, seekable at any place.

    Parameters
    ----------
    rows
        (n,) the rows to pass through.
    seed, stream
        Keys of the shuffling.
    """

    rows: Rows
    seed: int
    stream: int

    def __post_init__(self) -> None:
        self._passes: dict[int, NDArray[np.int64]] = {}

    def _pass(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._passes:
            shuffle = shuffled(len(self.rows), self.seed, self.stream, _ORDER, epoch).numpy()
            self._passes = {epoch - 1: self._passes[epoch - 1]} if epoch - 1 in self._passes else {}
            self._passes[epoch] = self.rows[shuffle]
        return self._passes[epoch]

    def batch(self, turn: int, size: int) -> tuple[Rows, Tensor]:
        """Rows (size,) of the stream's turn number `turn` and their keys for random draws (size,) int64.

        A key is a function of (seed, stream, epoch, row): a row that comes twice, even in one batch of a
        small store, comes in two epochs, and is augmented anew.
        """
        places = np.arange(turn * size, (turn + 1) * size)
        epochs, within = np.divmod(places, len(self.rows))
        rows = np.array(
            [self._pass(int(e))[int(w)] for e, w in zip(epochs, within, strict=True)], dtype=np.int64
        )
        keys = mixed(self.seed, self.stream, _DRAW, torch.from_numpy(epochs), torch.from_numpy(rows))
        return rows, keys


def prepare(
    raw: Mapping[str, Tensor],
    rows: Rows,
    draw: Tensor,
    facts: StoreFacts,
    normalise: str,
    augment: AugmentSettings | None,
) -> Batch:
    """Raw arrays of rows -> a batch: dequantised, augmented, normalised, with the labels carried along.

    Parameters
    ----------
    raw
        As a `Source` fetches them, on the training device.
    draw
        (b,) int64 keys of the random draws.
    augment
        None for the images as they are.
    """
    image = dequantised(raw)[:, None]
    device, count = image.device, image.shape[0]
    draw = draw.to(device)
    labels = _labels(raw, facts, count, device)
    matrix = torch.eye(3, dtype=torch.float64, device=device).expand(count, 3, 3)
    if augment is not None and augment.moves:
        motion: Motion = draw_motion(augment, draw, facts.rows, facts.columns)
        image, matrix = warp(image, motion), motion.matrix
        labels = move_labels(labels, motion, facts.rows, facts.columns)
    image = normalised(image, raw, normalise)
    if augment is not None:
        image = change_intensity(augment, image, draw)
    example = torch.from_numpy(rows).to(device)
    return Batch(image.contiguous(memory_format=torch.channels_last), labels, matrix, example, draw)


def dequantised(raw: Mapping[str, Tensor]) -> Tensor:
    """Images (b, rows, columns) float32 from their 16-bit codes: code * scale + offset."""
    codes = (raw["image"].to(torch.int32) & 0xFFFF).float()
    return codes * raw["image_scale"][:, None, None] + raw["image_offset"][:, None, None]


def normalised(image: Tensor, raw: Mapping[str, Tensor], normalise: str) -> Tensor:
    """Images (b, 1, rows, columns) by the store's statistics of the image or of its whole stack."""
    if normalise == "none":
        return image
    first, second = (raw[name][:, None, None, None] for name in STATISTICS[normalise])
    spread = second if normalise.endswith("z-score") else second - first
    return (image - first) / spread.clamp(min=SMALLEST_SPREAD)


def _labels(
    raw: Mapping[str, Tensor], facts: StoreFacts, count: int, device: torch.device
) -> dict[str, Tensor]:
    labels = {
        name: values
        for name, values in raw.items()
        if not name.startswith("image") and name not in ("stack_mean", "stack_std", "stack_min", "stack_max")
    }
    if "line" in labels:
        labels["line_sigma_px"] = torch.full((count,), facts.line_sigma_px, device=device)
    if "box_centre" in labels:
        labels["box_side_px"] = torch.full((count,), facts.box_side_px, device=device)
    if "segmentation" in labels:
        labels["segmentation"] = labels["segmentation"].long()
    return labels


def plain_batches(
    source: Source, rows: Rows, size: int, facts: StoreFacts, normalise: str
) -> Iterator[tuple[Rows, Batch]]:
    """Rows in their order as batches without augmentation: for validation, evaluation and pictures."""
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        raw = source.fetch(some)
        yield some, prepare(raw, some, torch.from_numpy(some), facts, normalise, None)
