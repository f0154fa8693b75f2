"""Data sets as the bytes of a DICOM file (PS3.10), quick where many share their elements.

pydicom takes some 40 microseconds for each element, a hundred elements a file: what all images
of a series share is encoded once here.
"""

from __future__ import annotations

import warnings
import zlib

import numpy as np
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr_element, write_data_element
from pydicom.tag import BaseTag
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, DeflatedExplicitVRLittleEndian

from phantoms.transfer_syntax import Syntax

PREAMBLE = bytes(128) + b"DICM"


class Encoder:
    """Encodes data sets in one transfer syntax.

    Parameters
    ----------
    syntax
        Compressed pixels must be in the data set already.
    like
        An encoder of the same byte order and kind of VR: what it keeps is kept here too.
    """

    def __init__(self, syntax: Syntax, like: Encoder | None = None) -> None:
        self._syntax = syntax
        self._kept: dict[int, tuple[DataElement, bytes]] = dict(like._kept) if like else {}

    def keep(self, shared: Dataset) -> None:
        """Remember how these elements look; data sets that hold the very same objects reuse it."""
        encodings = _encodings(shared)
        for element in shared:
            if " or " not in element.VR:  # it depends on the rest which one it is
                self._kept[id(element)] = (element, self._element(element, encodings))

    def encode(self, dataset: Dataset) -> bytes:
        """Give the data set without preamble and file meta information."""
        encodings = _encodings(dataset)
        parts = []
        for tag in sorted(dataset.keys()):
            element = dataset[tag]
            if " or " in element.VR:
                correct_ambiguous_vr_element(element, dataset, self._syntax.uid.is_little_endian)
            kept = self._kept.get(id(element))
            parts.append(kept[1] if kept else self._element(self._ordered(element, dataset), encodings))
        body = b"".join(parts)
        if self._syntax.uid == DeflatedExplicitVRLittleEndian:
            squeeze = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
            body = squeeze.compress(body) + squeeze.flush()
            body += b"\0" * (len(body) % 2)
        return body

    def _element(self, element: DataElement, encodings: list[str]) -> bytes:
        buffer = DicomBytesIO()
        buffer.is_little_endian = self._syntax.uid.is_little_endian
        buffer.is_implicit_VR = self._syntax.uid.is_implicit_VR
        write_data_element(buffer, element, encodings)
        written = bytes(buffer.getvalue())
        stated: str | None = getattr(element, "written_vr", None)
        if stated and not self._syntax.uid.is_implicit_VR:
            # Text that breaks the rules of its own VR travels as another of the same header length.
            written = written[:4] + stated.encode() + written[6:]
        return written

    def _ordered(self, element: DataElement, dataset: Dataset) -> DataElement:
        """Pixels in the byte order of the syntax."""
        if element.tag != BaseTag(0x7FE00010) or self._syntax.uid.is_little_endian:
            return element
        if dataset.BitsAllocated != 16:
            return element
        return DataElement(element.tag, "OW", np.frombuffer(element.value, "<u2").astype(">u2").tobytes())

    def file(self, dataset: Dataset) -> bytes:
        """Give the data set as a whole file."""
        meta = file_meta(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), str(self._syntax.uid))
        return PREAMBLE + meta + self.encode(dataset)


def _encodings(dataset: Dataset) -> list[str]:
    """Codecs of the data set's character set; one that does not exist is what a trap asks for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(convert_encodings(dataset.get("SpecificCharacterSet", "ISO_IR 6") or "ISO_IR 6"))


def file_meta(sop_class: str, sop_instance: str, syntax: str) -> bytes:
    """File meta information (PS3.10 7.1), explicit VR little endian."""
    version = b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"
    uids = (
        (0x02, sop_class),
        (0x03, sop_instance),
        (0x10, syntax),
        (0x12, str(PYDICOM_IMPLEMENTATION_UID)),
    )
    body = version + b"".join(_short(number, "UI", text) for number, text in uids)
    length = b"\x02\x00\x00\x00UL\x04\x00" + len(body).to_bytes(4, "little")
    return length + body


def _short(element: int, vr: str, text: str) -> bytes:
    value = text.encode("ascii")
    value += b"\0" * (len(value) % 2)
    return (
        b"\x02\x00" + element.to_bytes(2, "little") + vr.encode() + len(value).to_bytes(2, "little") + value
    )
