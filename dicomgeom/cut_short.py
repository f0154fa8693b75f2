"""Find image files that end too early."""

from __future__ import annotations

import struct
from typing import Final

from dicomgeom.errors import UnusableFile

PIXEL_DATA_TAG: Final = (0x7FE0, 0x0010)
UNDEFINED_LENGTH: Final = 0xFFFFFFFF


def check_pixels(head: bytes, start: int, size_bytes: int, order: str = "<") -> None:
    """Find files cut short: the head of the pixel data promises more bytes than follow.

    Raises
    ------
    UnusableFile
        When no pixel data stands there, or less of it than announced.
    """
    if len(head) < 12 or struct.unpack(order + "HH", head[:4]) != PIXEL_DATA_TAG:
        raise UnusableFile("truncated", "the file ends before its pixel data", readable=False)
    explicit = head[4:6] in (b"OW", b"OB", b"UN")
    (length,) = struct.unpack(order + "I", head[8:12] if explicit else head[4:8])
    end = start + (12 if explicit else 8) + length
    if length != UNDEFINED_LENGTH and end > size_bytes:
        raise UnusableFile(
            "truncated", f"{length} bytes of pixels announced, {end - size_bytes} missing", readable=False
        )
