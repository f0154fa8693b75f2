"""Whether two NIfTI files count the same voxels, told by their affines.

A label map is laid on its image voxel by voxel. Programs that turn a file to their own orientation
(to RAS, say) reverse its axes and its affine together: in the patient nothing has moved, in the
array everything has.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

Flips = tuple[bool, bool, bool]
"""Axes (column, row, slice) along which a file counts its voxels the other way round."""

AS_IT_IS: Final[Flips] = (False, False, False)

SAME_VOXEL: Final = 0.5
"""Voxels of two files are the same when their centres lie at most this far apart, in voxels of each axis:
nearer to each other than to any neighbour. Rounded headers stay below it, another spacing doesn't."""


def is_lost(affine: NDArray[np.float64]) -> bool:
    """Whether an affine tells nothing: it is the identity, or no volume's."""
    if not np.isfinite(affine).all() or np.linalg.det(affine) == 0:
        return True
    return bool(np.allclose(affine, np.eye(4)))


def flips_between(
    image: NDArray[np.float64], other: NDArray[np.float64], shape: tuple[int, int, int]
) -> Flips | None:
    """How another file of the same shape counts the voxels of an image.

    Parameters
    ----------
    image, other : array, shape (4, 4)
        Affines, patient from voxel.
    shape : tuple
        Voxels along each axis.

    Returns
    -------
    tuple of bool or None
        Axes to reverse in the other file so that its voxels are the image's, exactly; None where
        no reversal does it: it lies elsewhere, is larger, is turned. Where an affine is lost there
        is nothing to compare, and the voxels are taken for the same.
    """
    if is_lost(image) or is_lost(other):
        return AS_IT_IS
    last = np.array(shape) - 1
    corners = np.array(list(product(*((0, end) for end in last))), dtype=np.float64)
    image_from_other = np.linalg.solve(image, other)
    found = corners @ image_from_other[:3, :3].T + image_from_other[:3, 3]
    reversed_axes = (image_from_other.diagonal()[:3] < 0) & (last > 0)
    expected = np.where(reversed_axes, last - corners, corners)
    if not np.abs(found - expected).max() <= SAME_VOXEL:
        return None
    across, along, through = reversed_axes.tolist()
    return across, along, through
