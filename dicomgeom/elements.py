"""Walk the data elements of a DICOM header without understanding them.

A reader of our own for what nearly every export holds: explicit or implicit little endian
with preamble and file meta. It walks lengths, seeks past large values (in Siemens files Pixel
Spacing stands 120 KB into the file, behind private values) and stops at the pixel data.
Whatever is unusual is not read here but left to pydicom: `walk` then raises `Unusual`.
What it does read it reads exactly as pydicom does; tests compare the two on real, shipped
and mutated files, and a fuzz target looks for more.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO, Final

from dicomgeom.dictionary import is_sequence, tag_of

Fetch = Callable[[int, int], bytes]
"""Bytes of a file: (offset, at most how many) -> fewer only at its end."""

WINDOW_BYTES: Final = 16 << 10
"""Read at once: most headers without large private values are shorter."""

KEPT_BYTES: Final = 512
"""Longer values of elements that nobody asks for are seeked past, not read."""

LARGEST_VALUE_BYTES: Final = 64 << 10
"""Longer values that somebody asks for are left to pydicom."""

LARGEST_PRIVATE_BYTES: Final = 1 << 10
"""Longer private values place the tiles of mosaics; files that need them are left to pydicom."""

MOST_ELEMENTS: Final = 10_000
DEEPEST_NESTING: Final = 8

START_BYTES: Final = 132
MARK: Final = b"DICM"
PIXEL_DATA: Final = 0x7FE00010
TRANSFER_SYNTAX: Final = 0x00020010
CHARACTER_SET: Final = 0x00080005
IMAGE_TYPE: Final = 0x00080008
TILED: Final = (b"MOSAIC", b"VFRAME")
"""Image Type values of images that hold several slices and are placed by private elements."""

_PLAIN_NAME: Final = re.compile(rb"[ -~]*\0*")
_UNDEFINED: Final = 0xFFFFFFFF
_LONG: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_SHORT: Final = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL",
     b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)  # fmt: skip
_KNOWN: Final = _LONG | _SHORT
_IMPLICIT_SYNTAX: Final = "1.2.840.10008.1.2"
_EXPLICIT_SYNTAXES: Final = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_UNSIGNED: Final = struct.Struct("<I").unpack_from
_SHORTS: Final = struct.Struct("<HH").unpack_from
_EXPLICIT: Final = struct.Struct("<HH2sH").unpack_from
_IMPLICIT: Final = struct.Struct("<HHI").unpack_from


class Unusual(Exception):
    """Not for this reader; pydicom may know better."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its bytes from tag to value, of which `skipped` more were not read."""

    tag: int
    raw: bytes
    head_bytes: int
    skipped: int = 0

    @property
    def value(self) -> bytes:
        return self.raw[self.head_bytes :]


@dataclass(slots=True)
class Header:
    """All elements of a file before its pixel data, in the order they stand there."""

    elements: list[Element]
    implicit: bool
    pixels_at: int
    """Offset of the pixel data element's tag."""
    pixels_head: bytes
    """Its first twelve bytes: tag, representation, length."""


@dataclass(frozen=True)
class Wanted:
    """Which tags are asked for.

    Values of `tags` are kept; `sequences` nest data sets and are noticed, not read.
    """

    tags: frozenset[int]
    sequences: frozenset[int]

    @classmethod
    def of(cls, names: Iterable[str | int]) -> Wanted:
        """Tags by keyword or number."""
        tags = frozenset(tag_of(name) if isinstance(name, str) else int(name) for name in names)
        nested = frozenset(tag for tag in tags if is_sequence(tag))
        return cls(tags - nested, nested)


def fetch_from(descriptor: int) -> Fetch:
    """Fetch from an open file, without moving its position."""
    return lambda offset, size: os.pread(descriptor, size, offset)


