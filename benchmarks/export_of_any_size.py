"""Write a cardiac MR export of any number of files, fast, for benchmarks of `index`.

An exam is twelve short-axis series of one slice and three long-axis series, 25 phases each.
Every second exam carries about sixty private elements and 60 KB in one private value, before
Pixel Spacing, as Siemens writes them. Pixels are noise of one image, 208 x 180.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from dicomgeom.plane import Floats

ROWS: Final = 208
COLUMNS: Final = 180
PHASES: Final = 25
SLICES: Final = 12
PRIVATE_BYTES: Final = 60_000
ROOT: Final = "1.2.826.0.1.3680043.10.999"

LEADING: Final = {
    "SpecificCharacterSet": "ISO_IR 100", "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"],
    "InstanceCreationDate": "20240305", "SOPClassUID": MRImageStorage, "StudyDate": "20240305",
    "SeriesDate": "20240305", "AcquisitionDate": "20240305", "ContentDate": "20240305",
    "StudyTime": "101500", "SeriesTime": "102000.5", "AccessionNumber": "A123456", "Modality": "MR",
    "Manufacturer": "SIEMENS", "InstitutionName": "Hospital", "InstitutionAddress": "Street 1",
    "ReferringPhysicianName": "Doe^J", "StationName": "MRC1", "StudyDescription": "Heart",
    "PerformingPhysicianName": "Doe^J", "OperatorsName": "Op", "ManufacturerModelName": "Aera",
    "PatientName": "Doe^Jane", "PatientBirthDate": "19600101", "PatientSex": "F", "PatientAge": "064Y",
    "PatientSize": "1.7", "PatientWeight": "70", "BodyPartExamined": "HEART", "ScanningSequence": "GR",
    "SequenceVariant": "SK", "ScanOptions": ["CG", "PER"], "MRAcquisitionType": "2D",
    "SequenceName": "*tfi2d1_15", "AngioFlag": "N", "SliceThickness": "8", "RepetitionTime": "39.1",
    "EchoTime": "1.18", "NumberOfAverages": "1", "ImagingFrequency": "63.6", "ImagedNucleus": "1H",
    "EchoNumbers": "1", "MagneticFieldStrength": "1.5", "SpacingBetweenSlices": "10",
    "NumberOfPhaseEncodingSteps": "150", "EchoTrainLength": "15", "PercentSampling": "80",
    "PercentPhaseFieldOfView": "86", "PixelBandwidth": "930", "DeviceSerialNumber": "12345",
    "SoftwareVersions": "syngo MR E11", "ProtocolName": "cine_tf2d", "NominalInterval": "950",
    "BeatRejectionFlag": "N", "CardiacNumberOfImages": "25", "TransmitCoilName": "Body",
    "AcquisitionMatrix": [0, 208, 150, 0], "InPlanePhaseEncodingDirection": "COL", "FlipAngle": "60",
    "VariableFlipAngleFlag": "N", "SAR": "1.6", "dBdt": "0", "PatientPosition": "HFS",
    "StudyID": "1", "PositionReferenceIndicator": "", "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2", "Rows": ROWS, "Columns": COLUMNS,
    "PixelSpacing": ["1.5", "1.6"], "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11,
    "PixelRepresentation": 0, "SmallestImagePixelValue": 0, "WindowCenterWidthExplanation": "Algo1",
    "PerformedProcedureStepStartDate": "20240305", "PerformedProcedureStepStartTime": "101400",
    "PerformedProcedureStepID": "MR1", "PerformedProcedureStepDescription": "Heart",
}  # fmt: skip
"""What all images say alike: about as much as a scanner writes."""


def write_export(folder: Path, files: int, *, ascending: bool = True) -> Path:
    """Write `files` images below a folder, an exam a folder; what is already there is kept.

    Parameters
    ----------
    folder
        Target; a finished export is recognised by its marker beside it and not written again.
    files
        How many images; the last exam is cut short.
    ascending
        Whether names follow the scanner's count; False mixes the series of an exam.
    """
    marker = folder.with_name(f"{folder.name}.complete")
    if marker.exists() and marker.read_text() == str(files):
        return folder
    pixels = np.random.default_rng(0).integers(0, 4096, (ROWS, COLUMNS), dtype=np.uint16).tobytes()
    tail = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, len(pixels)) + pixels
    written = 0
    exam = 0
    while written < files:
        order = np.random.default_rng(exam)
        target = folder / f"exam{exam:05}"
        target.mkdir(parents=True, exist_ok=True)
        for number, head in enumerate(exam_headers(exam)):
            if written == files:
                break
            name = number if ascending else int(order.integers(1 << 40))
            (target / f"{name:06}").write_bytes(head + tail)
            written += 1
        exam += 1
    marker.write_text(str(files))
    return folder


def exam_headers(exam: int) -> Iterator[bytes]:
    """Headers of one exam, up to the pixel data, explicit little endian."""
    axis = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
    left = np.array([1.0, 0.0, 0.0]) - axis[0] * axis
    left /= np.linalg.norm(left)
    around = np.cross(axis, left)
    heart = np.array([35.0, -20.0, -10.0])
    planes = [(left, around, heart + 10.0 * (i - (SLICES - 1) / 2) * axis) for i in range(SLICES)]
    for turn_deg in (8.0, 66.0, 129.0):
        turn = np.radians(turn_deg)
        planes.append((np.cos(turn) * left + np.sin(turn) * around, axis, heart))
    for series, (right, down, centre) in enumerate(planes):
        origin = centre - right * 1.6 * (COLUMNS - 1) / 2 - down * 1.5 * (ROWS - 1) / 2
        dataset = _series_dataset(exam, series, right, down, origin)
        for phase in range(PHASES):
            yield _image_header(dataset, exam, series, phase)


def _series_dataset(exam: int, series: int, right: Floats, down: Floats, origin: Floats) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    for keyword, value in LEADING.items():
        setattr(dataset, keyword, value)
    dataset.PatientID = f"PATIENT{exam:06}"
    dataset.SeriesDescription = "cine_tf2d_sax" if series < SLICES else "cine_tf2d_lax"
    dataset.StudyInstanceUID = f"{ROOT}.2.{exam}"
    dataset.SeriesInstanceUID = f"{ROOT}.3.{exam}.{series}"
    dataset.FrameOfReferenceUID = f"{ROOT}.4.{exam}"
    dataset.SeriesNumber = series + 1
    dataset.ImagePositionPatient = [f"{value:.9g}" for value in origin]
    dataset.ImageOrientationPatient = [f"{value:.9g}" for value in (*right, *down)]
    dataset.SliceLocation = f"{float(origin @ np.cross(right, down)):.8g}"
    if exam % 2:
        _add_private(dataset)
    return dataset


def _add_private(dataset: Dataset) -> None:
    block = dataset.private_block(0x0021, "SIEMENS MR SDS 01", create=True)
    for element in range(1, 61):
        block.add_new(element, "LO", f"value {element}")
    block.add_new(0x7F, "OB", bytes(range(256)) * (PRIVATE_BYTES // 256))


def _image_header(dataset: Dataset, exam: int, series: int, phase: int) -> bytes:
    dataset.SOPInstanceUID = f"{ROOT}.1.{exam}.{series}.{phase}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.InstanceNumber = phase + 1
    dataset.InstanceCreationTime = f"1020{phase:02}.{exam % 1000:03}000"
    dataset.AcquisitionTime = f"1019{phase:02}.{series:02}2500"
    dataset.ContentTime = f"1020{phase:02}.{series:02}5000"
    dataset.TriggerTime = f"{phase * 36.5:.6g}"
    dataset.AcquisitionNumber = 1
    dataset.LargestImagePixelValue = 900 + 7 * phase
    dataset.WindowCenter = str(400 + phase)
    dataset.WindowWidth = str(800 + 3 * phase)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
