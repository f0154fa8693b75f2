"""Small MR files for tests, written with pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from dicomgeom.plane import ImagePlane

COUNTER = iter(range(1, 10_000_000))


def uid(*parts: object) -> str:
    """Make a valid UID that says what it is for."""
    return "1.2.826.0.1.3680043.10.999." + ".".join(str(part) for part in parts)


def mr_dataset(plane: ImagePlane, **attributes: Any) -> Dataset:
    """An MR image of zeros on a plane; attributes by DICOM keyword, None removes one."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    number = next(COUNTER)
    values: dict[str, Any] = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": uid(1, number),
        "StudyInstanceUID": uid(2),
        "SeriesInstanceUID": uid(3),
        "FrameOfReferenceUID": plane.frame_of_reference or None,
        "PatientID": "TEST",
        "PatientName": "Test^Case",
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "ScanningSequence": "GR",
        "EchoTime": "1.5",
        "RepetitionTime": "3",
        "FlipAngle": "50",
        "ImagePositionPatient": [f"{value:.10g}" for value in plane.origin_mm],
        "ImageOrientationPatient": [f"{value:.10g}" for value in (*plane.right, *plane.down)],
        "PixelSpacing": [f"{plane.row_spacing_mm:.10g}", f"{plane.column_spacing_mm:.10g}"],
        "Rows": plane.rows,
        "Columns": plane.columns,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": np.zeros((plane.rows, plane.columns), dtype=np.uint16).tobytes(),
    }
    for keyword, value in (values | attributes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", uid(9, number))
    return dataset


def write_mr(path: Path, plane: ImagePlane, **attributes: Any) -> Path:
    """Write `mr_dataset` as a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = mr_dataset(plane, **attributes)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", MRImageStorage)
    dataset.save_as(path, enforce_file_format=True)
    return path


def axial(z_mm: float = 0.0, *, columns: int = 24, rows: int = 16, frame: str = uid(4)) -> ImagePlane:
    """A small axial plane."""
    return ImagePlane(
        origin_mm=np.array([-20.0, -15.0, z_mm]),
        right=np.array([1.0, 0.0, 0.0]),
        down=np.array([0.0, 1.0, 0.0]),
        column_spacing_mm=1.5,
        row_spacing_mm=2.0,
        columns=columns,
        rows=rows,
        frame_of_reference=frame,
    )
