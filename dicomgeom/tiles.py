"""Several slices side by side in one stored image: Siemens mosaics and UIH grids.

Tiles fill a grid row by row; the last places may stay empty. A tile counts as a frame of its
file, from 0, although the file says that it has one frame only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomgeom.attributes import Attributes, Given
from dicomgeom.errors import GeometryError, UnusableFile
from dicomgeom.plane import Floats, orthonormal_axes


@dataclass(frozen=True)
class Tiling:
    """`count` tiles of `columns` x `rows` pixels each, `across` of them side by side."""

    count: int
    across: int
    columns: int
    rows: int

    def cut(self, image: NDArray[Any], tile: int) -> NDArray[Any]:
        """One tile, from 0, of an array of shape (rows of all, columns of all)."""
        top, left = tile // self.across * self.rows, tile % self.across * self.columns
        return image[top : top + self.rows, left : left + self.columns]


@dataclass(frozen=True)
class Matrix:
    """The whole stored image: size, spacings and unit vectors that its tiles share."""

    columns: int
    rows: int
    column_spacing_mm: float
    row_spacing_mm: float
    right: Floats
    down: Floats

    @property
    def normal(self) -> Floats:
        return np.cross(self.right, self.down)

    def step_mm(self, columns: float, rows: float) -> Floats:
        """From a pixel to the one that many columns and rows further, shape (3,)."""
        return self.right * (self.column_spacing_mm * columns) + self.down * (self.row_spacing_mm * rows)


@dataclass(frozen=True)
class TiledImage:
    """A tiling and the centre of pixel (0, 0) of each tile, shape (count, 3), mm LPS."""

    tiling: Tiling
    origins_mm: Floats
    stated: Sequence[Attributes]
    """What the file says of each tile beside its place."""

    def tile(self, number: int) -> Attributes:
        """One tile as if it were an image of its own."""
        place = Given(
            {
                "Rows": self.tiling.rows,
                "Columns": self.tiling.columns,
                "ImagePositionPatient": self.origins_mm[number].tolist(),
            }
        )
        return self.stated[number].before(place)


def tiling_of(matrix: Matrix, count: int, *, square: bool, word: str) -> Tiling:
    """Cut a matrix into the smallest grid that holds all tiles.

    Parameters
    ----------
    square
        Siemens leaves whole rows of tiles empty to keep the grid as high as it is wide;
        UIH does not.
    word
        The reason to refuse with.

    Raises
    ------
    UnusableFile
        When the matrix does not divide evenly: then the tiles are not where they seem.
    """
    across = math.isqrt(max(count, 1) - 1) + 1
    high = across if square else -(-count // across)
    if count < 1 or matrix.columns % across or matrix.rows % high:
        raise UnusableFile(word, f"{count} tiles do not fit {matrix.columns} x {matrix.rows} pixels")
    return Tiling(count, across, matrix.columns // across, matrix.rows // high)


def matrix_of(top: Attributes, word: str) -> Matrix:
    """Read what the tiles share.

    Raises
    ------
    UnusableFile
        When orientation, spacing or size are missing or make no sense.
    """
    orientation, spacing = top.numbers("ImageOrientationPatient"), top.numbers("PixelSpacing")
    columns, rows = top.integer("Columns") or 0, top.integer("Rows") or 0
    if len(orientation) != 6 or len(spacing) != 2 or min(spacing) <= 0 or min(columns, rows) < 1:
        raise UnusableFile(word, "orientation, spacing or size of the whole image are missing")
    try:
        right, down, _ = orthonormal_axes(orientation[:3], orientation[3:])
    except GeometryError as error:
        raise UnusableFile("bad-geometry", str(error)) from error
    row_spacing_mm, column_spacing_mm = spacing
    return Matrix(columns, rows, column_spacing_mm, row_spacing_mm, right, down)
