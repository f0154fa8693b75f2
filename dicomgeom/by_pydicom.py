"""Read the header of any file that pydicom can read: the slow way, for what is unusual."""

from __future__ import annotations

import struct
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicomgeom.cut_short import check_pixels
from dicomgeom.errors import UnusableFile
from dicomgeom.header import (
    DICOMDIR_CLASS,
    MR_IMAGE_CLASSES,
    TILE_TAGS,
    WANTED,
    ImageHeader,
    holds_tiles,
    read_headers,
)
from dicomgeom.quietness import hush


def headers_by_pydicom(file: BinaryIO, size_bytes: int) -> list[ImageHeader]:
    """Every frame of an open file.

    Raises
    ------
    UnusableFile
        With the reason why the file holds no image that could be placed in the patient.
    """
    hush()  # pydicom may have been loaded for this very file
    dataset = _read_until_pixels(file)
    stated = dataset.file_meta.get("MediaStorageSOPClassUID") or dataset.get("SOPClassUID")
    if stated in MR_IMAGE_CLASSES:  # before its header is judged, which may be cut short as well
        _check_pixels_are_there(file, dataset, size_bytes)
    if holds_tiles(dataset):
        file.seek(0)
        dataset = _read_until_pixels(file, TILE_TAGS)
    return read_headers(dataset)


def _read_until_pixels(file: BinaryIO, more_tags: tuple[int, ...] = ()) -> Dataset:
    """Header of a DICOM file with or without preamble and file meta."""
    if not _looks_like_dicom(file):
        raise UnusableFile("not-dicom", "neither a DICM mark nor a first element of group 2 or 8")
    wanted = [BaseTag(tag) for tag in (*WANTED.tags, *WANTED.sequences, *more_tags)]
    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=wanted)
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
    syntax = dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
    if syntax == DeflatedExplicitVRLittleEndian:
        return  # positions in the file mean nothing
    start = file.tell()
    check_pixels(file.read(12), start, size_bytes, ">" if syntax == ExplicitVRBigEndian else "<")
