"""An exam's images as classic single-frame data sets (MR Image Storage, PS3.3 A.4)."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from dicomgeom.errors import WrongUse
from phantoms.exam import SLICE_S, Exam, ExamImage, ExamSeries

FILES_A_FOLDER = 60
"""How many files, on average, lie in one of an exam's meaningless folders."""

VR_OF_PIXELS = "OW"


def decimal(number: float) -> str:
    """A number in the 16 characters of a DICOM decimal string (PS3.5 6.2), as exact as they allow."""
    for digits in range(16, 0, -1):
        text = f"{float(number):.{digits}g}"
        if len(text) <= 16:
            return text
    raise WrongUse(f"{number!r} cannot be written as a DICOM decimal string")


def study_started_at(exam: Exam) -> datetime:
    """An invented moment, the same for the same exam."""
    rng = exam.draws("date")
    day = datetime(2019, 1, 1) + timedelta(days=int(rng.integers(0, 1800)))
    return day + timedelta(seconds=int(rng.integers(7 * 3600, 18 * 3600)))


def patient_dataset(exam: Exam) -> Dataset:
    """Patient, study, equipment and frame of reference, the same in all files of an exam."""
    started, flavour = study_started_at(exam), exam.flavour
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = f"Phantom^Number {exam.seed}-{exam.index}"
    dataset.PatientID = exam.patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = exam.sex
    dataset.PatientSize = decimal(round(exam.height_m, 2))
    dataset.PatientWeight = decimal(round(exam.weight_kg, 1))
    dataset.PatientComments = "Digital phantom, not a person"
    dataset.StudyInstanceUID = exam.uid("study")
    dataset.StudyDate = started.strftime("%Y%m%d")
    dataset.StudyTime = started.strftime("%H%M%S")
    dataset.StudyID = str(exam.index)
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = exam.study_description
    dataset.Modality = "MR"
    dataset.Manufacturer = flavour.manufacturer
    dataset.ManufacturerModelName = flavour.model
    dataset.SoftwareVersions = flavour.software
    dataset.DeviceSerialNumber = "0"
    dataset.MagneticFieldStrength = exam.field_tesla
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID = exam.frame_of_reference
    dataset.PositionReferenceIndicator = ""
    return dataset


def series_dataset(exam: Exam, series: ExamSeries) -> Dataset:
    """What all images of a series share."""
    dataset, taken = patient_dataset(exam), series.acquisition
    started = study_started_at(exam) + timedelta(seconds=series.starts_at_s)
    dataset.SOPClassUID = MRImageStorage
    dataset.BodyPartExamined = exam.body_part
    if exam.laterality:
        dataset.Laterality = exam.laterality
    dataset.SeriesInstanceUID = series.uid
    dataset.SeriesNumber = series.number
    dataset.SeriesDescription = series.description
    dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = started.strftime("%Y%m%d")
    dataset.SeriesTime = started.strftime("%H%M%S")
    dataset.ImageType = exam.flavour.image_type(taken.kind)
    dataset.ScanningSequence = taken.scanning_sequence
    dataset.SequenceVariant = taken.sequence_variant
    dataset.ScanOptions = list(taken.scan_options) if taken.scan_options else ""
    dataset.MRAcquisitionType = "2D"
    if name := exam.flavour.sequence_name(taken.kind):
        dataset.SequenceName = name
    dataset.SliceThickness = decimal(series.thickness_mm)
    if series.spacing_between_mm is not None:
        dataset.SpacingBetweenSlices = decimal(series.spacing_between_mm)
    dataset.EchoTime = decimal(taken.echo_ms)
    dataset.RepetitionTime = decimal(taken.repetition_ms)
    if taken.inversion_ms is not None:
        dataset.InversionTime = decimal(taken.inversion_ms)
    dataset.FlipAngle = decimal(taken.flip_deg)
    dataset.EchoTrainLength = taken.echo_train
    dataset.NumberOfAverages = "1"
    _gate(dataset, exam, series)
    _describe_pixels(dataset, exam, series)
    return dataset


def _gate(dataset: Dataset, exam: Exam, series: ExamSeries) -> None:
    """Heart rate, and how many phases were reconstructed."""
    if series.acquisition.beats and exam.beat_ms is not None:
        dataset.NominalInterval = round(exam.beat_ms)
        dataset.HeartRate = round(60000 / exam.beat_ms)
        dataset.CardiacNumberOfImages = series.acquisition.phases


