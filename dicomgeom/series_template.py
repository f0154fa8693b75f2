"""Read headers of one series after another without parsing what they share.

Images of a series differ in a handful of elements: UIDs, times, position, window. A template
learns from the first files which ones, and holds all bytes between them. Where a file has the
very same bytes at the same places, walking it would give the same elements, so comparing
them (one `startswith` for dozens of elements) proves what the walk would find. Every other
file is walked element by element (`elements.py`) and starts a new template.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from dicomgeom.elements import (
    CHARACTER_SET,
    IMAGE_TYPE,
    LARGEST_PRIVATE_BYTES,
    LARGEST_VALUE_BYTES,
    TILED,
    TRANSFER_SYNTAX,
    WINDOW_BYTES,
    Element,
    Fetch,
    Header,
    Unusual,
    Wanted,
    Window,
    walk,
)

MOST_TEMPLATES: Final = 512
"""Templates kept at once; beyond it all are forgotten, which costs one walk a series."""

MOST_LESSONS: Final = 24
"""Elements learned to differ from one file; with more it is no image of the same kind."""

MOST_RESTLESS: Final = 64
"""Elements that new templates expect to differ, learned from all series of the process before."""

_restless: set[int] = set()
_SERIES_HEAD: Final = b"\x20\x00\x0e\x00"
_UNDEFINED: Final = 0xFFFFFFFF
_NOTHING, _SHORT, _LONG, _IMPLICIT = range(4)


class RawElement(NamedTuple):
    """An element as it stands in the file, with the names that pydicom gives to its own raw elements."""

    tag: int
    VR: str | None
    value: bytes
    is_implicit_VR: bool  # noqa: N815  pydicom's name
    is_little_endian: bool = True


class Values(NamedTuple):
    """What was read of a file: its template, and the values of the elements in which images differ."""

    template: SeriesTemplate
    values: list[bytes]
    pixels_at: int
    pixels_head: bytes

    def get_item(self, tag: int, /) -> Any:
        """Raw element, as pydicom's data set gives it; None when absent."""
        return self.template.element(tag, self.values)


class _Step(NamedTuple):
    """One element that differs, and the bytes after it that do not."""

    kind: int
    head: bytes
    head_bytes: int
    limit: int
    """Longest value that is kept; -1: the value is not asked for."""
    block: bytes
    block_bytes: int
    skipped: int
    elements: tuple[Element, ...]


class _Mismatch(Exception):
    """A file that does not fit; `tag` differs in its value or length alone, or None."""

    def __init__(self, tag: int | None = None) -> None:
        self.tag = tag


class SeriesTemplate:
    """What the images of a series have in common, byte for byte."""

    def __init__(self, header: Header, wanted: Wanted, restless: set[int]) -> None:
        self._header = header
        self._wanted = wanted
        self._values = {e.tag: _raw_element(e, header.implicit) for e in header.elements if _kept(e, wanted)}
        fixed = {e.tag for e in header.elements if _is_fixed(e, wanted)}
        self._fixed = {TRANSFER_SYNTAX, CHARACTER_SET, 0} | fixed
        self.restless = restless - self._fixed
        self.nests = any(element.tag in wanted.sequences for element in header.elements)
        """Whether it holds a nested data set that is asked for."""
        self.known: dict[Any, Any] = {}
        """What the reader of fields remembers of this template; emptied when a lesson is learned."""
        self._lay_out()

    def _lay_out(self) -> None:
        """Cut the header into steps."""
        self.known.clear()
        self.asked: list[int] = []
        self._steps: list[_Step] = []
        leading: Element | None = None
        block: list[Element] = []
        for element in self._header.elements:
            if element.tag in self.restless:
                self._close(leading, block)
                leading, block = element, []
                if element.tag in self._values:
                    self.asked.append(element.tag)
            else:
                block.append(element)
                if element.skipped:
                    self._close(leading, block)
                    leading, block = None, []
        self._close(leading, block)
        self._place = {tag: number for number, tag in enumerate(self.asked)}
        self._type_at = self._place.get(IMAGE_TYPE)

    def _close(self, leading: Element | None, block: list[Element]) -> None:
        kind, head, head_bytes, limit = _NOTHING, b"", 0, -1
        if leading is not None:
            head_bytes = leading.head_bytes
            kind = _kind_of(leading, self._header.implicit)
            head = leading.raw[: _name_bytes(leading, self._header.implicit)]
            if leading.tag in self._values:
                limit = LARGEST_PRIVATE_BYTES if leading.tag >> 16 & 1 else LARGEST_VALUE_BYTES
        joined = b"".join(element.raw for element in block)
        skipped = block[-1].skipped if block else 0
        self._steps.append(_Step(kind, head, head_bytes, limit, joined, len(joined), skipped, tuple(block)))

    def element(self, tag: int, values: list[bytes]) -> Any:
        """Raw element of a file whose differing values are given; None when absent."""
        element = self._values.get(tag)
        place = self._place.get(tag)
        if element is None or place is None:
            return element
        value = values[place]
        return RawElement(element.tag, element.VR, value, element.is_implicit_VR)

    def learn(self, tag: int) -> None:
        """From now on expect this element to differ."""
        self.restless.add(tag)
        self._lay_out()

    def match(self, fetch: Fetch, data: bytes) -> Values:  # noqa: C901  the one hot loop of the scan
        """Read a file that has the same elements.

        Raises
        ------
        _Mismatch
            When it has not, or when an element differs that was not known to.
        """
        values: list[bytes] = []
        start = position = 0
        for step in self._steps:
            kind, head, head_bytes, limit, block, block_bytes, skipped, _ = step
            if kind:
                if position + 12 > len(data):
                    start, data, position = start + position, fetch(start + position, WINDOW_BYTES), 0
                if not data.startswith(head, position) or len(data) < position + 12:
                    raise _Mismatch
                if kind == _SHORT:
                    length = data[position + 6] | data[position + 7] << 8
                else:
                    at = position + (8 if kind == _LONG else 4)
                    length = int.from_bytes(data[at : at + 4], "little")
                    if length == _UNDEFINED:
                        if limit >= 0:
                            raise _Mismatch
                        start, data, position = self._past_sequence(fetch, start, data, position)
                        length = -head_bytes
                end = position + head_bytes + length
                if limit >= 0:
                    if length > limit:
                        raise _Mismatch
                    if end > len(data):
                        start, data = start + position, fetch(start + position, length + WINDOW_BYTES)
                        position, end = 0, head_bytes + length
                        if end > len(data):
                            raise _Mismatch
                    values.append(data[position + head_bytes : end])
                position = end
            if not data.startswith(block, position):
                if position + block_bytes <= len(data):
                    raise _Mismatch(self._differing(step, data, position))
                start, position = start + position, 0
                data = fetch(start, block_bytes + WINDOW_BYTES)
                if not data.startswith(block):
                    raise _Mismatch(self._differing(step, data, 0))
            position += block_bytes + skipped
        pixels = data[position : position + 12]
        if len(pixels) < 12:
            pixels = fetch(start + position, 12)
        if pixels[:4] != self._header.pixels_head[:4] or len(pixels) < 12:
            raise _Mismatch
        if self._type_at is not None and any(word in values[self._type_at] for word in TILED):
            raise _Mismatch
        return Values(self, values, start + position, pixels)

    def _differing(self, step: _Step, data: bytes, position: int) -> int | None:
        """Tag of the first element of a block that differs, if it does in its length and value alone."""
        for element in step.elements:
            if not data.startswith(element.raw, position):
                name = element.raw[: _name_bytes(element, self._header.implicit)]
                return element.tag if data.startswith(name, position) else None
            position += len(element.raw)
        return None

    def _past_sequence(self, fetch: Fetch, start: int, data: bytes, position: int) -> tuple[int, bytes, int]:
        """Walk a sequence of undefined length that differs from image to image."""
        window = Window(fetch, data, start)
        try:
            begin, size = window.hold_sequence(position, self._header.implicit)
        except Unusual:
            raise _Mismatch from None
        return window.start, window.data, begin + size

    def may_learn(self, tag: int | None) -> bool:
        return tag is not None and tag not in self._fixed and tag not in self.restless

    def of_first(self) -> Values:
        """What was read of the file the template was made of."""
        values = [self._values[tag].value for tag in self.asked]
        return Values(self, values, self._header.pixels_at, self._header.pixels_head)


