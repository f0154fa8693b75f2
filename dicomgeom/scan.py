"""Files -> header rows: every file seen is accounted for, the good, the skipped and the unreadable."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import pydicom
from pydicom.config import IGNORE, settings
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicomgeom.errors import UnusableFile
from dicomgeom.header import MR_IMAGE_CLASSES, READ_TAGS, ImageHeader, read_headers
from dicomgeom.sources import FoundFile, open_file

DICOMDIR_CLASS: Final = "1.2.840.10008.1.3.10"
PIXEL_DATA_TAG: Final = (0x7FE0, 0x0010)
UNDEFINED_LENGTH: Final = 0xFFFFFFFF


@dataclass(frozen=True)
class ScannedFile:
    """A file with its verdict: status ok, skipped (nothing for us) or unreadable (broken)."""

    found: FoundFile
    status: str
    reason: str = ""
    detail: str = ""
    headers: list[ImageHeader] = field(default_factory=list)


def scan(files: Iterable[FoundFile]) -> Iterator[ScannedFile]:
    """Read the headers of each file; no file stops the scan."""
    for found in files:
        yield scan_file(found)


def scan_file(found: FoundFile) -> ScannedFile:
    """Judge one file."""
    try:
        return ScannedFile(found, status="ok", headers=_headers(found))
    except UnusableFile as unusable:
        status = "skipped" if unusable.readable else "unreadable"
        return ScannedFile(found, status, unusable.reason, unusable.detail)


def _headers(found: FoundFile) -> list[ImageHeader]:
    if found.refused:
        raise UnusableFile(found.refused, readable=False)
    if found.size_bytes == 0:
        raise UnusableFile("empty-file", readable=False)
    with open_file(found.root, found.path) as file:
        dataset = _read_until_pixels(file)
        stated = dataset.file_meta.get("MediaStorageSOPClassUID") or dataset.get("SOPClassUID")
        if stated in MR_IMAGE_CLASSES:  # before its header is judged, which may be cut short as well
            _check_pixels_are_there(file, dataset, found.size_bytes)
        return read_headers(dataset)


def _read_until_pixels(file: BinaryIO) -> Dataset:
    """Header of a DICOM file with or without preamble and file meta."""
    if not _looks_like_dicom(file):
        raise UnusableFile("not-dicom", "neither a DICM mark nor a first element of group 2 or 8")
    settings.reading_validation_mode = IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values that are odd: judged when they are used
            dataset = pydicom.dcmread(
                file, stop_before_pixels=True, force=True, specific_tags=list(READ_TAGS)
            )
    except (InvalidDicomError, EOFError, struct.error) as error:
        raise UnusableFile("truncated", "the header ends too early", readable=False) from error
    except Exception as error:  # a broken file may fail anywhere in the parser; it must not stop the scan
        raise UnusableFile("unreadable-header", type(error).__name__, readable=False) from error
    meta = dataset.file_meta
    if meta.get("MediaStorageSOPClassUID") == DICOMDIR_CLASS:
        raise UnusableFile("dicomdir", "an index of other files")
    if "SOPClassUID" not in dataset and "Modality" not in dataset:
        raise UnusableFile("not-dicom", "no SOP class and no modality")
    syntax = meta.get("TransferSyntaxUID")
    if syntax is not None:
        dataset.add_new("TransferSyntaxUID", "UI", str(syntax))  # carried along with the rest of the header
    return dataset


def _looks_like_dicom(file: BinaryIO) -> bool:
    start = file.read(132)
    file.seek(0)
    if start[128:132] == b"DICM":
        return True
    # Without preamble: the first element is of group 2 or 8, little or big endian.
    return start[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08") and len(start) >= 16


def _check_pixels_are_there(file: BinaryIO, dataset: Dataset, size_bytes: int) -> None:
    """Find files cut short: the header of the pixel data promises more bytes than follow."""
    syntax = dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
    if syntax == DeflatedExplicitVRLittleEndian:
        return  # positions in the file mean nothing
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    start = file.tell()
    head = file.read(12)
    if len(head) < 12 or struct.unpack(order + "HH", head[:4]) != PIXEL_DATA_TAG:
        raise UnusableFile("truncated", "the file ends before its pixel data", readable=False)
    explicit = head[4:6] in (b"OW", b"OB", b"UN")
    (length,) = struct.unpack(order + "I", head[8:12] if explicit else head[4:8])
    end = start + (12 if explicit else 8) + length
    if length != UNDEFINED_LENGTH and end > size_bytes:
        raise UnusableFile(
            "truncated", f"{length} bytes of pixels announced, {end - size_bytes} missing", readable=False
        )
