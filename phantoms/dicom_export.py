"""An exam's images as classic single-frame DICOM files (MR Image Storage, PS3.3 A.4)."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from dicomgeom.errors import WrongUse
from phantoms.exam import CardiacExam, ExamImage, ExamSeries

MANUFACTURER = "anatprep phantom"
SOFTWARE = "phantom 1"
FILES_A_FOLDER = 60
"""How many files, on average, lie in one of an exam's meaningless folders."""


def decimal(number: float) -> str:
    """A number in the 16 characters of a DICOM decimal string (PS3.5 6.2), as exact as they allow."""
    for digits in range(16, 0, -1):
        text = f"{float(number):.{digits}g}"
        if len(text) <= 16:
            return text
    raise WrongUse(f"{number!r} cannot be written as a DICOM decimal string")


def study_started_at(exam: CardiacExam) -> datetime:
    """An invented moment, the same for the same exam."""
    rng = exam.draws("date")
    day = datetime(2019, 1, 1) + timedelta(days=int(rng.integers(0, 1800)))
    return day + timedelta(seconds=int(rng.integers(7 * 3600, 18 * 3600)))


def _patient(exam: CardiacExam) -> Dataset:
    started = study_started_at(exam)
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = f"Phantom^Number {exam.seed}-{exam.index}"
    dataset.PatientID = exam.patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.PatientComments = "Digital phantom, not a person"
    dataset.StudyInstanceUID = exam.uid("study")
    dataset.StudyDate = started.strftime("%Y%m%d")
    dataset.StudyTime = started.strftime("%H%M%S")
    dataset.StudyID = str(exam.index)
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Phantom heart"
    dataset.Modality = "MR"
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = "digital chest"
    dataset.SoftwareVersions = SOFTWARE
    dataset.DeviceSerialNumber = "0"
    dataset.MagneticFieldStrength = "1.5"
    dataset.BodyPartExamined = "HEART"
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID = exam.frame_of_reference
    dataset.PositionReferenceIndicator = ""
    return dataset


def series_dataset(exam: CardiacExam, series: ExamSeries) -> Dataset:
    """What all images of a series share."""
    dataset, sequence = _patient(exam), exam.contrast.sequence
    started = study_started_at(exam) + timedelta(seconds=series.starts_at_s)
    dataset.SOPClassUID = MRImageStorage
    dataset.SeriesInstanceUID = series.uid
    dataset.SeriesNumber = series.number
    dataset.SeriesDescription = series.description
    dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = started.strftime("%Y%m%d")
    dataset.SeriesTime = started.strftime("%H%M%S")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", *(["RETRO"] if series.cine else []), "NORM"]
    dataset.ScanningSequence = "GR"
    dataset.SequenceVariant = "SK"
    dataset.ScanOptions = "CG" if series.cine else ""
    dataset.MRAcquisitionType = "2D"
    dataset.SequenceName = "tfi2d1" if series.cine else "tfi2d1_loc"
    dataset.SliceThickness = decimal(series.thickness_mm)
    if series.spacing_between_mm is not None:
        dataset.SpacingBetweenSlices = decimal(series.spacing_between_mm)
    dataset.EchoTime = decimal(sequence.echo_ms)
    dataset.RepetitionTime = decimal(sequence.repetition_ms if series.cine else 3.2)
    dataset.FlipAngle = decimal(sequence.flip_deg)
    dataset.EchoTrainLength = 1
    dataset.NumberOfAverages = "1"
    if series.cine:
        dataset.NominalInterval = round(exam.scene.patient.beat_ms)
        dataset.CardiacNumberOfImages = exam.phases
        dataset.HeartRate = round(60000 / exam.scene.patient.beat_ms)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    return dataset


def image_dataset(
    exam: CardiacExam, series: ExamSeries, shared: Dataset, image: ExamImage, number: int
) -> Dataset:
    """One image as a data set ready to be saved."""
    dataset, plane = Dataset(), image.plane
    dataset.update(shared)
    order = [slice_index for slice_index, _ in series.planes].index(image.slice_index)
    taken = study_started_at(exam) + timedelta(seconds=series.starts_at_s + 14.0 * order)
    dataset.SOPInstanceUID = exam.uid(
        "image", str(series.number), str(image.slice_index), str(image.phase_index)
    )
    dataset.AcquisitionTime = dataset.ContentTime = taken.strftime("%H%M%S.%f")
    dataset.AcquisitionNumber = order + 1
    dataset.InstanceNumber = number
    if series.cine:
        dataset.TriggerTime = decimal(image.trigger_ms)
    dataset.ImagePositionPatient = [decimal(value) for value in plane.origin_mm]
    dataset.ImageOrientationPatient = [decimal(value) for value in (*plane.right, *plane.down)]
    dataset.SliceLocation = decimal(float(plane.origin_mm @ plane.normal))
    dataset.PixelSpacing = [decimal(plane.row_spacing_mm), decimal(plane.column_spacing_mm)]
    dataset.Rows, dataset.Columns = image.pixels.shape
    low, high = np.percentile(image.pixels, [1, 99])
    dataset.WindowCenter, dataset.WindowWidth = (
        decimal(round((low + high) / 2)),
        decimal(round(high - low + 1)),
    )
    dataset.PixelData = image.pixels.astype("<u2").tobytes()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    return dataset


class FileNames:
    """Names without meaning, and in no order: a hash decides folder and name."""

    def __init__(self, exam: CardiacExam) -> None:
        rng = exam.draws("names")
        self._ending = ("", ".dcm", ".IMA")[int(rng.integers(3))]
        count = sum(len(series.planes) * (exam.phases if series.cine else 1) for series in exam.series)
        self._folders = max(1, round(count / FILES_A_FOLDER))

    def of(self, sop_instance_uid: str) -> Path:
        """Path of an image inside its exam's folder."""
        digest = hashlib.sha256(sop_instance_uid.encode()).hexdigest()
        return Path(f"{int(digest[:8], 16) % self._folders:04X}") / f"{digest[8:20]}{self._ending}"


def exam_folder_name(seed: int, index: int) -> str:
    """Name of an exam's folder in the export."""
    return hashlib.sha256(f"anatprep phantom folder {seed} {index}".encode()).hexdigest()[:10].upper()


def save(dataset: Dataset, path: Path) -> None:
    """Write a data set with preamble and file meta information."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
