"""Lenient reading of single attributes: what cannot be understood is absent, nothing raises.

Numbers and text are taken from the raw bytes, because exports hold decimal commas, over-long
decimal strings, stray blanks and wrong character sets that a strict reader refuses.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator, Mapping, MutableSequence, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from dicomgeom.dictionary import codec_of, private_representation_of, representation_of, tag_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LARGEST_INTEGER: Final = 2**62
"""An integer attribute beyond it is no count and no number of anything, and no table could hold it."""

_BINARY_TYPES: Final = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "FL": "f4", "FD": "f8"}
_NUMBER: Final = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_ISO_IR: Final = re.compile(r"^ISO[-_ ]?(2022[-_ ]?)?IR[-_ ]?", re.IGNORECASE)
_TEXT_DELIMITERS: Final = {*b"\n\r\t\f\\^="}
_ITEM: Final = b"\xfe\xff\x00\xe0"
_ITEM_BIG_ENDIAN: Final = b"\xff\xfe\xe0\x00"
_BROKEN: Final = (
    OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError, RecursionError,
    struct.error,
)  # fmt: skip
"""How pydicom's parser fails on broken bytes, beside its own error: anywhere."""
_PRIVATE_BLOCKS: Final = range(0x10, 0x14)
"""Blocks of a private group in which a creator is looked for; scanners use the first of them."""


class Source(Protocol):
    """What is asked of a dataset: one element by its tag, raw (a tuple) or with a `value`."""

    def get_item(self, tag: int, /) -> Any: ...


class Given:
    """Values that were computed, in the place of a dataset: they stand before what the file says."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {tag_of(keyword): _Value(value) for keyword, value in values.items()}

    def get_item(self, tag: int, /) -> Any:
        return self._values.get(int(tag))


class _Value:
    def __init__(self, value: Any) -> None:
        self.value = value


class Attributes:
    """Lenient reading of one dataset, or of several that stand in for each other (frame, shared, file)."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources

    def before(self, *sources: Source) -> Attributes:
        """The same with other sources asked first."""
        return Attributes(*sources, *self._sources)

    def _elements(self, tag: int) -> Iterator[Any]:
        """The element of each source that has it, in their order."""
        for source in self._sources:
            try:
                element = source.get_item(tag)
            except (KeyError, ValueError):
                continue
            if element is not None:
                yield element

    def _values(self, tag: int) -> list[Any]:
        """Values of the first element under a tag that holds something."""
        return next(filter(None, map(_decoded, self._elements(tag))), [])

    def _filled(self, tag: int) -> Any:
        """Return the first element under a tag that is not empty; None where there is none."""
        return next((element for element in self._elements(tag) if _has_value(element)), None)

    def texts(self, keyword: str) -> list[str]:
        return [str(value).strip() for value in self._values(tag_of(keyword))]

    def text(self, keyword: str) -> str:
        return "\\".join(self.texts(keyword)).strip()

    def numbers(self, keyword: str) -> list[float]:
        """All values as finite numbers, or an empty list when any of them is none."""
        return _all_numbers(self._values(tag_of(keyword)))

    def number(self, keyword: str) -> float | None:
        numbers = self.numbers(keyword)
        return numbers[0] if numbers else None

    def integer(self, keyword: str) -> int | None:
        return _integer(self.number(keyword))

    def described(self, keyword: str) -> str:
        """Text in the file's own character set; what it cannot hold is replaced, never refused."""
        element = self._filled(tag_of(keyword))
        value = getattr(element, "value", None)
        if isinstance(value, bytes):
            return _in_character_set(value, self.texts("SpecificCharacterSet"))
        return "" if value is None else str(value).strip()

    def items(self, keyword: str) -> list[Dataset]:
        """Items of a sequence; empty when it is absent or no sequence."""
        return _items(self._filled(tag_of(keyword)))

    def private(self, creator: str, group: int, element: int) -> Any:
        """Find a private element by its creator (PS3.5 7.8.1); None when absent."""
        for block in _PRIVATE_BLOCKS:
            names = self._values(group << 16 | block)
            if names and str(names[0]).strip() == creator:
                return _typed(self._filled(group << 16 | block << 8 | element), creator)
        return None

    def private_bytes(self, creator: str, group: int, element: int) -> bytes:
        value = getattr(self.private(creator, group, element), "value", b"")
        return value if isinstance(value, bytes) else b""

    def private_numbers(self, creator: str, group: int, element: int) -> list[float]:
        return _all_numbers(_decoded(self.private(creator, group, element)))

    def private_items(self, creator: str, group: int, element: int) -> list[Dataset]:
        return _items(self.private(creator, group, element))


