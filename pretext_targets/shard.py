"""One shard, written in whole: the unit of work of a build.

A task holds paths, planes and labels, no pixels. It reads its images, fills every array of
its shard, writes them into a store of its own with the same metadata, makes sure they are on
disk and read back equal, moves the files in and only then writes the shard's manifest row.
Killed at any moment it leaves either a row, and then the shard is right, or none, and then
it is done again. The same task gives the same bytes, whoever does it.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from dicomgeom.errors import IntegrityError, UnusableFile
from dicomgeom.pixels import read_image
from pretext_targets.drawing import draw_boxes, draw_heatmaps, heatmap_codes
from pretext_targets.labelled import read_labels
from pretext_targets.labels import SliceLabels
from pretext_targets.manifest import FileRecord, ManifestRow, Sums, record_of, sync_folder, write_row
from pretext_targets.resample import resample, resample_labels
from pretext_targets.store import (
    STACK_STATISTICS,
    StoreAttributes,
    array_options,
    open_array,
)

WORKING = ".building"
"""Folder in an unfinished store for attempts and the lock."""

IMAGE_CODES = 65535
"""Largest code of a stored image."""

Arrays = dict[str, NDArray[Any]]


class _OneThread:
    """Keeps matrix products on one thread, so that sums never depend on how many cores there are.

    The limit is the process's, and a dask worker may run several tasks in threads: the
    first in sets it, the last out lifts it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limit = threadpool_limits(1, user_api="blas")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limit.restore_original_limits()


ONE_THREAD = _OneThread()


@dataclass(frozen=True)
class Source:
    """One frame to read: `slice` is its place in the task's slices."""

    root: str
    path: str
    frame: int
    slice: int
    phase_index: int
    split: int
    sop_instance_uid: str = ""
    segmentation: str | None = None


@dataclass(frozen=True)
class ShardTask:
    """Everything a worker needs to write one shard."""

    store: Path
    shard: int
    attributes: StoreAttributes
    slices: Sequence[SliceLabels]
    sources: Sequence[Source]
    skipped: Sequence[Source]
    """Frames that are no examples but count in the statistics of their stack."""


def write_shard(task: ShardTask) -> ManifestRow:
    """Write one shard and its manifest row.

    Raises
    ------
    IntegrityError
        When what was written doesn't read back.
    """
    with ONE_THREAD:
        arrays, invalid, sums = fill_arrays(task)
    start, stop = task.attributes.range_of(task.shard)
    attempt = task.store / WORKING / f"{task.shard:06d}-{uuid.uuid4().hex}"
    try:
        write_attempt(attempt, task.attributes, arrays, start, stop)
        files = move_in(attempt, task.store)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    row = ManifestRow(task.shard, start, stop, files, invalid, sums)
    write_row(task.store, row)
    return row


def write_attempt(
    attempt: Path, attributes: StoreAttributes, arrays: Mapping[str, NDArray[Any]], start: int, stop: int
) -> None:
    """Write some arrays' examples into a new store with the same metadata, and read them back.

    Raises
    ------
    IntegrityError
        When they don't read back.
    """
    attempt.mkdir(parents=True)
    for one in attributes.fields:
        if one.name not in arrays:
            continue
        created = zarr.create_array(attempt, name=one.name, **array_options(one, attributes))
        created[start:stop] = arrays[one.name]
        written = np.asarray(open_array(attempt, one.name)[start:stop])
        if not np.array_equal(written, arrays[one.name], equal_nan=one.dtype.startswith("float")):
            raise IntegrityError(f"{attempt}: {one.name!r} did not read back; the disk is failing or full")


def move_in(attempt: Path, store: Path) -> dict[str, FileRecord]:
    """Move the chunk files of an attempt into the store, safe on disk; their names and hashes."""
    files: dict[str, FileRecord] = {}
    for path in sorted(attempt.rglob("*")):
        if not path.is_file() or path.name == "zarr.json":
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
        name = path.relative_to(attempt).as_posix()
        files[name] = record_of(path)
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, store / name)
    for folder in {(store / name).parent for name in files}:
        sync_folder(folder)
    return files


def fill_arrays(task: ShardTask) -> tuple[Arrays, dict[int, str], dict[int, Sums]]:
    """All arrays of a shard but the stack statistics.

    Returns
    -------
    arrays : dict of array
        By name, first axis the shard's examples.
    invalid : dict
        Example (in the store) -> reason.
    sums : dict
        Stack of the plan -> count, sum, sum of squares, minimum and maximum of the pixels
        that this shard read of it.
    """
    start, stop = task.attributes.range_of(task.shard)
    arrays: Arrays = {}
    for one in task.attributes.fields:
        if one.name not in STACK_STATISTICS:
            shape = (stop - start, *task.attributes.shape_of(one)[1:])
            arrays[one.name] = np.full(shape, one.fill, dtype=one.dtype)
    sums = _Sums()
    invalid: dict[int, str] = {}
    drawn: tuple[int, Arrays] = (-1, {})
    for row, source in enumerate(task.sources):
        labels = task.slices[source.slice]
        if drawn[0] != source.slice:
            drawn = source.slice, label_values(labels, task.attributes)
        for name, value in drawn[1].items():
            arrays[name][row] = value
        arrays["phase_index"][row] = source.phase_index
        arrays["split"][row] = source.split
        try:
            values = pixel_values(source, labels, task.attributes)
        except UnusableFile as error:
            invalid[start + row] = error.reason
            continue
        sums.add(labels.stack, values.pop("grid"))
        for name, value in values.items():
            arrays[name][row] = value
        arrays["valid"][row] = True
    for source in task.skipped:
        try:
            sums.add(task.slices[source.slice].stack, _grid_pixels(source, task.slices[source.slice]))
        except UnusableFile:
            continue
    return arrays, invalid, sums.by_stack


