"""Where the voxels of a volume lie: in mm where that is known, else counted in voxels.

A volume is the slices of one stack at one phase. A placed stack has a matrix for each slice, and its voxels
lie where the matrices say: slices that are uneven, tilted or shifted against each other need no exception.
A stack without a place in the patient may still know its pixels and how far apart its slices are: the store
says so. One slice alone is an image: its measures are those of the plane.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretext_targets.reader import StoreReader

Floats = NDArray[np.float64]

MM3_PER_ML = 1000.0

SLICE_DISTANCE = "slice_distance_mm"
"""Column of stores that know how far apart slices are without knowing where they lie."""


@dataclass(frozen=True)
class VolumeGrid:
    """The voxels of one volume.

    Attributes
    ----------
    patient_from_voxel
        (slices, 3, 4): (column, row, 0, 1) of each slice -> a place in `unit`.
    unit
        "mm" or "voxels".
    spacing_mm
        Of neighbouring pixels on the store's grid; theirs in the patient where `unit` is "mm".
    slice_distance_mm
        Median distance of neighbouring slices along their normal; None where unknown or only one slice.
    """

    patient_from_voxel: Floats
    unit: str
    spacing_mm: float
    slice_distance_mm: float | None

    @property
    def slices(self) -> int:
        """How many there are."""
        return len(self.patient_from_voxel)

    @property
    def pixel(self) -> float:
        """Distance of neighbouring pixels of a slice, in `unit`."""
        return self.spacing_mm if self.unit == "mm" else 1.0

    @property
    def voxel_ml(self) -> float | None:
        """Volume of a voxel, which reaches half way to the neighbouring slices; None where unknown."""
        if self.slice_distance_mm is None:
            return None
        return self.spacing_mm**2 * self.slice_distance_mm / MM3_PER_ML

    def places(self, voxels: NDArray[np.integer]) -> Floats:
        """Places (n, 3) in `unit` of voxels (n, 3) given as (slice, row, column)."""
        matrices = self.patient_from_voxel[voxels[:, 0]]
        pixels = voxels[:, [2, 1]].astype(np.float64)
        placed: Floats = np.einsum("nij,nj->ni", matrices[:, :, :2], pixels) + matrices[:, :, 3]
        return placed

    def diagonal(self, rows: int, columns: int) -> float:
        """The largest distance, in `unit`, between corners of the volume: no two voxels are farther apart."""
        corners = [(s, r, c) for s in (0, self.slices - 1) for r in (0, rows - 1) for c in (0, columns - 1)]
        placed = self.places(np.array(corners))
        return float(np.linalg.norm(placed[:, None] - placed[None], axis=2).max())


def placed_grid(patient_from_pixel: Floats, slice_indices: Iterable[int], spacing_mm: float) -> VolumeGrid:
    """The grid of slices that are placed in the patient.

    Parameters
    ----------
    patient_from_pixel
        (slices, 4, 4), as the store has them; the third column of each is the slice's unit normal.
    slice_indices
        Of these slices, ascending; a gap in them is a slice that is missing.
    """
    matrices = np.asarray(patient_from_pixel, dtype=np.float64)
    steps = np.diff(np.asarray(list(slice_indices), dtype=np.float64))
    apart = np.abs(np.einsum("ni,ni->n", np.diff(matrices[:, :3, 3], axis=0), matrices[:-1, :3, 2]))
    distance = float(np.median(apart / steps)) if len(steps) else None
    return VolumeGrid(matrices[:, :3, :], "mm", spacing_mm, distance)


def counted_grid(
    slice_indices: Iterable[int],
    spacing_mm: float,
    slice_distance_mm: float | None = None,
    *,
    pixels_known: bool = True,
) -> VolumeGrid:
    """The grid of slices whose place in the patient is unknown, taken as straight above each other.

    In mm when their distance is known or there is one slice of known pixels, else in voxels.

    Parameters
    ----------
    pixels_known
        Whether the images told how large their pixels are; else `spacing_mm` is only the grid's name for it.
    """
    numbers = np.asarray(list(slice_indices), dtype=np.float64)
    flat = len(numbers) == 1
    known = pixels_known and (flat or slice_distance_mm is not None)
    matrices = np.zeros((len(numbers), 3, 4))
    matrices[:, 0, 0] = matrices[:, 1, 1] = spacing_mm if known else 1.0
    matrices[:, 2, 2] = 1.0
    matrices[:, 2, 3] = (numbers - numbers[0]) * (slice_distance_mm or 1.0)
    return VolumeGrid(matrices, "mm" if known else "voxels", spacing_mm, None if flat else slice_distance_mm)


def grid_of(reader: StoreReader, rows: NDArray[np.int64]) -> VolumeGrid:
    """The grid of some rows of a store: one volume, in the order of its slices."""
    spacing_mm = reader.attributes.spacing_mm
    indices = reader.column("slice_index")[rows].tolist()
    matrices = reader.column("patient_from_pixel")[rows]
    if np.isfinite(matrices).all() and len(set(indices)) == len(indices):
        return placed_grid(matrices, indices, spacing_mm)
    distance = float("nan")
    if SLICE_DISTANCE in reader.names:
        distance = float(reader.column(SLICE_DISTANCE)[rows[0]])
    if np.isfinite(distance):
        return counted_grid(indices, spacing_mm, distance)
    # Files that say how large their pixels are say how far apart several slices are, too.
    lone = bool((reader.column("n_slices")[rows] == 1).all())
    return counted_grid(indices, spacing_mm, pixels_known=lone and not reader.attributes.without_pixel_size)
