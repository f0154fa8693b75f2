"""One shard, written in whole: the unit of work of a build.

A task holds paths, planes and labels, no pixels. It reads its images, fills every array of
its shard, writes them aside, makes sure they are on disk and read back equal, moves the files
in (`commit.py`) and only then writes the shard's manifest row.
Killed at any moment it leaves either a row, and then the shard is right, or none, and then
it is done again. The same task gives the same bytes, whoever does it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from dicomgeom.errors import UnusableFile
from dicomgeom.progress import Progress, silent
from pretext_targets.attributes import StoreAttributes
from pretext_targets.commit import commit
from pretext_targets.drawing import draw_boxes, draw_heatmaps, heatmap_codes
from pretext_targets.frames import (
    Source,
    annotation,
    grid_pixels,
    image_values,
    statistics_of,
    tissue_image,
)
from pretext_targets.labels import SliceLabels
from pretext_targets.manifest import ManifestRow, Sums, write_row
from pretext_targets.places import Place
from pretext_targets.schema import NOT_ANNOTATED, STACK_STATISTICS

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
class ShardTask:
    """Everything a worker needs to write one shard."""

    place: Place
    shard: int
    attributes: StoreAttributes
    slices: Sequence[SliceLabels]
    sources: Sequence[Source]
    skipped: Sequence[Source]
    """Frames that are no examples but count in the statistics of their stack."""


def write_shard(task: ShardTask, *, progress: Progress = silent) -> ManifestRow:
    """Write one shard and its manifest row.

    Raises
    ------
    IntegrityError
        When what was written doesn't read back.
    """
    with ONE_THREAD:
        arrays, invalid, sums = fill_arrays(task, progress=progress)
    start, stop = task.attributes.range_of(task.shard)
    slices = [source.slice for source in task.sources]
    same_slice = [False, *(a == b for a, b in pairwise(slices))]
    files = commit(task.place, task.attributes, arrays, start, stop, same_slice=same_slice)
    annotated, segments = count_segments(arrays.get("segmentation"), len(task.attributes.segment_names))
    row = ManifestRow(task.shard, start, stop, files, invalid, sums, annotated, segments)
    write_row(task.place, row)
    return row


def count_segments(drawn: NDArray[np.uint8] | None, names: int) -> tuple[int, dict[int, int]]:
    """How many examples are annotated, and how many have each code.

    Parameters
    ----------
    drawn : uint8 array, shape (examples, rows, columns)
        None where the store holds no annotations.
    names : int
        How many codes mean something.
    """
    if drawn is None:
        return 0, {}
    has = {code: int((drawn == code).any(axis=(1, 2)).sum()) for code in range(1, names)}
    return int((drawn != NOT_ANNOTATED).any(axis=(1, 2)).sum()), has


def fill_arrays(
    task: ShardTask, *, progress: Progress = silent
) -> tuple[Arrays, dict[int, str], dict[int, Sums]]:
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
    sums: dict[int, Sums] = {}
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
            _fill_pixels(arrays, row, source, labels, task.attributes, sums)
        except UnusableFile as error:
            invalid[start + row] = error.reason
        progress("resampling images", done=row + 1, total=len(task.sources))
    for source in task.skipped:
        labels = task.slices[source.slice]
        try:
            _count(sums, labels.stack, statistics_of(grid_pixels(source, labels)).sums)
        except UnusableFile:
            continue
    return arrays, invalid, sums


def _fill_pixels(
    arrays: Arrays,
    row: int,
    source: Source,
    labels: SliceLabels,
    attributes: StoreAttributes,
    sums: dict[int, Sums],
) -> None:
    """Everything of a row that is read from files; nothing of it when one of them is unusable."""
    grid = grid_pixels(source, labels)
    drawn = annotation(source, labels, attributes)
    tissue = tissue_image(source, labels)
    own = statistics_of(grid)
    for name, value in image_values(grid, own).items():
        arrays[name][row] = value
    if drawn is not None:
        arrays["segmentation"][row] = drawn
    if tissue is not None:
        arrays["tissue"][row] = tissue
    arrays["valid"][row] = True
    _count(sums, labels.stack, own.sums)


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
        "patient_from_pixel": labels.grid.patient_from_pixel if labels.placed else np.full((4, 4), np.nan),
        "patient_key": np.frombuffer(labels.patient_key, dtype=np.uint8),
        "study_key": np.frombuffer(labels.study_key, dtype=np.uint8),
        "stack_key": np.frombuffer(labels.stack_key, dtype=np.uint8),
        "slice_index": np.int32(labels.slice_index),  # type: ignore[dict-item]
        "n_slices": np.int32(labels.n_slices),  # type: ignore[dict-item]
        "n_phases": np.int32(labels.n_phases),  # type: ignore[dict-item]
    }
    if "diagnosis" in attributes.parts:
        values |= asdict(labels.facts)
    if "distance" in attributes.parts:
        values["slice_distance_mm"] = np.float32(labels.slice_distance_mm)  # type: ignore[assignment]
    if "findings" in attributes.parts:
        values["findings"] = np.array(labels.findings, dtype=np.int8)
    if "rasters" in attributes.parts:
        rows, columns = attributes.rows, attributes.columns
        # Drawn from the rounded parameters, so that training draws the same again.
        values["box_mask"] = draw_boxes(centre, labels.boxes.present, attributes.box_side_px, rows, columns)
        values["line_heatmap"] = heatmap_codes(draw_heatmaps(line, attributes.line_sigma_px, rows, columns))
    return values


def _count(sums: dict[int, Sums], stack: int, one: Sums) -> None:
    sums[stack] = add_sums(sums[stack], one) if stack in sums else one


def add_sums(first: Sequence[float], second: Sequence[float]) -> Sums:
    """Sums of two sets of pixels together: count, sum, sum of squares, minimum, maximum."""
    count, total, squares = (a + b for a, b in zip(first[:3], second[:3], strict=True))
    return count, total, squares, min(first[3], second[3]), max(first[4], second[4])
