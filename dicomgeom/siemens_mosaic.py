"""Siemens mosaics: slices of one volume as tiles of one image, placed by the CSA header.

The position that the file states is that of an image as large as the whole mosaic, centred
where the first slice is centred: the first tile starts half the surplus further in. From tile
to tile the slices follow the CSA header's slice normal, which alone tells up from down.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from dicomgeom.attributes import Attributes, private_tags
from dicomgeom.errors import UnusableFile
from dicomgeom.plane import Floats
from dicomgeom.tiles import Matrix, TiledImage, matrix_of, tiling_of

CREATOR: Final = "SIEMENS CSA HEADER"
GROUP: Final = 0x0029
IMAGE_HEADER: Final = 0x10
TAGS: Final = tuple(private_tags(GROUP, IMAGE_HEADER))
"""Elements that a reader has to fetch for a mosaic, and only for a mosaic: they are large."""

REASON: Final = "siemens-mosaic"

NORMAL_TOLERANCE: Final = 1e-3
"""How far the cosine between the CSA normal and the image's own may be from 1 or -1 (2.6 degrees)."""

MARK: Final = b"SV10"

LARGEST_ELEMENTS: Final = 4096
"""A CSA header that announces more elements is damaged; real ones hold about a hundred."""


def tiles_of_mosaic(top: Attributes) -> TiledImage:
    """Place every tile of a mosaic.

    Raises
    ------
    UnusableFile
        `siemens-mosaic` when the CSA header is gone (as after de-identification) or does
        not fit the image: no position is guessed.
    """
    csa = csa_header(top.private_bytes(CREATOR, GROUP, IMAGE_HEADER))
    if not csa:
        raise UnusableFile(REASON, "the CSA header (0029,xx10) that places the tiles is missing or damaged")
    matrix = matrix_of(top, REASON)
    counts = _numbers(csa, "NumberOfImagesInMosaic")
    tiling = tiling_of(matrix, int(counts[0]) if counts else 0, square=True, word=REASON)
    corner = top.numbers("ImagePositionPatient")
    if len(corner) != 3:
        raise UnusableFile("no-position", "missing or unreadable: Image Position (Patient)")
    surplus = matrix.step_mm((matrix.columns - tiling.columns) / 2, (matrix.rows - tiling.rows) / 2)
    first = np.array(corner) + surplus
    step = _slice_step_mm(top, csa, matrix, tiling.count)
    origins = first + np.arange(tiling.count)[:, None] * step
    return TiledImage(tiling, origins, [top] * tiling.count)


def _slice_step_mm(top: Attributes, csa: dict[str, list[str]], matrix: Matrix, count: int) -> Floats:
    """From one slice to the next: the image's normal, in the direction of the CSA header's."""
    normal = _numbers(csa, "SliceNormalVector")
    along = float(np.dot(normal, matrix.normal)) if len(normal) == 3 else 0.0
    if abs(abs(along) - 1) > NORMAL_TOLERANCE:
        raise UnusableFile(REASON, "the CSA header's slice normal is missing or not that of the image")
    spacing_mm = abs(top.number("SpacingBetweenSlices") or 0.0)
    if not spacing_mm and count > 1:
        raise UnusableFile(REASON, "Spacing Between Slices is missing")
    return np.asarray(matrix.normal * (np.sign(along) * spacing_mm))


def _numbers(csa: dict[str, list[str]], name: str) -> list[float]:
    try:
        return [float(text) for text in csa.get(name, [])]
    except ValueError:
        return []


def csa_header(raw: bytes) -> dict[str, list[str]]:
    """Names and values of a CSA header; empty when the bytes are none.

    After the mark and a count of elements, each element has a name of 64 bytes, VM, VR, type
    and a count of items; each item four lengths, the second of which counts, then its text
    padded to four bytes. Headers without the mark (software before 2005 or so) are not
    believed: their lengths are counted in another way.
    """
    if not raw.startswith(MARK):
        return {}
    found: dict[str, list[str]] = {}
    try:
        (elements,) = struct.unpack_from("<I", raw, 8)
        position = 16
        for _ in range(min(elements, LARGEST_ELEMENTS)):
            _, _, _, items, _ = struct.unpack_from("<i4s3i", raw, position + 64)
            name = _text(raw[position : position + 64])
            found[name], position = _items(raw, position + 84, items)
    except struct.error:
        return {}
    return found


def _items(raw: bytes, position: int, count: int) -> tuple[list[str], int]:
    """Texts of the items of one element, and where the next element starts."""
    values = []
    for _ in range(count):
        _, length, _, _ = struct.unpack_from("<4i", raw, position)
        if not 0 <= length <= len(raw) - position - 16:
            raise struct.error("an item runs over the end")
        values.append(_text(raw[position + 16 : position + 16 + length]))
        position += 16 + (length + 3) // 4 * 4
    return [value for value in values if value], position


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("latin-1").strip()