def _name_bytes(element: Element, implicit: bool) -> int:
    """How many bytes name an element: tag and, where it is written, representation."""
    return 4 if implicit and element.tag >> 16 != 2 else 6


def _kind_of(element: Element, implicit: bool) -> int:
    if _name_bytes(element, implicit) == 4:
        return _IMPLICIT
    return _LONG if element.head_bytes == 12 else _SHORT


def _kept(element: Element, wanted: Wanted) -> bool:
    return (element.tag in wanted.tags or element.tag == TRANSFER_SYNTAX) and not element.skipped


def _is_fixed(element: Element, wanted: Wanted) -> bool:
    """Elements whose change makes another kind of file: those must be walked again."""
    return element.tag in wanted.tags and element.skipped > 0


def _raw_element(element: Element, implicit: bool) -> RawElement:
    explicit = not implicit or element.tag >> 16 == 2
    representation = element.raw[4:6].decode("ascii") if explicit else None
    return RawElement(element.tag, representation, element.value, not explicit)


def _series_hint(data: bytes) -> bytes:
    """What looks like the Series Instance UID; wrong, it costs time but never truth."""
    at = data.find(_SERIES_HEAD)
    if at < 0 or at + 8 > len(data):
        return b""
    length = data[at + 6] if data[at + 4 : at + 6] == b"UI" else data[at + 4]
    return data[at : at + 8 + length]


class HeaderReader:
    """Reads the headers of files one after the other; keeps a template for each series."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._templates: dict[bytes, SeriesTemplate] = {}

    def read(self, fetch: Fetch) -> Values:
        """Read one file.

        Raises
        ------
        Unusual
            For every file that pydicom should read instead.
        """
        data = fetch(0, WINDOW_BYTES)
        hint = _series_hint(data)
        template = self._templates.get(hint)
        if template is not None:
            found = self._matched(template, fetch, data)
            if found is not None:
                return found
        template = SeriesTemplate(walk(fetch, self._wanted, data), self._wanted, _restless)
        if len(self._templates) >= MOST_TEMPLATES:
            self._templates.clear()
        self._templates[hint] = template
        return template.of_first()

    def _matched(self, template: SeriesTemplate, fetch: Fetch, data: bytes) -> Values | None:
        for _ in range(MOST_LESSONS):
            try:
                return template.match(fetch, data)
            except _Mismatch as mismatch:
                tag = mismatch.tag
            if tag is None or not template.may_learn(tag):
                return None
            if len(_restless) >= MOST_RESTLESS:
                _restless.clear()
            _restless.add(tag)
            template.learn(tag)
        return None


__all__ = ["HeaderReader", "SeriesTemplate", "Unusual", "Values"]