def fetch_through(file: BinaryIO) -> Fetch:
    """Fetch from anything that can seek and read, such as an archive's member."""

    def fetch(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    return fetch


class Window:
    """The part of a file that was read last."""

    def __init__(self, fetch: Fetch, data: bytes, start: int = 0) -> None:
        self._fetch = fetch
        self.data = data
        self.start = start

    def move(self, position: int, needed: int) -> int:
        """Read again from a position in the window on; returns its new position, 0.

        Raises
        ------
        Unusual
            When the file ends before the bytes that are needed.
        """
        self.start += position
        self.data = self._fetch(self.start, max(needed, WINDOW_BYTES))
        if len(self.data) < needed:
            raise Unusual("the file ends inside its header")
        return 0

    def hold_sequence(self, position: int, implicit: bool) -> tuple[int, int]:
        """Bring a sequence of undefined length into the window; returns its position and its size.

        Its items, too, may be of undefined length, so that it can only be walked.
        """
        needed = WINDOW_BYTES
        while True:
            try:
                tag, kind, head, _ = _element_head(self.data, position, implicit)
                end = _after_sequence(self.data, position + head, tag, kind, implicit, depth=0)
                return position, end - position
            except (struct.error, IndexError):  # it goes on beyond the window
                if needed > LARGEST_VALUE_BYTES:
                    raise Unusual("a very long sequence") from None
                needed *= 2
                self.start += position
                self.data, position = self._fetch(self.start, needed), 0


def walk(fetch: Fetch, wanted: Wanted, data: bytes | None = None) -> Header:
    """Read the elements of a file up to its pixel data.

    Parameters
    ----------
    fetch
        Gives the bytes of the file.
    wanted
        What to keep the values of.
    data
        The first bytes of the file, where they have been fetched already.

    Raises
    ------
    Unusual
        For every file that pydicom should read instead.
    """
    window = Window(fetch, fetch(0, WINDOW_BYTES) if data is None else data)
    if window.data[128:START_BYTES] != MARK:
        raise Unusual("no preamble")
    elements = [Element(0, window.data[:START_BYTES], 0)]
    position = _walk_meta(window, elements)
    implicit = _is_implicit(elements)
    _check_first(window, position, implicit)
    position = _walk_dataset(window, position, implicit, wanted, elements)
    if len(window.data) < position + 12:
        position = window.move(position, 12)
    return Header(elements, implicit, window.start + position, window.data[position : position + 12])


def _walk_meta(window: Window, elements: list[Element]) -> int:
    position = START_BYTES
    while True:
        if len(window.data) < position + 12:
            position = window.move(position, 12)
        group, element, kind, length = _EXPLICIT(window.data, position)
        if group != 2:
            return position
        head = 8
        if kind in _LONG:
            head, length = 12, _UNSIGNED(window.data, position + 8)[0]
        elif kind not in _SHORT:
            raise Unusual("file meta of unknown form")
        if length > KEPT_BYTES or len(elements) > 100:
            raise Unusual("file meta of unusual size")
        if len(window.data) < position + head + length:
            position = window.move(position, head + length)
        end = position + head + length
        elements.append(Element(group << 16 | element, window.data[position:end], head))
        position = end


def _is_implicit(elements: list[Element]) -> bool:
    syntaxes = [element.value for element in elements if element.tag == TRANSFER_SYNTAX]
    if len(syntaxes) != 1:
        raise Unusual("no transfer syntax, or several")
    syntax = syntaxes[0].rstrip(b"\0 ").decode("latin-1")
    if syntax == _IMPLICIT_SYNTAX:
        return True
    if not syntax.startswith(_EXPLICIT_SYNTAXES) or syntax.startswith("1.2.840.10008.1.2.1."):
        raise Unusual("a transfer syntax for pydicom")
    return False


def _check_first(window: Window, position: int, implicit: bool) -> None:
    """Leave files whose first element contradicts their transfer syntax to pydicom."""
    group, _, kind, _ = _EXPLICIT(window.data, position)
    seems_explicit = all(0x40 < letter < 0x5B for letter in kind)
    if group != 8 or seems_explicit == implicit:
        raise Unusual("the first element contradicts the transfer syntax")


def _walk_dataset(
    window: Window, position: int, implicit: bool, wanted: Wanted, elements: list[Element]
) -> int:
    """Append all elements up to the pixel data; returns the position of its tag in the window."""
    while True:
        if len(window.data) < position + 12:
            position = window.move(position, 12)
        tag, kind, head, length = _element_head(window.data, position, implicit)
        if tag >= 0x7FE00000 or tag < 0x00080000 or len(elements) > MOST_ELEMENTS:
            if tag == PIXEL_DATA:
                return position
            raise Unusual("an element that no image header holds")
        if length == _UNDEFINED:
            if tag in wanted.tags:
                raise Unusual("a nested data set that is asked for")
            position, size = window.hold_sequence(position, implicit)
            elements.append(Element(tag, window.data[position : position + size], head))
            position += size
            continue
        asked = tag in wanted.tags
        if asked and not _is_kept(tag, kind, length, wanted):
            asked = False
        kept = length if asked or length <= KEPT_BYTES else 0
        if len(window.data) < position + head + kept:
            position = window.move(position, head + kept)
        raw = window.data[position : position + head + kept]
        elements.append(Element(tag, raw, head, length - kept))
        if tag == IMAGE_TYPE and any(word in raw for word in TILED):
            raise Unusual("tiles of several slices")
        if tag == CHARACTER_SET:
            _check_name(raw[head:])
        position += head + length
        if position > len(window.data):
            position = window.move(position, 0)


def _check_name(value: bytes) -> None:
    if not _PLAIN_NAME.fullmatch(value):
        raise Unusual("a character set of no known name")


def _element_head(data: bytes, position: int, implicit: bool) -> tuple[int, bytes, int, int]:
    """Tag, representation, bytes before the value, and length of the value."""
    if implicit or data[position : position + 2] == b"\xfe\xff":  # delimiters have no representation
        group, element, length = _IMPLICIT(data, position)
        return group << 16 | element, b"", 8, length
    group, element, kind, length = _EXPLICIT(data, position)
    if kind in _SHORT:
        return group << 16 | element, kind, 8, length
    if kind in _LONG:
        return group << 16 | element, kind, 12, _UNSIGNED(data, position + 8)[0]
    raise Unusual("a representation that the standard does not know")


def _is_kept(tag: int, kind: bytes, length: int, wanted: Wanted) -> bool:
    """Whether the value of an element that is asked for is read here."""
    if kind == b"SQ":
        raise Unusual("a nested data set that is asked for")
    if tag >> 16 & 1 and length > LARGEST_PRIVATE_BYTES:
        return False
    if length > LARGEST_VALUE_BYTES:
        raise Unusual("a very long value that is asked for")
    return True


def _after_sequence(data: bytes, position: int, tag: int, kind: bytes, implicit: bool, depth: int) -> int:
    """Position after a sequence of undefined length whose first item stands here."""
    if depth > DEEPEST_NESTING or not _is_sequence(tag, kind, implicit):
        raise Unusual("nested too deep, or of undefined length and no sequence")
    while True:
        group, element, length = _IMPLICIT(data, position)
        found = group << 16 | element
        position += 8
        if found == _SEQUENCE_END and not length:
            return position
        if found != _ITEM:
            raise Unusual("something else where an item is due")
        position = _after_item(data, position, length, implicit, depth)


def _is_sequence(tag: int, kind: bytes, implicit: bool) -> bool:
    if not implicit:
        return kind == b"SQ"
    return bool(tag >> 16 & 1) or is_sequence(tag)


def _after_item(data: bytes, position: int, length: int, implicit: bool, depth: int) -> int:
    """Position after an item, of known or undefined length, whose first element stands here."""
    end = None if length == _UNDEFINED else position + length
    while end is None or position < end:
        tag, kind, head, length = _element_head(data, position, implicit)
        if tag == _ITEM_END and end is None and not length:
            return position + 8
        if tag >= 0x7FE00000:
            raise Unusual("a delimiter or pixels in the wrong place")
        position += head
        if length == _UNDEFINED:
            position = _after_sequence(data, position, tag, kind, implicit, depth + 1)
        else:
            if tag == CHARACTER_SET:
                _check_name(data[position : position + length])
            position += length
        if position > len(data):
            raise IndexError
    if position > end:
        raise Unusual("an element that is longer than its item")
    return position
