"""One DICOM dataset -> one `ImageHeader` for each of its frames.

The only module that reads DICOM attributes. Reading is lenient, since exports are not
clean: what cannot be understood becomes None (`attributes.py`). What cannot be placed in
the patient is refused with a reason; a position is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydicom.dataset import Dataset

from dicomgeom.attributes import Attributes
from dicomgeom.errors import GeometryError, UnusableFile
from dicomgeom.plane import ImagePlane, orthonormal_axes

MR_IMAGE_CLASSES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.4",  # MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.3",  # Enhanced MR Color Image Storage
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image Storage
    }
)

DERIVED_TOKENS: Final = frozenset(
    {
        "MPR",
        "MIP",
        "MINIP",
        "PROJECTION IMAGE",
        "ADC",
        "SUB",
        "SUBTRACTION",
        "CSA MPR",
        "CSAPARALLEL",
        "REFORMATTED",
    }
)
"""Image Type values that mean computed from other images. DERIVED alone proves nothing:
exports re-written by an archive carry it on every original."""

MAP_TOKENS: Final = frozenset(
    {"T1 MAP", "T2 MAP", "T2_STAR MAP", "T2STAR MAP", "T1MAP", "T2MAP", "MAP", "PERFUSION_MAP"}
)
PHASE_TOKENS: Final = frozenset({"P", "PHASE", "PHASE MAP", "VELOCITY", "VELOCITY MAP"})
LOCALIZER_TEXT: Final = re.compile(r"locali[sz]|scout|survey|\bloc\b|3[ _-]?plan", re.IGNORECASE)
FAT_SUPPRESSION_TEXT: Final = re.compile(
    r"(?<![a-z])(fs|fatsat|fat.?sat|spair|spir|stir|dixon.?w)(?![a-z])", re.IGNORECASE
)
VELOCITY_SEQUENCE: Final = re.compile(r"_v\d+(in|ap|rl|fh|through)?", re.IGNORECASE)

READ_TAGS: Final = [
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
    "FrameOfReferenceUID", "Modality", "Manufacturer", "PatientID", "ImageType", "SeriesDescription",
    "ProtocolName", "SequenceName", "PulseSequenceName", "BodyPartExamined", "ScanningSequence",
    "ScanOptions", "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "SeriesDate",
    "SeriesTime", "ContentTime", "SeriesNumber", "AcquisitionNumber", "InstanceNumber", "EchoTime",
    "RepetitionTime", "InversionTime", "FlipAngle", "DiffusionBValue", "TriggerTime", "NominalInterval",
    "CardiacNumberOfImages", "TemporalPositionIdentifier", "Rows", "Columns", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "NumberOfFrames",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "BitsAllocated",
    "SamplesPerPixel", "HeartRate",
]  # fmt: skip
"""All that is ever read of a file; nothing here names the patient but Patient ID, which is hashed."""


@dataclass(frozen=True)
class ImageHeader:
    """One frame: identity, plane, contrast and timing. None = the file does not say."""

    frame: int
    plane: ImagePlane
    cosine_residual: float
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    patient_id: str
    role: str
    modality: str
    manufacturer: str
    series_description: str
    protocol_name: str
    body_part: str
    image_type: str
    sequence: str
    contrast_kind: str
    fat_suppressed: bool
    series_number: int | None
    acquisition_number: int | None
    instance_number: int | None
    acquired_at: datetime | None
    content_time: str
    echo_time_ms: float | None
    repetition_time_ms: float | None
    inversion_time_ms: float | None
    flip_angle_deg: float | None
    b_value: float | None
    trigger_time_ms: float | None
    nominal_interval_ms: float | None
    cardiac_images: int | None
    temporal_position: int | None
    transfer_syntax: str


def read_headers(dataset: Dataset) -> list[ImageHeader]:
    """Every frame of one file.

    Raises
    ------
    UnusableFile
        With the reason why the file holds no image that could be placed in the patient.
    """
    top = Attributes(dataset)
    _refuse_what_is_no_mr_image(top)
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    if frames:
        return list(_enhanced(dataset, frames))
    if (top.integer("NumberOfFrames") or 1) > 1:
        raise UnusableFile(
            "multi-frame-without-groups", "several frames but no functional groups to place them"
        )
    return [_header(top, frame=0)]


def _refuse_what_is_no_mr_image(top: Attributes) -> None:
    modality = top.text("Modality")
    if modality != "MR":
        raise UnusableFile("not-mr", f"modality {modality or 'missing'}")
    if not (top.integer("Rows") and top.integer("Columns")):
        raise UnusableFile("not-an-image", "no rows and columns")
    if top.text("SOPClassUID") not in MR_IMAGE_CLASSES:
        raise UnusableFile("not-an-mr-image-class", "a secondary capture or another class than MR image")
    tokens = set(top.texts("ImageType"))
    if "MOSAIC" in tokens:
        raise UnusableFile("siemens-mosaic", "tiles of several slices in one image are not taken apart")
    if "VFRAME" in tokens and not top.numbers("ImagePositionPatient"):
        raise UnusableFile("uih-grid", "tiles of several slices in one image are not taken apart")


def _enhanced(dataset: Dataset, frames: Any) -> Iterator[ImageHeader]:
    """Functional groups decide: a frame's own group first, then the shared one (C.7.6.16)."""
    shared_groups = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    shared = list(_macros(shared_groups[0]))
    for index, group in enumerate(frames):
        yield _header(Attributes(*_macros(group), *shared, dataset), frame=index)


