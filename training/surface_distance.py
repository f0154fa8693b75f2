"""Distances between the surfaces of two masks.

The surface of a mask is those of its voxels that have a neighbour outside it across a face; a volume of one
slice is taken as an image, else every voxel of it would be surface. From each surface voxel the distance to
the nearest one of the other surface is taken, both ways.

ASSD is the average of the two directed means, so that both surfaces count alike; averaging all distances of
both ways together, as MONAI's symmetric mean does, gives the larger surface more weight and another number.
HD95 is the larger of the two directed 95th percentiles, as the Hausdorff distance is the larger of the two
directed maxima (Huttenlocher et al., IEEE TPAMI 1993).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, generate_binary_structure
from scipy.spatial import KDTree

from training.volume_grid import VolumeGrid

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SurfaceDistances:
    """From each surface voxel to the nearest one of the other mask, in the unit of the grid.

    Attributes
    ----------
    from_predicted, from_true
        (n,) and (m,); neither is empty.
    """

    from_predicted: Floats
    from_true: Floats

    def average(self) -> float:
        """Average symmetric surface distance: the mean of the two directed means."""
        return float((self.from_predicted.mean() + self.from_true.mean()) / 2.0)

    def percentile(self, percent: float) -> float:
        """The larger of the two directed percentiles; 100 gives the Hausdorff distance."""
        return float(max(np.percentile(one, percent) for one in (self.from_predicted, self.from_true)))


def surface_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of a mask (slices, rows, columns) with a neighbour outside; beyond the volume is outside."""
    structure = generate_binary_structure(3, 1)
    if len(mask) == 1:
        structure[[0, 2]] = False
        # Beyond the only slice there is nothing to compare with: it must not count as outside.
        return np.asarray(mask & ~binary_erosion(mask[0], structure[1])[None])
    return np.asarray(mask & ~binary_erosion(mask, structure))


def surface_distances(
    predicted: NDArray[np.bool_], true: NDArray[np.bool_], grid: VolumeGrid
) -> SurfaceDistances | None:
    """Distances between the surfaces of two masks (slices, rows, columns); None where one is empty."""
    if not predicted.any() or not true.any():
        return None
    rows, columns = bounding_box(predicted | true)
    corner = np.array([0, rows.start, columns.start])
    first, second = (
        grid.places(np.argwhere(surface_of(mask[:, rows, columns])) + corner) for mask in (predicted, true)
    )
    return nearest_distances(first, second)


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns that hold all of a mask (slices, rows, columns), which must not be empty.

    Within them a mask has the surface and the holes that it has in the whole image.
    """
    row, column = (np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    return slice(int(row[0]), int(row[-1]) + 1), slice(int(column[0]), int(column[-1]) + 1)


def nearest_distances(first: Floats, second: Floats) -> SurfaceDistances:
    """From each of the points (n, 3) to the nearest of the points (m, 3), and the other way."""
    return SurfaceDistances(KDTree(second).query(first)[0], KDTree(first).query(second)[0])