def label_values(labels: SliceLabels, attributes: StoreAttributes) -> Arrays:
    """Everything about an example that its slice shares, by array name."""
    line = labels.line.astype(np.float32)
    centre = labels.boxes.centre_px.astype(np.float32)
    values: Arrays = {
        "line": line,
        "box_centre": centre,
        "box_present": labels.boxes.present,
        "location": np.float32(labels.location),  # type: ignore[dict-item]
        "location_sine": np.float32(labels.location_sine),  # type: ignore[dict-item]
        "patient_from_pixel": labels.grid.patient_from_pixel,
        "patient_key": np.frombuffer(labels.patient_key, dtype=np.uint8),
        "study_key": np.frombuffer(labels.study_key, dtype=np.uint8),
        "stack_key": np.frombuffer(labels.stack_key, dtype=np.uint8),
        "slice_index": np.int32(labels.slice_index),  # type: ignore[dict-item]
        "n_slices": np.int32(labels.n_slices),  # type: ignore[dict-item]
        "n_phases": np.int32(labels.n_phases),  # type: ignore[dict-item]
    }
    if "rasters" in attributes.parts:
        rows, columns = attributes.rows, attributes.columns
        # Drawn from the rounded parameters, so that training draws the same again.
        values["box_mask"] = draw_boxes(centre, labels.boxes.present, attributes.box_side_px, rows, columns)
        values["line_heatmap"] = heatmap_codes(draw_heatmaps(line, attributes.line_sigma_px, rows, columns))
    return values


def pixel_values(source: Source, labels: SliceLabels, attributes: StoreAttributes) -> Arrays:
    """Everything about an example that its own pixels say, by array name; and the `grid` pixels.

    Raises
    ------
    UnusableFile
        When the image or its annotation cannot be read.
    """
    grid = _grid_pixels(source, labels)
    codes, scale, offset = encode(grid)
    values: dict[str, Any] = {
        "grid": grid,
        "image": codes,
        "image_scale": scale,
        "image_offset": offset,
        "image_mean": grid.mean(dtype=np.float64),
        "image_std": grid.std(dtype=np.float64),
        "image_min": grid.min(),
        "image_max": grid.max(),
    }
    if source.segmentation is not None:
        native = read_labels(
            source.segmentation, source.sop_instance_uid, source.frame, attributes.segment_names
        )
        if native.shape != (labels.plane.rows, labels.plane.columns):
            raise UnusableFile("segmentation-size")
        values["segmentation"] = resample_labels(native, labels.plane, labels.grid)
    return values


def encode(image: NDArray[np.float32]) -> tuple[NDArray[np.uint16], np.float32, np.float32]:
    """Code an image in 16 bits: value = code * scale + offset, back within 1e-5 of its range."""
    offset = np.float32(image.min())
    scale = np.float32((float(image.max()) - float(offset)) / IMAGE_CODES)
    if scale == 0:
        return np.zeros(image.shape, dtype=np.uint16), np.float32(1), offset
    codes = np.rint((image.astype(np.float64) - float(offset)) / float(scale))
    return np.clip(codes, 0, IMAGE_CODES).astype(np.uint16), scale, offset


def _grid_pixels(source: Source, labels: SliceLabels) -> NDArray[np.float32]:
    image = read_image(source.root, source.path, source.frame)
    if image.shape != (labels.plane.rows, labels.plane.columns):
        raise UnusableFile("size-changed", f"found {image.shape}")
    if not np.isfinite(image).all():
        raise UnusableFile("pixels-not-finite")
    return resample(image, labels.plane, labels.grid)


class _Sums:
    """Sums over the grid pixels of each stack, in float64 and in the order of reading."""

    def __init__(self) -> None:
        self.by_stack: dict[int, Sums] = {}

    def add(self, stack: int, grid: NDArray[np.float32]) -> None:
        pixels = grid.astype(np.float64)
        one = (
            float(pixels.size),
            float(pixels.sum()),
            float(np.square(pixels).sum()),
            float(pixels.min()),
            float(pixels.max()),
        )
        self.by_stack[stack] = add_sums(self.by_stack[stack], one) if stack in self.by_stack else one


def add_sums(first: Sequence[float], second: Sequence[float]) -> Sums:
    """Sums of two sets of pixels together: count, sum, sum of squares, minimum, maximum."""
    count, total, squares = (a + b for a, b in zip(first[:3], second[:3], strict=True))
    return count, total, squares, min(first[3], second[3]), max(first[4], second[4])
