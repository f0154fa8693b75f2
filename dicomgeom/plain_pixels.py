"""Read the pixels of a plain image without building a data set.

Most files of an MR export hold one uncompressed grey image behind a header like that of
their neighbours. For those pydicom's data set costs several times the pixels. Here the header
is matched against the last one of its series (`series_template.py`) and the pixels are read
where it says they begin. Whatever isn't plain is answered with None and left to
`pixels.read_image`, to which a test holds this one equal on real and made files.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomgeom.attributes import Attributes
from dicomgeom.elements import TRANSFER_SYNTAX, Unusual, Wanted, fetch_from
from dicomgeom.series_template import HeaderReader, Values
from dicomgeom.sources import is_member

PLAIN_SYNTAXES: Final = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
"""Transfer syntaxes: implicit and explicit little endian, uncompressed."""

WANTED: Final = Wanted.of(
    (
        "ImageType",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "RescaleSlope",
        "RescaleIntercept",
        "PerFrameFunctionalGroupsSequence",
        "SharedFunctionalGroupsSequence",
    )
)

_EXPLICIT_WORDS: Final = (b"OW", b"OB")
_UNDEFINED: Final = 0xFFFFFFFF


class Form(NamedTuple):
    """How the stored values of a plain image become pixels."""

    rows: int
    columns: int
    dtype: np.dtype[Any]
    spare_bits: int
    turn_from: float | None
    """MONOCHROME1: bright is this minus the stored value."""
    slope: float
    intercept: float
    head_bytes: int
    """Before the pixels, from the tag of their element."""


def read_plain_image(root: str, path: str, frame: int = 0) -> NDArray[np.float32] | None:
    """One plain image, equal to what `read_image` gives; None where that must be asked.

    Parameters
    ----------
    root, path, frame
        As for `read_image`.

    Returns
    -------
    float32 array, shape (rows, columns), or None
        None for everything unusual: archives, several frames, compression, colour, a file
        that is gone or cut short.
    """
    if frame or is_member(path):
        return None
    try:
        descriptor = os.open(Path(root, path), os.O_RDONLY)
    except OSError:
        return None
    try:
        values = _headers().read(fetch_from(descriptor))
        form = _form_of(values)
        if form is None:
            return None
        size_bytes = form.rows * form.columns * form.dtype.itemsize
        stored = os.pread(descriptor, size_bytes, values.pixels_at + form.head_bytes)
    except (Unusual, OSError):
        return None
    finally:
        os.close(descriptor)
    return _pixels(stored, form) if len(stored) == size_bytes else None


class _Own(threading.local):
    """One header reader a thread: it learns from file to file."""

    reader: HeaderReader | None = None


_own = _Own()


def _headers() -> HeaderReader:
    if _own.reader is None:
        _own.reader = HeaderReader(WANTED)
    return _own.reader


def _form_of(values: Values) -> Form | None:
    """The form of a file; that of its template where nothing that matters differs between its files."""
    known = values.template.known
    if not known and not any(tag in WANTED.tags for tag in values.template.asked):
        known["form"] = _read_form(values)
        known["pixels"] = values.pixels_head[4:]
    if "form" in known and known["pixels"] == values.pixels_head[4:]:
        form: Form | None = known["form"]
        return form
    return _read_form(values)


def _read_form(values: Values) -> Form | None:
    said = Attributes(values)
    syntax = values.get_item(TRANSFER_SYNTAX).value.rstrip(b"\0 ").decode("latin-1")
    if syntax not in PLAIN_SYNTAXES or values.template.nests:
        return None
    rows, columns, allocated, stored = (
        said.integer(name) or 0 for name in ("Rows", "Columns", "BitsAllocated", "BitsStored")
    )
    grey = said.text("PhotometricInterpretation")
    signed = bool(said.integer("PixelRepresentation"))
    plain = (
        grey in ("MONOCHROME1", "MONOCHROME2")
        and said.integer("SamplesPerPixel") in (None, 1)
        and (said.integer("NumberOfFrames") or 1) == 1
        and allocated in (8, 16)
        and 0 < stored <= allocated
        and said.integer("PixelRepresentation") in (0, 1)
        and rows > 0
        and columns > 0
    )
    head_bytes = _head_bytes(values.pixels_head, syntax, rows * columns * allocated // 8)
    if not plain or head_bytes is None:
        return None
    turn_from = None
    if grey == "MONOCHROME1":
        turn_from = -1.0 if signed else 2.0**stored - 1
    return Form(
        rows=rows,
        columns=columns,
        dtype=np.dtype(f"<{'i' if signed else 'u'}{allocated // 8}"),
        spare_bits=allocated - stored,
        turn_from=turn_from,
        slope=said.number("RescaleSlope") or 1.0,
        intercept=said.number("RescaleIntercept") or 0.0,
        head_bytes=head_bytes,
    )


def _head_bytes(head: bytes, syntax: str, wanted_bytes: int) -> int | None:
    """Bytes of the pixel data element before its value; None when its length is not that of one image."""
    if syntax == PLAIN_SYNTAXES[0]:
        size, length = 8, int.from_bytes(head[4:8], "little")
    elif head[4:6] in _EXPLICIT_WORDS:
        size, length = 12, int.from_bytes(head[8:12], "little")
    else:
        return None
    # The value is padded to an even length (PS3.5 7.1.1).
    return size if length != _UNDEFINED and length == wanted_bytes + wanted_bytes % 2 else None


def _pixels(stored: bytes, form: Form) -> NDArray[np.float32]:
    values = np.frombuffer(stored, dtype=form.dtype).reshape(form.rows, form.columns)
    if form.spare_bits:
        values = values << form.spare_bits >> form.spare_bits
    if form.turn_from is None and form.slope == 1 and form.intercept == 0:
        return values.astype(np.float32)
    image = values.astype(np.float64)
    if form.turn_from is not None:
        image = form.turn_from - image
    return np.asarray(image * form.slope + form.intercept).astype(np.float32)
