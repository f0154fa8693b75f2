"""UIH grids: slices of one volume as tiles of one image without a position of its own.

A private sequence holds one item for each tile, with its position, its centre and its time.
The centre proves that the tiles have the size that they seem to have.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dicomgeom.attributes import Attributes, private_tags
from dicomgeom.errors import UnusableFile
from dicomgeom.plane import Floats
from dicomgeom.tiles import Matrix, TiledImage, Tiling, matrix_of, tiling_of

CREATOR: Final = "Image Private Header"
GROUP: Final = 0x0065
TILE_COUNT: Final = 0x50
TILE_SEQUENCE: Final = 0x51
TILE_CENTRE: Final = 0x15
TAGS: Final = tuple(private_tags(GROUP, TILE_COUNT, TILE_SEQUENCE))
"""Elements that a reader has to fetch for a grid."""

REASON: Final = "uih-grid"

CENTRE_TOLERANCE_PX: Final = 0.6
"""How far a stated centre may lie from that of its tile: half a pixel is a matter of convention."""


def tiles_of_grid(top: Attributes) -> TiledImage:
    """Place every tile of a grid.

    Raises
    ------
    UnusableFile
        `uih-grid` when the private sequence is gone or contradicts the image: no position
        is guessed.
    """
    items = top.private_items(CREATOR, GROUP, TILE_SEQUENCE)
    stated = top.private_numbers(CREATOR, GROUP, TILE_COUNT)
    if not items:
        raise UnusableFile(REASON, "the private sequence (0065,xx51) that places the tiles is missing")
    if stated and int(stated[0]) != len(items):
        raise UnusableFile(REASON, f"{int(stated[0])} tiles stated, positions for {len(items)}")
    matrix = matrix_of(top, REASON)
    tiling = tiling_of(matrix, len(items), square=False, word=REASON)
    positions = [Attributes(item).numbers("ImagePositionPatient") for item in items]
    if any(len(position) != 3 for position in positions):
        raise UnusableFile(REASON, "the position of a tile is missing or unreadable")
    origins = np.array(positions)
    for item, origin in zip(items, origins, strict=True):
        _check_centre(top.before(item), origin, matrix, tiling)
    return TiledImage(tiling, origins, [top.before(item) for item in items])


def _check_centre(tile: Attributes, origin: Floats, matrix: Matrix, tiling: Tiling) -> None:
    centre = tile.private_numbers(CREATOR, GROUP, TILE_CENTRE)
    if len(centre) != 3:
        return
    expected = origin + matrix.step_mm(tiling.columns / 2, tiling.rows / 2)
    tolerance_mm = CENTRE_TOLERANCE_PX * float(np.hypot(matrix.column_spacing_mm, matrix.row_spacing_mm))
    if np.linalg.norm(expected - np.array(centre)) > tolerance_mm:
        raise UnusableFile(REASON, "the stated centre of a tile is not that of a tile of this size")