def _describe_pixels(dataset: Dataset, exam: Exam, series: ExamSeries) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    phase = series.acquisition.kind == "flow-phase"
    if phase and exam.flavour.name == "ge":
        block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x2F, "SS", 1)
    if phase and exam.flavour.rescaled:
        dataset.RescaleSlope, dataset.RescaleIntercept = "2", "-4096"
        dataset.RescaleType = "US"
    elif exam.flavour.rescaled:
        slope = float(exam.draws("rescale").uniform(0.4, 3.0))
        dataset.RescaleSlope, dataset.RescaleIntercept = decimal(round(slope, 5)), "0"
        dataset.RescaleType = "US"


def image_uid(exam: Exam, series: ExamSeries, image: ExamImage) -> str:
    """SOP Instance UID of an image as a file of its own."""
    return exam.uid("image", str(series.number), str(image.slice_index), str(image.phase_index))


def image_dataset(exam: Exam, series: ExamSeries, shared: Dataset, image: ExamImage, number: int) -> Dataset:
    """One image as a data set ready to be encoded; elements of `shared` stay the same objects."""
    dataset, plane = Dataset(), image.plane
    dataset.update(shared)
    order = [slice_index for slice_index, _ in series.planes].index(image.slice_index)
    taken = study_started_at(exam) + timedelta(seconds=series.starts_at_s + SLICE_S * order)
    dataset.SOPInstanceUID = image_uid(exam, series, image)
    dataset.AcquisitionTime = taken.strftime("%H%M%S.%f")
    # Where no file states the time after the R wave, the times of the images tell the phases apart.
    dataset.ContentTime = (taken + timedelta(milliseconds=round(image.trigger_ms))).strftime("%H%M%S.%f")
    dataset.AcquisitionNumber = order + 1
    dataset.InstanceNumber = number
    if "CG" in series.acquisition.scan_options:
        dataset.TriggerTime = decimal(image.trigger_ms) if exam.flavour.trigger_time else ""
    if series.acquisition.beats and exam.flavour.temporal_position:
        dataset.TemporalPositionIdentifier = image.phase_index + 1
        dataset.NumberOfTemporalPositions = series.acquisition.phases
    dataset.ImagePositionPatient = [decimal(value) for value in plane.origin_mm]
    dataset.ImageOrientationPatient = [decimal(value) for value in (*plane.right, *plane.down)]
    dataset.SliceLocation = decimal(float(plane.origin_mm @ plane.normal))
    dataset.PixelSpacing = [decimal(plane.row_spacing_mm), decimal(plane.column_spacing_mm)]
    dataset.Rows, dataset.Columns = image.pixels.shape
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    # The sky is dark and the fat bright: a sample of the pixels says enough.
    low, high = np.percentile(image.pixels[::4, ::4], [1, 99]) * slope + intercept
    dataset.WindowCenter = decimal(round((low + high) / 2))
    dataset.WindowWidth = decimal(max(round(high - low + 1), 1))
    set_pixels(dataset, image.pixels)
    return dataset


def set_pixels(dataset: Dataset, pixels: NDArray[Any]) -> None:
    """Put 16-bit pixels into a data set, little endian."""
    if "PixelData" in dataset:
        del dataset["PixelData"]
    dataset.PixelData = pixels.astype("<u2").tobytes()
    dataset["PixelData"].VR = VR_OF_PIXELS


class FileNames:
    """Names without meaning, and in no order: a hash decides folder and name."""

    def __init__(self, exam: Exam) -> None:
        rng = exam.draws("names")
        self._ending = ("", ".dcm", ".IMA")[int(rng.integers(3))]
        count = sum(1 if exam.enhanced else series.images for series in exam.series)
        self._folders = max(1, round(count / FILES_A_FOLDER))

    def of(self, sop_instance_uid: str) -> Path:
        """Path of an image inside its exam's folder."""
        digest = hashlib.sha256(sop_instance_uid.encode()).hexdigest()
        return Path(f"{int(digest[:8], 16) % self._folders:04X}") / f"{digest[8:20]}{self._ending}"


def exam_folder_name(seed: int, index: int) -> str:
    """Name of an exam's folder in the export."""
    return hashlib.sha256(f"anatprep phantom folder {seed} {index}".encode()).hexdigest()[:10].upper()