def private_tags(group: int, *elements: int) -> list[int]:
    """Every tag that `Attributes.private` may ask for; readers that read only listed tags need them."""
    creators = [group << 16 | block for block in _PRIVATE_BLOCKS]
    return creators + [group << 16 | block << 8 | one for block in _PRIVATE_BLOCKS for one in elements]


def _decoded(element: Any) -> list[Any]:
    """Values of an element (None: it is absent), without pydicom's strict conversion of numbers."""
    if element is None:
        return []
    if not _is_raw(element):
        return _as_list(element.value)
    if not element.value:
        return []
    representation = element.VR if element.VR and element.VR != "UN" else _usual_vr(element.tag)
    if representation in _BINARY_TYPES:
        order = "<" if element.is_little_endian else ">"
        kind = np.dtype(order + _BINARY_TYPES[representation])
        usable = len(element.value) // kind.itemsize * kind.itemsize
        return list(np.frombuffer(element.value[:usable], dtype=kind).tolist())
    if representation in ("SQ", "OB", "OW"):
        return [element.value]
    text = bytes(element.value).decode("latin-1").rstrip("\0 ").lstrip()
    return text.split("\\") if text else []


def _is_raw(element: Any) -> bool:
    """Whether nobody has interpreted an element yet: raw ones are tuples, pydicom's and ours."""
    return isinstance(element, tuple)


def _typed(element: Any, creator: str) -> Any:
    """Give a private element of an implicit file the representation that its creator is known to use."""
    if not _is_raw(element) or element.VR not in (None, "UN"):
        return element
    representation = private_representation_of(element.tag, creator)
    return element if representation is None else element._replace(VR=representation)


def _as_list(value: Any) -> list[Any]:
    if value is None or value in ("", b""):
        return []
    return list(value) if isinstance(value, (list, tuple, MutableSequence)) else [value]


def _has_value(element: Any) -> bool:
    value = element.value
    return bool(value.strip(b"\0 ")) if isinstance(value, bytes) else bool(_as_list(value))


def _usual_vr(tag: int) -> str:
    # A private element of an implicit file: text, unless its reader knows better.
    return representation_of(tag) or "LO"


def _all_numbers(values: Sequence[Any]) -> list[float]:
    numbers = [_number(value) for value in values]
    return [n for n in numbers if n is not None] if all(n is not None for n in numbers) else []


def _number(value: Any) -> float | None:
    if isinstance(value, (int, float)):
        number = float(value)
    else:
        text = str(value).strip().strip("\0").replace(",", ".")
        if not _NUMBER.fullmatch(text):
            return None
        number = float(text)
    return number if np.isfinite(number) else None


def _integer(number: float | None) -> int | None:
    return None if number is None or abs(number) > LARGEST_INTEGER else int(number)


def _in_character_set(value: bytes, names: Sequence[str]) -> str:
    text = value.rstrip(b"\0 ")
    if text.isascii() and b"\x1b" not in text:
        return text.decode("ascii").strip()
    encodings = [codec_of(_standard(name)) for name in names] if any(names) else [""]
    if all(encodings):
        try:
            if len(encodings) == 1 and b"\x1b" not in text:
                return text.decode(encodings[0]).strip()
            from pydicom.charset import decode_bytes

            # Warns of what it cannot decode; no filter is set here, since filters belong to all threads.
            return decode_bytes(text, encodings, _TEXT_DELIMITERS).strip()
        except (LookupError, UnicodeError, ValueError, TypeError, Warning):
            pass
    try:
        return text.decode("utf-8").strip()  # modern archives write it under any name
    except UnicodeDecodeError:
        return text.decode("latin-1").strip()


def _standard(name: str) -> str:
    """Name of a character set as the standard spells it: blanks, dashes and underscores get mixed up."""
    return _ISO_IR.sub(lambda found: "ISO 2022 IR " if found[1] else "ISO_IR ", name.strip())


def _items(element: Any) -> list[Dataset]:
    value = getattr(element, "value", None)
    if isinstance(value, bytes):
        return _parsed_items(element, value)
    items = _as_list(value)
    if not items:
        return []
    from pydicom.dataset import Dataset

    return [item for item in items if isinstance(item, Dataset)]


def _parsed_items(element: Any, value: bytes) -> list[Dataset]:
    """Items of a sequence that is still bytes; unknown ones are implicit little endian (PS3.5 6.2.2)."""
    if not value.startswith((_ITEM, _ITEM_BIG_ENDIAN)):
        return []
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_sequence

    implicit = element.is_implicit_VR or element.VR == "UN"
    try:
        items = read_sequence(io.BytesIO(value), implicit, element.is_little_endian, len(value), ["iso8859"])
        return list(items)
    except (*_BROKEN, InvalidDicomError):
        return []
