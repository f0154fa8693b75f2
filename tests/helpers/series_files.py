"""Series of MR files with what scanners write round the attributes that matter."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.helpers.dicom_files import axial, mr_dataset, uid

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def series(
    images: int, *, syntax: UID = ExplicitVRLittleEndian, nested: bool = True, private_bytes: int = 40_000,
    number: int = 1,
) -> Iterator[bytes]:  # fmt: skip
    """Files of one series: images differ in UIDs, times, position, and in elements nobody asks for."""
    for image in range(images):
        dataset = mr_dataset(
            axial(z_mm=4.0 * image),
            SOPInstanceUID=uid(1, number, image),
            SeriesInstanceUID=uid(3, number),
            SeriesDescription=f"Größe {number}",
            SpecificCharacterSet="ISO_IR 192",
            TriggerTime=f"{12.5 * image:g}",
            InstanceNumber=image + 1,
            AcquisitionDate="20240305",
            AcquisitionTime=f"10{15 + image // 60}{image % 60:02}.25",
            ContentTime=f"10{16 + image // 60}{image % 60:02}",
            ImageComments="x" * (image % 5),
            WindowCenter=str(100 + 17 * image),
        )
        block = dataset.private_block(0x0021, "OUR OWN", create=True)
        block.add_new(1, "OB", bytes(range(256)) * (private_bytes // 256))
        block.add_new(2, "LO", f"changes {image}")
        if nested:
            dataset.ReferencedImageSequence = Sequence([_reference(n) for n in range(1 + image % 3)])
            dataset["ReferencedImageSequence"].is_undefined_length = image % 2 == 0
        yield encoded(dataset, syntax)


def _reference(number: int) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPInstanceUID = uid(7, number)
    reference.is_undefined_length_sequence_item = bool(number % 2)
    return reference


def encoded(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """A dataset as the bytes of a file."""
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def changed(content: bytes, edits: list[tuple[int, int, Any]]) -> bytes:
    """A file with some bytes overwritten, put in or taken out: (kind, position, bytes)."""
    damaged = bytearray(content)
    for kind, position, new in edits:
        at = position % max(1, len(damaged))
        if kind == 0:
            damaged[at : at + len(new)] = new
        elif kind == 1:
            damaged[at:at] = new
        else:
            del damaged[at : at + len(new)]
    return bytes(damaged)