def _macros(group: Dataset) -> Iterator[Dataset]:
    """The first items of a functional group's macros (each macro is a sequence of one item)."""
    for element in group:
        if element.VR == "SQ" and element.value:
            yield element.value[0]


def _header(source: Attributes, frame: int) -> ImageHeader:
    plane, residual = _plane(source)
    image_type = source.texts("FrameType") or source.texts("ImageType")
    description = source.described("SeriesDescription")
    protocol = source.described("ProtocolName")
    tokens = {token.upper() for token in image_type}
    return ImageHeader(
        frame=frame,
        plane=plane,
        cosine_residual=residual,
        sop_instance_uid=source.text("SOPInstanceUID"),
        series_instance_uid=source.text("SeriesInstanceUID"),
        study_instance_uid=source.text("StudyInstanceUID"),
        patient_id=source.described("PatientID"),
        role=_role(tokens, f"{description} {protocol}"),
        modality=source.text("Modality"),
        manufacturer=source.described("Manufacturer"),
        series_description=description,
        protocol_name=protocol,
        body_part=source.text("BodyPartExamined").upper(),
        image_type="\\".join(image_type),
        sequence="\\".join(sorted(source.texts("ScanningSequence"))),
        contrast_kind=_contrast_kind(tokens, source.text("SequenceName") or source.text("PulseSequenceName")),
        fat_suppressed=_fat_suppressed(source, f"{description} {protocol}"),
        series_number=source.integer("SeriesNumber"),
        acquisition_number=source.integer("AcquisitionNumber"),
        instance_number=source.integer("InstanceNumber"),
        acquired_at=_acquired_at(source),
        content_time=source.text("ContentTime"),
        echo_time_ms=source.number("EchoTime") or source.number("EffectiveEchoTime"),
        repetition_time_ms=source.number("RepetitionTime"),
        inversion_time_ms=source.number("InversionTime") or source.number("InversionTimes") or None,
        flip_angle_deg=source.number("FlipAngle"),
        b_value=source.number("DiffusionBValue"),
        trigger_time_ms=_first(source, "TriggerTime", "NominalCardiacTriggerDelayTime"),
        nominal_interval_ms=_first(source, "NominalInterval", "RRIntervalTimeNominal"),
        cardiac_images=source.integer("CardiacNumberOfImages"),
        temporal_position=source.integer("TemporalPositionIndex")
        or source.integer("TemporalPositionIdentifier"),
        transfer_syntax=source.text("TransferSyntaxUID"),
    )


def _first(source: Attributes, *keywords: str) -> float | None:
    return next((n for n in map(source.number, keywords) if n is not None), None)


def _plane(source: Attributes) -> tuple[ImagePlane, float]:
    found = {
        "Image Position (Patient)": (source.numbers("ImagePositionPatient"), 3),
        "Image Orientation (Patient)": (source.numbers("ImageOrientationPatient"), 6),
        "Pixel Spacing": (source.numbers("PixelSpacing"), 2),
    }
    missing = [name for name, (numbers, count) in found.items() if len(numbers) != count]
    if missing:
        raise UnusableFile("no-position", f"missing or unreadable: {', '.join(missing)}")
    position, orientation, spacing = (numbers for numbers, _ in found.values())
    try:
        plane = ImagePlane.from_dicom(
            position,
            orientation,
            spacing,
            columns=source.integer("Columns") or 0,
            rows=source.integer("Rows") or 0,
            frame_of_reference=source.text("FrameOfReferenceUID"),
        )
        return plane, orthonormal_axes(orientation[:3], orientation[3:])[2]
    except GeometryError as error:
        raise UnusableFile("bad-geometry", str(error)) from error


def _role(tokens: set[str], text: str) -> str:
    if tokens & DERIVED_TOKENS:
        return "derived"
    if "LOCALIZER" in tokens or LOCALIZER_TEXT.search(text):
        return "localizer"
    return "original"


def _contrast_kind(tokens: set[str], sequence_name: str) -> str:
    """What one frame's header tells of its kind: map, flow-phase, flow-magnitude or ""."""
    if tokens & MAP_TOKENS:
        return "map"
    encodes_velocity = bool(VELOCITY_SEQUENCE.search(sequence_name)) or bool(
        tokens & {"VELOCITY", "VELOCITY MAP"}
    )
    if tokens & PHASE_TOKENS:
        return "flow-phase"
    return "flow-magnitude" if encodes_velocity else ""


def _fat_suppressed(source: Attributes, text: str) -> bool:
    return "FS" in source.texts("ScanOptions") or bool(FAT_SUPPRESSION_TEXT.search(text))


def _acquired_at(source: Attributes) -> datetime | None:
    """When the image was acquired, by the best of its attributes that is a real moment."""
    candidates = (
        source.text("FrameAcquisitionDateTime"),
        source.text("AcquisitionDateTime"),
        source.text("AcquisitionDate") + source.text("AcquisitionTime"),
        source.text("SeriesDate") + source.text("SeriesTime"),
    )
    for text in candidates:
        digits = re.match(r"(\d{14})(?:\.(\d{1,6}))?", text)
        if not digits:
            continue
        try:
            moment = datetime.strptime(digits[1], "%Y%m%d%H%M%S")
        except ValueError:
            continue  # de-identified dates such as 20120000
        return moment.replace(microsecond=int((digits[2] or "0").ljust(6, "0")))
    return None
