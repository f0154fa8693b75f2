"""The pixels of one frame on the grid, their sums, and their form in a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import UnusableFile
from dicomgeom.pixels import read_image
from dicomgeom.plain_pixels import read_plain_image
from pretext_targets.annotations import Annotation
from pretext_targets.arrays import is_array, read_array_image
from pretext_targets.labels import SliceLabels
from pretext_targets.manifest import Sums
from pretext_targets.nifti import is_nifti, read_nifti_image
from pretext_targets.resample import resample, resample_labels
from pretext_targets.store import StoreAttributes
from pretext_targets.tissues import TissueImage

IMAGE_CODES = 65535
"""Largest code of a stored image."""


@dataclass(frozen=True)
class Source:
    """One frame to read: `slice` is its place in the task's slices."""

    root: str
    path: str
    frame: int
    slice: int
    phase_index: int
    split: int
    annotation: Annotation | None = None
    tissue: TissueImage | None = None


def grid_pixels(source: Source, labels: SliceLabels) -> NDArray[np.float32]:
    """Read a frame and resample it to its slice's grid.

    Raises
    ------
    UnusableFile
        When it cannot be read, or isn't what the catalogue said.
    """
    image = _read(source)
    if image.shape != (labels.plane.rows, labels.plane.columns):
        raise UnusableFile("size-changed", f"found {image.shape}")
    grid = resample(image, labels.plane, labels.grid)
    # Whatever isn't finite spreads: the sum of all tells.
    if not np.isfinite(grid.sum()):
        raise UnusableFile("pixels-not-finite")
    return grid


def _read(source: Source) -> NDArray[np.float32]:
    if is_nifti(source.path):
        return read_nifti_image(str(Path(source.root, source.path)), source.frame)
    if is_array(source.path):
        return read_array_image(str(Path(source.root, source.path)), source.frame)
    plain = read_plain_image(source.root, source.path, source.frame)
    return read_image(source.root, source.path, source.frame) if plain is None else plain


class Statistics(NamedTuple):
    """Of the pixels of one image on the grid."""

    mean: float
    std: float
    sums: Sums


def statistics_of(grid: NDArray[np.float32]) -> Statistics:
    """Statistics of some pixels, worked out in float64 from their minimum up, so that nothing cancels."""
    low, high = float(grid.min()), float(grid.max())
    above = grid.astype(np.float64).ravel()
    above -= low
    count, total, squares = float(above.size), float(above.sum()), float(above @ above)
    sums = (count, total + count * low, squares + low * (2 * total + count * low), low, high)
    return Statistics(low + total / count, spread(count, total, squares), sums)


def image_values(grid: NDArray[np.float32], statistics: Statistics) -> dict[str, Any]:
    """Everything about an example that its own pixels say, by array name."""
    codes, scale, offset = encode(grid)
    return {
        "image": codes,
        "image_scale": scale,
        "image_offset": offset,
        "image_mean": statistics.mean,
        "image_std": statistics.std,
        "image_min": statistics.sums[3],
        "image_max": statistics.sums[4],
    }


def annotation(source: Source, labels: SliceLabels, attributes: StoreAttributes) -> NDArray[np.uint8] | None:
    """The annotation of a frame on its slice's grid; None when nobody annotated it.

    Raises
    ------
    UnusableFile
        When it cannot be read, or has another size than the image.
    """
    if source.annotation is None:
        return None
    return _on_grid(source.annotation.read(attributes.segment_names), labels)


def tissue_image(source: Source, labels: SliceLabels) -> NDArray[np.uint8] | None:
    """The tissues of a frame on its slice's grid, air outside the image; None when nobody knows them.

    Raises
    ------
    UnusableFile
        As `annotation`.
    """
    return None if source.tissue is None else _on_grid(source.tissue.read(), labels)


def _on_grid(native: NDArray[np.uint8], labels: SliceLabels) -> NDArray[np.uint8]:
    if native.shape != (labels.plane.rows, labels.plane.columns):
        raise UnusableFile("segmentation-size")
    return resample_labels(native, labels.plane, labels.grid)


def encode(image: NDArray[np.float32]) -> tuple[NDArray[np.uint16], np.float32, np.float32]:
    """Code an image in 16 bits: value = code * scale + offset, back within 1e-5 of its range."""
    offset = np.float32(image.min())
    scale = np.float32((float(image.max()) - float(offset)) / IMAGE_CODES)
    if scale == 0:
        return np.zeros(image.shape, dtype=np.uint16), np.float32(1), offset
    codes = image - offset
    codes /= scale
    np.rint(codes, out=codes)
    return np.minimum(codes, np.float32(IMAGE_CODES), out=codes).astype(np.uint16), scale, offset


def spread(count: float, total: float, squares: float) -> float:
    """Standard deviation (over n) from sums."""
    return float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0)))
