"""A store as large as one likes, written in seconds: what a training run reads, without any exam behind it.

Its images are noise over a smooth ground with a bright disc; its lines, boxes, locations and segmentation
belong to the disc. Sizes, dtypes and chunks are those of a real store, so that reading, decompressing,
augmenting and drawing cost the same; nothing in it is worth learning.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pretext_targets.drawing import draw_boxes, draw_heatmaps
from pretext_targets.store import StoreAttributes, create_group

BOX_NAMES = ("centre", *(f"{way} {how}" for way in ("left", "right", "front", "back") for how in (1, 2)))
SEGMENT_NAMES = ("background", "LV cavity", "LV myocardium", "RV cavity")
PARTNERS = ("2CH", "3CH", "4CH")
SLICES, PHASES = 10, 10
"""A patient's: a hundred images of one stack."""

SPLIT_SHARES = (0.8, 0.9)
"""Patients up to the first share are trained on, up to the second validated on, the rest kept for tests."""


def write_store(path: Path, examples: int, side: int) -> Path:
    """Write a finished, labelled short-axis store of so many square images; a store that is there is kept."""
    if (path / "zarr.json").is_file():
        return path
    attributes = StoreAttributes(
        protocol={"name": "cardiac-sax", "carrier": "SAX", "location_mapping": "linear"},
        plan_sha256=hashlib.sha256(f"{examples} of {side}".encode()).hexdigest(),
        partners=PARTNERS,
        box_names=BOX_NAMES,
        box_side_px=side / 16,
        line_sigma_px=side / 20,
        spacing_mm=282.0 / side,
        rows=side,
        columns=side,
        examples=examples,
        shard=256,
        parts=("rasters", "segmentation"),
        segment_names=SEGMENT_NAMES,
        complete=True,
    )
    create_group(path, attributes)
    arrays = {
        one.name: zarr.open_array(path / one.name, mode="r+", config={"write_empty_chunks": True})
        for one in attributes.fields
    }
    for shard in range(attributes.shards):
        start, stop = attributes.range_of(shard)
        for name, values in _shard(start, stop, attributes).items():
            arrays[name][start:stop] = values
    return path


def _shard(start: int, stop: int, attributes: StoreAttributes) -> dict[str, NDArray[Any]]:
    """All arrays of some examples."""
    rng = np.random.default_rng(start)
    number, side = np.arange(start, stop), attributes.rows
    patient, within = number // (SLICES * PHASES), number % (SLICES * PHASES)
    slices, phases = within // PHASES, within % PHASES
    middle = side / 2 + side / 16 * np.stack([np.cos(2.0 * patient), np.sin(3.0 * patient)], axis=1)
    radius = side / 8 * (1.2 - slices / SLICES)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    away = np.hypot(x - middle[:, 0, None, None], y - middle[:, 1, None, None]) / radius[:, None, None]
    image = 300.0 * (away < 1.0) + 100.0 * np.cos(4.0 * x / side) + rng.normal(200.0, 20.0, away.shape)
    low, high = image.min(axis=(1, 2)), image.max(axis=(1, 2))
    scale = (high - low) / 65535.0
    made: dict[str, NDArray[Any]] = {
        "image": np.rint((image - low[:, None, None]) / scale[:, None, None]).astype(np.uint16),
        "image_scale": scale,
        "image_offset": low,
        "segmentation": ((away < 1.4).astype(np.uint8) + (away < 1.0) + (away < 0.6)),
        "location": slices / (SLICES - 1),
        "location_sine": np.sin(math.pi * slices / (SLICES - 1)),
        "slice_index": slices,
        "phase_index": phases,
        "n_slices": np.full(len(number), SLICES),
        "n_phases": np.full(len(number), PHASES),
        "valid": np.ones(len(number), bool),
        "split": np.searchsorted(SPLIT_SHARES, patient * SLICES * PHASES / attributes.examples, "right"),
        **_labels(middle, patient, attributes),
    }
    for of in ("image", "stack"):
        made |= {f"{of}_mean": image.mean((1, 2)), f"{of}_std": image.std((1, 2))}
        made |= {f"{of}_min": low, f"{of}_max": high}
    key = np.repeat((patient + 1).astype(">u8").view(np.uint8).reshape(-1, 8), 2, axis=1)
    return made | {f"{of}_key": key for of in ("patient", "study", "stack")}


def _labels(
    middle: NDArray[np.float64], patient: NDArray[np.int64], attributes: StoreAttributes
) -> dict[str, NDArray[Any]]:
    """Lines through the disc's middle, boxes along two of them, and both drawn."""
    side, partners = attributes.rows, len(attributes.partners)
    angle = 0.3 * np.sin(patient)[:, None] + math.pi * np.arange(partners) / partners + 0.01
    normal = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    normal *= np.where(normal[..., :1] < 0, -1.0, 1.0)
    line = np.concatenate([normal, -(normal * middle[:, None]).sum(-1, keepdims=True)], axis=-1)
    steps = np.array([[0, 0], *([s * k, 0] for s in (1, -1) for k in (1, 2))] + [
        [0, s * k] for s in (1, -1) for k in (1, 2)
    ])  # fmt: skip
    centre = middle[:, None] + 1.4 * attributes.box_side_px * steps
    present = np.ones(centre.shape[:2], bool)
    return {
        "line": line,
        "line_heatmap": np.rint(
            255 * draw_heatmaps(line.astype(np.float32), attributes.line_sigma_px, side, side)
        ),
        "box_centre": centre,
        "box_present": present,
        "box_mask": draw_boxes(centre.astype(np.float32), present, attributes.box_side_px, side, side),
    }
