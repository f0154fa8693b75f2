"""What a build will cost, before it is begun: bytes from measured averages, time from a trial."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from pretext_targets.build import attributes_of, task_of
from pretext_targets.build_plan import BuildPlan
from pretext_targets.codecs import DEFAULT_COMPRESSION, Compression
from pretext_targets.places import Folder
from pretext_targets.shard import write_shard

IMAGE_BYTES_PER_PIXEL: Final[dict[Compression, float]] = {"lz4": 1.76, "zstd": 1.69, "none": 2.0}
"""Measured on real hearts and knees (docs/results/build.md)."""

LABEL_BYTES_PER_PIXEL: Final[dict[Compression, float]] = {"lz4": 0.08, "zstd": 0.04, "none": 1.0}
"""Of each raster of labels: the mask of boxes, a heatmap for each partner, segmentation, tissue."""

BYTES_PER_EXAMPLE: Final = 300
"""Of all small columns, and the manifest."""

TRIAL: Final = 32
"""Examples that are really made, to see how long one takes."""


@dataclass(frozen=True)
class Estimate:
    """Size of a store, and how long it takes to build on this machine."""

    size_bytes: int
    seconds: float


def estimate(
    plan: BuildPlan, *, rasters: bool = True, compression: Compression | None = None, workers: int = 1
) -> Estimate:
    """Say what a plan will cost.

    A few examples, evenly spread, are built into a temporary folder and timed. What the way to a
    server takes, or a cluster's own machines, is not known here.
    """
    packed = compression or DEFAULT_COMPRESSION
    seconds = trial_s(plan, rasters=rasters, compression=packed) / workers
    return Estimate(store_bytes(plan, rasters=rasters, compression=packed), seconds)


def store_bytes(
    plan: BuildPlan, *, rasters: bool = True, compression: Compression = DEFAULT_COMPRESSION
) -> int:
    """About how large a plan's store will be."""
    drawn = (1 + len(plan.protocol.partners) if rasters else 0) + (plan.segmentations is not None)
    drawn += plan.tissues is not None
    per_pixel = IMAGE_BYTES_PER_PIXEL[compression] + drawn * LABEL_BYTES_PER_PIXEL[compression]
    pixels = plan.protocol.rows * plan.protocol.columns
    return int(len(plan.examples) * (pixels * per_pixel + BYTES_PER_EXAMPLE))


def trial_s(
    plan: BuildPlan, *, rasters: bool = True, compression: Compression = DEFAULT_COMPRESSION
) -> float:
    """Seconds that one process will need, from some examples that are made for it and thrown away."""
    frames = len(plan.examples) + len(plan.skipped_phases)
    _make(plan, 1, rasters, compression)  # loads what reading needs
    count = min(TRIAL, len(plan.examples))
    return _make(plan, count, rasters, compression) / count * frames


def _make(plan: BuildPlan, count: int, rasters: bool, compression: Compression) -> float:
    """Write so many examples of a plan as one shard of their own; the seconds it took."""
    places = np.linspace(0, len(plan.examples) - 1, count).round().astype(np.int64)
    some = replace(plan, examples=plan.examples[places], skipped_phases=plan.skipped_phases.clear())
    attributes = attributes_of(some, rasters=rasters, shard=count, compression=compression)
    with tempfile.TemporaryDirectory(prefix="anatprep-") as folder:
        task = task_of(some, Folder(Path(folder)), attributes, 0)
        began = time.perf_counter()
        write_shard(task)
        return time.perf_counter() - began
