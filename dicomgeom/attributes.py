"""Lenient reading of single attributes: what cannot be understood is absent, nothing raises.

Numbers are parsed from the raw bytes, because exports hold decimal commas, over-long decimal
strings and stray blanks that a strict reader refuses.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
from pydicom.datadict import dictionary_VR, keyword_dict
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

_BINARY_TYPES: Final = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "FL": "f4", "FD": "f8"}
_NUMBER: Final = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


class Attributes:
    """Lenient reading of one dataset, or of several that stand in for each other (frame, shared, file)."""

    def __init__(self, *datasets: Dataset) -> None:
        self._datasets = datasets

    def _values(self, keyword: str) -> list[Any]:
        for dataset in self._datasets:
            try:
                element = dataset.get_item(keyword_dict[keyword])
            except (KeyError, ValueError):
                continue
            values = _decoded(element)
            if values:
                return values
        return []

    def texts(self, keyword: str) -> list[str]:
        return [str(value).strip() for value in self._values(keyword)]

    def text(self, keyword: str) -> str:
        return "\\".join(self.texts(keyword)).strip()

    def numbers(self, keyword: str) -> list[float]:
        """All values as finite numbers, or an empty list when any of them is none."""
        numbers = [_number(value) for value in self._values(keyword)]
        return [n for n in numbers if n is not None] if all(n is not None for n in numbers) else []

    def number(self, keyword: str) -> float | None:
        numbers = self.numbers(keyword)
        return numbers[0] if numbers else None

    def integer(self, keyword: str) -> int | None:
        number = self.number(keyword)
        return None if number is None else int(number)

    def described(self, keyword: str) -> str:
        """Text in the file's own character set; undecodable characters are replaced."""
        for dataset in self._datasets:
            try:
                value = dataset.get(keyword)
            except (ValueError, LookupError, UnicodeError):
                return self.text(keyword)
            if value is not None:
                return str(value).strip()
        return ""


def _decoded(element: Any) -> list[Any]:
    """Values of an element (None: it is absent), without pydicom's strict conversion of numbers."""
    if element is None:
        return []
    if not isinstance(element, RawDataElement):
        value = element.value
        if value is None or value == "":
            return []
        return list(value) if isinstance(value, (list, tuple, MultiValue)) else [value]
    if not element.value:
        return []
    representation = element.VR if element.VR and element.VR != "UN" else dictionary_VR(element.tag)
    if representation in _BINARY_TYPES:
        order = "<" if element.is_little_endian else ">"
        kind = np.dtype(order + _BINARY_TYPES[representation])
        usable = len(element.value) // kind.itemsize * kind.itemsize
        return list(np.frombuffer(element.value[:usable], dtype=kind).tolist())
    text = element.value.decode("latin-1").rstrip("\0 ").lstrip()
    return text.split("\\") if text else []


def _number(value: Any) -> float | None:
    if isinstance(value, (int, float)):
        return float(value) if np.isfinite(value) else None
    text = str(value).strip().strip("\0").replace(",", ".")
    return float(text) if _NUMBER.fullmatch(text) else None
