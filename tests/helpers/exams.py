"""Small MR exams as DICOM files: geometry true, pixels a plain blob, made in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"

PATIENT_NAME = "Secretovsky^Eve"
"""Must never be found in anything that leaves the catalogue."""

STUDY_DATE = "20190317"

HEART_MM = np.array([35.0, -20.0, -10.0])
"""Middle of the left ventricle, LPS."""

Vector = NDArray[np.float64]


def write_image(
    file: Path,
    *,
    origin_mm: Sequence[float] | Vector | None,
    right: Vector,
    down: Vector,
    uids: tuple[str, str, str],
    rows: int = 40,
    columns: int = 48,
    row_spacing_mm: float = 5.0,
    column_spacing_mm: float = 4.5,
    **attributes: Any,
) -> Path:
    """Write one MR image; `uids` are of study, series and frame of reference.

    Further keywords are DICOM attributes and replace what is set here; None removes one.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = MR_IMAGE_STORAGE
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = uids
    dataset.Modality = "MR"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    dataset.PatientName = PATIENT_NAME
    dataset.PatientID = "PID-4711"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = STUDY_DATE
    dataset.AcquisitionTime = "101500"
    dataset.EchoTime, dataset.RepetitionTime, dataset.FlipAngle = 1.3, 40.0, 60.0
    dataset.ScanningSequence = "GR"
    dataset.BodyPartExamined = "HEART"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.PixelSpacing = [row_spacing_mm, column_spacing_mm]
    dataset.ImageOrientationPatient = [round(float(value), 6) for value in (*right, *down)]
    if origin_mm is not None:
        dataset.ImagePositionPatient = [round(float(value), 4) for value in origin_mm]
    dataset.SliceThickness = 8.0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = _blob(rows, columns).tobytes()
    for name, value in attributes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(file, enforce_file_format=True)
    return file


def write_heart_exam(folder: Path, *, patient: str = "PID-4711", phases: int = 3, slices: int = 4) -> Path:
    """Write a short-axis stack (spacing 10 mm) with a 4CH and a 2CH plane through its axis.

    Every image is centred on the left ventricle; planes lie as on a real heart.
    """
    axis = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
    left = np.array([1.0, 0.0, 0.0]) - axis[0] * axis
    left /= np.linalg.norm(left)
    study, frame = generate_uid(), generate_uid()
    planes: list[tuple[str, Vector, Vector, Sequence[Vector]]] = []
    offsets = 10.0 * (np.arange(slices) - (slices - 1) / 2)
    around = np.cross(axis, left)
    planes.append(("cine SAX", left, around, [HEART_MM + offset * axis for offset in offsets]))
    for name, turn_deg in (("cine 4CH", 8.0), ("cine 2CH", 66.0)):
        turn = np.radians(turn_deg)
        trace = np.cos(turn) * left + np.sin(turn) * around
        planes.append((name, trace, axis, [HEART_MM]))
    for number, (name, right, down, centres) in enumerate(planes, start=1):
        uids = (study, generate_uid(), frame)
        for place, centre in enumerate(centres):
            origin = centre - right * 4.5 * 47 / 2 - down * 5.0 * 39 / 2
            for phase in range(phases):
                write_image(
                    folder / f"{number:02}" / f"{place:02}-{phase:02}.dcm",
                    origin_mm=origin,
                    right=right,
                    down=down,
                    uids=uids,
                    PatientID=patient,
                    SeriesNumber=number,
                    SeriesDescription=name,
                    TriggerTime=30.0 * phase,
                    CardiacNumberOfImages=phases,
                    InstanceNumber=place * phases + phase + 1,
                )
    return folder


def _blob(rows: int, columns: int) -> NDArray[np.uint16]:
    """Make a bright disc that is not in the middle: flips and swapped axes show."""
    row, column = np.mgrid[:rows, :columns]
    disc = (row - rows * 0.45) ** 2 + (column - columns * 0.55) ** 2 < (min(rows, columns) * 0.3) ** 2
    return (200 + 8 * column + 3 * row + 900 * disc).astype(np.uint16)
