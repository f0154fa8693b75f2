"""Store -> batches: which rows a stream can learn from, and how raw arrays become a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dicomgeom.errors import WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.reader import StoreReader
from pretext_targets.store import NOT_ANNOTATED, SPLITS, StoreAttributes
from training.augment import draw_motion, move_classes, move_labels, still, warp, windowed
from training.contrast import Redraw
from training.intensity import change_intensity
from training.settings import AugmentSettings
from training.sources import READ_AT_ONCE, Rows, Source, brought
from training.tasks.task import Batch, Crop, StoreFacts, Task
from training.units import Picked

STATISTICS: Mapping[str, tuple[str, ...]] = {
    "image-z-score": ("image_mean", "image_std"),
    "stack-z-score": ("stack_mean", "stack_std"),
    "image-0-1": ("image_min", "image_max"),
    "stack-0-1": ("stack_min", "stack_max"),
    "none": (),
}
"""The store's columns that each kind of normalisation takes."""

NO_LABELS = frozenset({"stack_mean", "stack_std", "stack_min", "stack_max", "tissue"})
"""What images are made from and no label, beside the arrays named for the image."""

WHOLE = Crop()
"""The whole grid."""

SMALLEST_SPREAD = 1e-6
"""An image that varies less than this is constant; dividing by it would make noise of rounding."""


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
        finding_names=tuple(attributes.finding_names),
    )


def raw_names(task: Task, normalise: str) -> tuple[str, ...]:
    """The store's arrays that batches of a task are made of."""
    return ("image", "image_scale", "image_offset", *STATISTICS[normalise], *sorted(task.needs))


def label_columns(
    reader: StoreReader, task: Task, rows: Rows, progress: Progress = silent
) -> dict[str, NDArray[Any]]:
    """The small arrays by which a task judges rows, and the rows; see `Task.usable`.

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
    columns["row"] = rows
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


def prepare(
    raw: Mapping[str, Tensor],
    picked: Picked,
    facts: StoreFacts,
    normalise: str,
    augment: AugmentSettings | None,
    crop: Crop = WHOLE,
    redraw: Redraw | None = None,
) -> Batch:
    """Raw arrays of rows -> a batch: dequantised, augmented, normalised, with the labels carried along.

    Parameters
    ----------
    raw
        As a `Source` fetches them, on the training device.
    picked
        Their rows, the keys of their random draws, and their units.
    augment
        None for the images as they are.
    crop
        Which window of the augmented image.
    redraw
        How the contrast is drawn anew; the raw arrays hold `tissue` then.
    """
    image = dequantised(raw)[:, None]
    device, count = image.device, image.shape[0]
    draw = brought(picked.keys, device)
    labels = _labels(raw, facts, count, device)
    motion = still(count, facts.rows, facts.columns, device)
    if augment is not None and augment.moves:
        motion = draw_motion(augment, draw, facts.rows, facts.columns)
    if crop.share < 1.0:
        motion = windowed(motion, crop.share, draw)
    if crop.share < 1.0 or (augment is not None and augment.moves):
        image, labels = warp(image, motion), move_labels(labels, motion)
    if redraw is not None:
        image = redraw(image, move_classes(raw["tissue"], motion), draw)
    image = normalised(image, raw, normalise)
    if augment is not None:
        image = change_intensity(augment, image, draw)
    example, unit = brought(torch.from_numpy(picked.rows), device), brought(picked.unit, device)
    image = image.contiguous(memory_format=torch.channels_last)
    return Batch(image, labels, motion.matrix, example, draw, unit)


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
        name: values for name, values in raw.items() if not name.startswith("image") and name not in NO_LABELS
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
        yield some, prepare(source.fetch(some), as_they_are(some), facts, normalise, None)


def as_they_are(rows: Rows) -> Picked:
    """Rows as single slices, each the key of its own draws: the same ones whenever it is looked at."""
    return Picked(rows, torch.from_numpy(rows), torch.arange(len(rows)))
