"""In-plane resampling of an image to the grid, and the grid's own plane.

Cubic B-spline interpolation is linear and separable: `out = A_rows @ image @ A_columns.T`.
Each matrix holds the prefilter too (Unser 1999), so one image costs two matrix products and
no per-pixel work. A weight fades to a quarter with every pixel of distance, so the matrices
are bands: they are cut into blocks of a few rows, of which only the columns that matter are
multiplied (a quarter of the work). Blocks are cached by their few numbers. Boundaries are mirrored about the
border pixels' centres, as scipy.ndimage (mode "mirror") and SimpleITK do, and pixels of the grid whose
centre lies outside the image (-0.5 to size - 0.5) are 0.

There is no low-pass filter when the grid is coarser than the image: the papers have none.
The grid plane defines all labels; no image library's affine is ever asked.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomgeom.errors import GeometryError
from dicomgeom.plane import ImagePlane

Floats = NDArray[np.float64]


class GridMissesImage(GeometryError):
    """No pixel of a grid lies on its image: the grid is far too coarse."""


SUPPORT = 4
"""Samples under a cubic B-spline."""

BLOCK = 32
"""Rows of a matrix that are multiplied together: measured fastest between 16 and 112."""

NEGLIGIBLE = 1e-9
"""Weights below this are left out: together less than float32 can hold of an image's range."""


def grid_plane(
    plane: ImagePlane, rows: int, columns: int, spacing_mm: float, *, centre_mm: Floats | None = None
) -> ImagePlane:
    """The grid of an image: same axes, square pixels, the image's centre or another one.

    Parameters
    ----------
    plane : ImagePlane
        Where the image lies.
    rows, columns : int
        Size of the grid.
    spacing_mm : float
        Distance of neighbouring pixels, along both axes.
    centre_mm : array, shape (3,), optional
        A point, LPS: its foot on the plane becomes the grid's centre. Default: the image's centre.
    """
    centre_px = np.array([(columns - 1) / 2, (rows - 1) / 2])
    offset_mm = spacing_mm * (plane.right * centre_px[0] + plane.down * centre_px[1])
    middle_mm = plane.centre_mm if centre_mm is None else plane.to_patient(plane.to_pixel(centre_mm))
    return ImagePlane(
        origin_mm=middle_mm - offset_mm,
        right=plane.right,
        down=plane.down,
        column_spacing_mm=spacing_mm,
        row_spacing_mm=spacing_mm,
        columns=columns,
        rows=rows,
        frame_of_reference=plane.frame_of_reference,
    )


class Axis(NamedTuple):
    """One axis of an image and of its grid."""

    size: int
    spacing_mm: float
    grid_size: int
    grid_spacing_mm: float
    shift_px: float = 0.0
    """From the image's centre to the grid's, in pixels of the image."""


@lru_cache(maxsize=1024)
def axes_of(plane: ImagePlane, grid: ImagePlane) -> tuple[Axis, Axis]:
    """The axes along columns (down) and rows (right) of an image and its grid: by row, by column.

    Remembered for the planes themselves: the phases of a slice share them.
    """
    shift = plane.to_pixel(grid.centre_mm) - np.array([(plane.columns - 1) / 2, (plane.rows - 1) / 2])
    # Rounded, so that the many images of one geometry share their matrices.
    right, down = (float(np.round(one, 9)) + 0.0 for one in shift)
    return (
        Axis(plane.rows, plane.row_spacing_mm, grid.rows, grid.row_spacing_mm, down),
        Axis(plane.columns, plane.column_spacing_mm, grid.columns, grid.column_spacing_mm, right),
    )


def sample_places(axis: Axis) -> Floats:
    """Where the grid's pixel centres lie on one axis of the image, in its pixels, shape (grid_size,).

    Places within 1e-9 px of an integer or of a pixel's edge are
    that exactly, so that rounding never decides what is inside.
    """
    ratio = axis.grid_spacing_mm / axis.spacing_mm
    places = (np.arange(axis.grid_size) - (axis.grid_size - 1) / 2) * ratio + (axis.size - 1) / 2
    places += axis.shift_px
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


@lru_cache(maxsize=64)
def _prefilter(size: int) -> Floats:
    """Matrix from pixels to B-spline coefficients, shape (size, size)."""
    return np.asarray(np.linalg.inv(_weights_at(np.arange(size, dtype=np.float64), size)))


@lru_cache(maxsize=512)
def axis_matrix(axis: Axis) -> NDArray[np.float32]:
    """Matrix that resamples one axis, shape (grid_size, size), float32, not writable.

    Raises
    ------
    GridMissesImage
        When the grid and the image do not overlap at any pixel centre.
    """
    places = sample_places(axis)
    inside = (places >= -0.5) & (places < axis.size - 0.5)
    if not inside.any():
        raise GridMissesImage(
            f"no pixel of the grid ({axis.grid_size} x {axis.grid_spacing_mm:g} mm) lies on the image "
            f"({axis.size} x {axis.spacing_mm:g} mm); choose a finer grid"
        )
    matrix = np.zeros((axis.grid_size, axis.size))
    matrix[inside] = _weights_at(places[inside], axis.size) @ _prefilter(axis.size)
    result = matrix.astype(np.float32)
    result.setflags(write=False)
    return result


class Block(NamedTuple):
    """Some rows of an axis matrix, and the columns on which they are not negligible."""

    start: int
    stop: int
    first: int
    last: int
    """One past the last column."""
    weights: NDArray[np.float32]
    """Shape (stop - start, last - first)."""


@lru_cache(maxsize=512)
def axis_blocks(axis: Axis, *, transposed: bool = False) -> tuple[Block, ...]:
    """`axis_matrix` as blocks; rows that are all 0 are in none. `transposed`: weights of shape (in, out)."""
    matrix = axis_matrix(axis)
    blocks = []
    for start in range(0, axis.grid_size, BLOCK):
        part = matrix[start : start + BLOCK]
        used = np.flatnonzero((np.abs(part) > NEGLIGIBLE).any(axis=0))
        if used.size:
            first, last = int(used[0]), int(used[-1]) + 1
            weights = part[:, first:last].T if transposed else part[:, first:last]
            weights = np.ascontiguousarray(weights)
            weights.setflags(write=False)
            blocks.append(Block(start, start + len(part), first, last, weights))
    return tuple(blocks)


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
    down, right = axes_of(plane, grid)
    by_row, by_column = axis_blocks(down), axis_blocks(right, transposed=True)
    first = min(block.first for block in by_column)
    last = max(block.last for block in by_column)
    half = np.zeros((grid.rows, plane.columns), dtype=np.float32)
    for block in by_row:
        rows = slice(block.start, block.stop)
        np.matmul(block.weights, pixels[block.first : block.last, first:last], out=half[rows, first:last])
    result = np.zeros((grid.rows, grid.columns), dtype=np.float32)
    for block in by_column:
        columns = slice(block.start, block.stop)
        np.matmul(half[:, block.first : block.last], block.weights, out=result[:, columns])
    return result


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
    (rows, row_inside), (columns, column_inside) = map(_nearest, axes_of(plane, grid))
    taken = labels[np.ix_(rows, columns)]
    return np.where(row_inside[:, None] & column_inside, taken, 0).astype(np.uint8)


def _nearest(axis: Axis) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The pixel on which each of the grid lies, and whether it lies on one."""
    places = sample_places(axis)
    indices = np.floor(places + 0.5).astype(np.int64)
    return np.clip(indices, 0, axis.size - 1), (places >= -0.5) & (places < axis.size - 0.5)
