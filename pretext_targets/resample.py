"""In-plane resampling of an image to the grid, and the grid's own plane.

Cubic B-spline interpolation is linear and separable: `out = A_rows @ image @ A_columns.T`.
Each matrix holds the prefilter too (Unser 1999), so one image costs two matrix products and
no per-pixel work; matrices are cached by their few numbers. Boundaries are mirrored about the
border pixels' centres, as scipy.ndimage (mode "mirror") and SimpleITK do, and pixels of the grid whose
centre lies outside the image (-0.5 to size - 0.5) are 0.

There is no low-pass filter when the grid is coarser than the image: the papers have none.
The grid plane defines all labels; no image library's affine is ever asked.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomgeom.errors import GeometryError
from dicomgeom.plane import ImagePlane

Floats = NDArray[np.float64]

SUPPORT = 4
"""Samples under a cubic B-spline."""


def grid_plane(plane: ImagePlane, rows: int, columns: int, spacing_mm: float) -> ImagePlane:
    """The grid of an image: same axes, same centre, square pixels.

    Parameters
    ----------
    plane : ImagePlane
        Where the image lies.
    rows, columns : int
        Size of the grid.
    spacing_mm : float
        Distance of neighbouring pixels, along both axes.
    """
    centre_px = np.array([(columns - 1) / 2, (rows - 1) / 2])
    offset_mm = spacing_mm * (plane.right * centre_px[0] + plane.down * centre_px[1])
    return ImagePlane(
        origin_mm=plane.centre_mm - offset_mm,
        right=plane.right,
        down=plane.down,
        column_spacing_mm=spacing_mm,
        row_spacing_mm=spacing_mm,
        columns=columns,
        rows=rows,
        frame_of_reference=plane.frame_of_reference,
    )


def sample_places(size: int, spacing_mm: float, grid_size: int, grid_spacing_mm: float) -> Floats:
    """Where the grid's pixel centres lie on one axis of the image, in its pixels, shape (grid_size,).

    Both have the same centre. Places within 1e-9 px of an integer or of a pixel's edge are
    that exactly, so that rounding never decides what is inside.
    """
    ratio = grid_spacing_mm / spacing_mm
    places = (np.arange(grid_size) - (grid_size - 1) / 2) * ratio + (size - 1) / 2
    halves = np.rint(places * 2) / 2
    return np.asarray(np.where(np.abs(places - halves) < 1e-9, halves, places))


def _mirrored(indices: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    if size == 1:
        return np.zeros_like(indices)
    folded = np.mod(indices, 2 * (size - 1))
    return np.where(folded >= size, 2 * (size - 1) - folded, folded)


def _spline_weights(fraction: Floats) -> Floats:
    """Cubic B-spline at the four samples round a place, shape (n, 4); fraction in [0, 1)."""
    t = fraction[:, None] - np.arange(-1, SUPPORT - 1)
    distance = np.abs(t)
    near = 2 / 3 - distance**2 * (2 - distance) / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.asarray(np.where(distance < 1, near, far))


def _weights_at(places: Floats, size: int) -> Floats:
    """Matrix from B-spline coefficients to values at places, shape (places, size)."""
    first = np.floor(places)
    weights = _spline_weights(places - first)
    matrix = np.zeros((places.size, size))
    for sample in range(SUPPORT):
        column = _mirrored(first.astype(np.int64) - 1 + sample, size)
        np.add.at(matrix, (np.arange(places.size), column), weights[:, sample])
    return matrix


@lru_cache(maxsize=512)
def axis_matrix(size: int, spacing_mm: float, grid_size: int, grid_spacing_mm: float) -> NDArray[np.float32]:
    """Matrix that resamples one axis, shape (grid_size, size), float32, not writable.

    Raises
    ------
    GeometryError
        When the grid and the image do not overlap at any pixel centre.
    """
    places = sample_places(size, spacing_mm, grid_size, grid_spacing_mm)
    inside = (places >= -0.5) & (places < size - 0.5)
    if not inside.any():
        raise GeometryError(
            f"no pixel of the grid ({grid_size} x {grid_spacing_mm:g} mm) lies on the image "
            f"({size} x {spacing_mm:g} mm); choose a finer grid"
        )
    prefilter = np.linalg.inv(_weights_at(np.arange(size, dtype=np.float64), size))
    matrix = np.zeros((grid_size, size))
    matrix[inside] = _weights_at(places[inside], size) @ prefilter
    result = matrix.astype(np.float32)
    result.setflags(write=False)
    return result


def resample(image: ArrayLike, plane: ImagePlane, grid: ImagePlane) -> NDArray[np.float32]:
    """Resample an image to its grid by cubic B-splines.

    Parameters
    ----------
    image : array_like, shape (rows, columns)
        Pixels of `plane`.
    plane : ImagePlane
        Where the image lies.
    grid : ImagePlane
        Made from `plane` by `grid_plane`.

    Returns
    -------
    float32 array, shape (grid.rows, grid.columns)
        0 outside the image.
    """
    pixels = np.asarray(image, dtype=np.float32)
    if pixels.shape != (plane.rows, plane.columns):
        raise GeometryError(f"an image of {plane.rows} x {plane.columns} expected, found {pixels.shape}")
    by_row = axis_matrix(plane.rows, plane.row_spacing_mm, grid.rows, grid.row_spacing_mm)
    by_column = axis_matrix(plane.columns, plane.column_spacing_mm, grid.columns, grid.column_spacing_mm)
    return np.asarray(by_row @ pixels @ by_column.T)


def resample_labels(labels: NDArray[np.uint8], plane: ImagePlane, grid: ImagePlane) -> NDArray[np.uint8]:
    """Resample a label image to the grid: each grid pixel takes the label of the pixel it lies on.

    Parameters
    ----------
    labels : uint8 array, shape (rows, columns)
        Labels on the pixels of `plane`.
    plane, grid : ImagePlane
        As for `resample`.

    Returns
    -------
    uint8 array, shape (grid.rows, grid.columns)
        0 outside the image.
    """
    if labels.shape != (plane.rows, plane.columns):
        raise GeometryError(f"labels of {plane.rows} x {plane.columns} expected, found {labels.shape}")
    rows, row_inside = _nearest(plane.rows, plane.row_spacing_mm, grid.rows, grid.row_spacing_mm)
    columns, column_inside = _nearest(
        plane.columns, plane.column_spacing_mm, grid.columns, grid.column_spacing_mm
    )
    taken = labels[np.ix_(rows, columns)]
    return np.where(row_inside[:, None] & column_inside, taken, 0).astype(np.uint8)


def _nearest(
    size: int, spacing_mm: float, grid_size: int, grid_spacing_mm: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    places = sample_places(size, spacing_mm, grid_size, grid_spacing_mm)
    indices = np.floor(places + 0.5).astype(np.int64)
    return np.clip(indices, 0, size - 1), (places >= -0.5) & (places < size - 0.5)
