"""Whole small exams as DICOM files: true geometry, pixels a plain blob, made in milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from dicomgeom.plane import ImagePlane
from tests.helpers.dicom_files import write_mr

PATIENT_NAME = "Secretovsky^Eve"
PATIENT_ID = "PID-4711"
STUDY_DATE = "20190317"
DESCRIPTION = "cine tfi"
"""Name, number, date and free text that must never be found in anything that leaves the catalogue."""

HEART_MM = np.array([35.0, -20.0, -10.0])
"""Middle of the left ventricle, LPS."""

ROWS, COLUMNS = 40, 48
ROW_SPACING_MM, COLUMN_SPACING_MM = 5.0, 4.5

Vector = NDArray[np.float64]


def write_heart_exam(folder: Path, *, phases: int = 3, slices: int = 4) -> Path:
    """Write a short-axis stack (10 mm apart) with a 4CH and a 2CH plane through its axis.

    Every image is centred on the left ventricle; the planes lie as on a real heart.
    """
    axis = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
    left = np.array([1.0, 0.0, 0.0]) - axis[0] * axis
    left /= np.linalg.norm(left)
    around = np.cross(axis, left)
    frame, study = generate_uid(), generate_uid()
    offsets = 10.0 * (np.arange(slices) - (slices - 1) / 2)
    series = [("SAX", left, around, [HEART_MM + offset * axis for offset in offsets])]
    for view, turn_deg in (("4CH", 8.0), ("2CH", 66.0)):
        turn = np.radians(turn_deg)
        series.append((view, np.cos(turn) * left + np.sin(turn) * around, axis, [HEART_MM]))
    for number, (view, right, down, centres) in enumerate(series, start=1):
        series_uid = generate_uid()
        for place, centre in enumerate(centres):
            for phase in range(phases):
                write_mr(
                    folder / f"{number:02}" / f"{place:02}-{phase:02}.dcm",
                    _centred(centre, right, down, frame),
                    StudyInstanceUID=study,
                    SeriesInstanceUID=series_uid,
                    SOPInstanceUID=generate_uid(),
                    PatientName=PATIENT_NAME,
                    PatientID=PATIENT_ID,
                    StudyDate=STUDY_DATE,
                    AcquisitionDate=STUDY_DATE,
                    AcquisitionTime="101500",
                    BodyPartExamined="HEART",
                    SeriesNumber=number,
                    SeriesDescription=f"{DESCRIPTION} {view}",
                    TriggerTime=30.0 * phase,
                    CardiacNumberOfImages=phases,
                    InstanceNumber=place * phases + phase + 1,
                    PixelData=_blob().tobytes(),
                )
    return folder


def _centred(centre_mm: Vector, right: Vector, down: Vector, frame: str) -> ImagePlane:
    """A plane whose middle is a point of the patient."""
    across = right * COLUMN_SPACING_MM * (COLUMNS - 1) / 2
    along = down * ROW_SPACING_MM * (ROWS - 1) / 2
    origin = centre_mm - across - along
    return ImagePlane(origin, right, down, COLUMN_SPACING_MM, ROW_SPACING_MM, COLUMNS, ROWS, frame)


def _blob() -> NDArray[np.uint16]:
    """Make a bright disc that is not in the middle: flips and swapped axes show."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    disc = (row - ROWS * 0.45) ** 2 + (column - COLUMNS * 0.55) ** 2 < (min(ROWS, COLUMNS) * 0.3) ** 2
    return (200 + 8 * column + 3 * row + 900 * disc).astype(np.uint16)
