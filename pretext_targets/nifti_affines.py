"""What the affines of NIfTI files tell: whether two count the same voxels, and which axis the slices'.

A label map is laid on its image voxel by voxel. Programs that turn a file to their own orientation
(to RAS, say) reverse its axes and its affine together: in the patient nothing has moved, in the
array everything has.

An affine tells no place where it is a placeholder, or where both codes of the header are 0: then it is
made up by the program that reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dicomgeom.heart import ORTHOGONAL
from dicomgeom.plane import ImagePlane

Flips = tuple[bool, bool, bool]
"""Axes (column, row, slice) along which a file counts its voxels the other way round."""

AS_IT_IS: Final[Flips] = (False, False, False)

SAME_VOXEL: Final = 0.5
"""Voxels of two files are the same when their centres lie at most this far apart, in voxels of each axis:
nearer to each other than to any neighbour. Rounded headers stay below it, another spacing doesn't."""


OBLONG: Final = 2.0
"""An axis whose voxels are at least so many times as long as along both others is the slices'; pixels of an
image are not so oblong. Slices of hearts and knees are three to ten pixels apart."""


def has_code(opened: Any) -> bool:
    """Whether a file says what its affine is; without a code it has none but the size of its voxels."""
    return bool(opened.header["sform_code"] or opened.header["qform_code"])


def affine_of(opened: Any) -> NDArray[np.float64]:
    """A file's affine, RAS; NaN where it has none."""
    return np.asarray(opened.affine, dtype=np.float64) if has_code(opened) else np.full((4, 4), np.nan)


def is_placeholder(affine: NDArray[np.float64]) -> bool:
    """Whether an affine is what programs write that know none: voxels of 1 mm from the origin on.

    nibabel's is the identity; SimpleITK's counts the first two axes the other way round.
    """
    return bool(np.allclose(np.abs(affine), np.eye(4)))


def is_lost(affine: NDArray[np.float64]) -> bool:
    """Whether an affine tells nothing: it is a placeholder, or no volume's."""
    return _is_broken(affine) or is_placeholder(affine)


def _is_broken(affine: NDArray[np.float64]) -> bool:
    return not np.isfinite(affine).all() or bool(np.linalg.det(affine) == 0)


def has_slices_last(
    plane: ImagePlane, steps_mm: Sequence[float], slices: int, view: str, *, placed: bool
) -> bool:
    """Whether the third axis of a file may be that of the slices.

    A sagittal, coronal or axial view has a direction: where planes have a place, their normal must be
    nearer to it than their rows and columns are. Other views have none; there, and where nothing is known
    of the place, voxels that are long along a row or a column tell of an axis that was moved.

    Parameters
    ----------
    plane : ImagePlane
        Of the first two axes.
    steps_mm : sequence of float
        From voxel to voxel, along the first three axes or two.
    slices : int
        How many the third axis has.
    view : str
        What the slices should be.
    placed : bool
        Whether the plane is known to lie there.
    """
    if placed and view in ORTHOGONAL:
        normal, right, down = np.abs([plane.normal, plane.right, plane.down] @ ORTHOGONAL[view])
        return bool(normal >= max(right, down))
    if slices == 1:
        return True
    across, along, through = steps_mm[:3]
    return max(across, along) < OBLONG * max(min(across, along), through)


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
        no reversal does it: it lies elsewhere, is larger, is turned. Where an affine is lost the
        voxels are taken for the same then: but a program that turned a file with a placeholder has
        turned that, too.
    """
    if _is_broken(image) or _is_broken(other):
        return AS_IT_IS
    last = np.array(shape) - 1
    corners = np.array(list(product(*((0, end) for end in last))), dtype=np.float64)
    image_from_other = np.linalg.solve(image, other)
    found = corners @ image_from_other[:3, :3].T + image_from_other[:3, 3]
    reversed_axes = (image_from_other.diagonal()[:3] < 0) & (last > 0)
    expected = np.where(reversed_axes, last - corners, corners)
    if not np.abs(found - expected).max() <= SAME_VOXEL:
        return AS_IT_IS if is_placeholder(image) or is_placeholder(other) else None
    across, along, through = reversed_axes.tolist()
    return across, along, through
