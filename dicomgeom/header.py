"""One DICOM dataset -> one `ImageHeader` for each of its frames.

With the modules it calls (`contrast`, `enhanced`, `siemens_mosaic`, `uih_grid`) the only one
that reads DICOM attributes. Reading is lenient, since exports are not
clean: what cannot be understood becomes None (`attributes.py`). What cannot be placed in
the patient is refused with a reason; a position is never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dicomgeom import contrast, enhanced, siemens_mosaic, uih_grid
from dicomgeom.attributes import Attributes, Source, private_tags
from dicomgeom.elements import TRANSFER_SYNTAX, Wanted
from dicomgeom.errors import GeometryError, UnusableFile
from dicomgeom.image_fields import (
    LARGEST_COORDINATE_MM,
    acquired_at,
    first_number,
    temporal_position,
    trigger_time_ms,
)
from dicomgeom.plane import ImagePlane, orthonormal_axes
from dicomgeom.tiles import TiledImage

MOSAIC: Final = "MOSAIC"
GRID: Final = "VFRAME"
"""Image Type values of Siemens and UIH for an image made of tiles."""

CLASSIC_MR_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.4"
MR_IMAGE_CLASSES: Final = frozenset(
    {
        CLASSIC_MR_IMAGE,
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.3",  # Enhanced MR Color Image Storage
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image Storage
    }
)

SPACING_RANGE_MM: Final = (1e-3, 1e3)
"""Spacings of pixels outside of it are damaged or in another unit."""

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
    "SamplesPerPixel", "HeartRate", "ComplexImageComponent", "PhaseContrast", "SpacingBetweenSlices",
]  # fmt: skip
"""All that is ever read of a file; nothing here names the patient but Patient ID, which is hashed."""

PRIVATE_TAGS: Final = tuple(private_tags(contrast.GE_GROUP, contrast.GE_COMPONENT))
"""Small private elements that are read too, where the reader offers them."""

MEDIA_CLASS: Final = 0x00020002
WANTED: Final = Wanted.of([*READ_TAGS, *PRIVATE_TAGS, MEDIA_CLASS, TRANSFER_SYNTAX])
"""What either way of reading looks for."""

DICOMDIR_CLASS: Final = "1.2.840.10008.1.3.10"

TILE_TAGS: Final = siemens_mosaic.TAGS + uih_grid.TAGS
"""Large private elements that only images made of tiles need (see `holds_tiles`)."""


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


def holds_tiles(dataset: Source) -> bool:
    """Whether an image is made of tiles, so that `TILE_TAGS` must be fetched before `read_headers`."""
    return not {MOSAIC, GRID}.isdisjoint(Attributes(dataset).texts("ImageType"))


def read_headers(dataset: Source) -> list[ImageHeader]:
    """Every frame of one file; a tile of a mosaic or grid counts as a frame.

    Raises
    ------
    UnusableFile
        With the reason why the file holds no image that could be placed in the patient.
    """
    top = Attributes(dataset)
    _refuse_what_is_no_mr_image(top)
    several = (top.integer("NumberOfFrames") or 1) > 1
    # Converters leave an empty group behind in classic images: there it means nothing.
    may_be_enhanced = several or top.text("SOPClassUID") != CLASSIC_MR_IMAGE
    if may_be_enhanced and top.items("PerFrameFunctionalGroupsSequence"):
        if MOSAIC in top.texts("ImageType"):
            raise UnusableFile("siemens-mosaic", "mosaics as frames of an enhanced image are not taken apart")
        return [_header(f.attributes, n, f.place) for n, f in enumerate(enhanced.frames_of(top))]
    if several:
        raise UnusableFile(
            "multi-frame-without-groups", "several frames but no functional groups to place them"
        )
    tiled = tiles_of(top)
    if tiled is None:
        return [_header(top, frame=0)]
    return [_header(tiled.tile(number), number) for number in range(tiled.tiling.count)]


def tiles_of(top: Attributes) -> TiledImage | None:
    """Where the tiles of a Siemens mosaic or a UIH grid lie; None for an image that is whole.

    Raises
    ------
    UnusableFile
        When the file does not prove where its tiles lie.
    """
    tokens = set(top.texts("ImageType"))
    if MOSAIC in tokens:
        return siemens_mosaic.tiles_of_mosaic(top)
    if GRID in tokens:
        return uih_grid.tiles_of_grid(top)
    return None


def _refuse_what_is_no_mr_image(top: Attributes) -> None:
    modality = top.text("Modality")
    if modality != "MR":
        raise UnusableFile("not-mr", f"modality {modality or 'missing'}")
    if not (top.integer("Rows") and top.integer("Columns")):
        raise UnusableFile("not-an-image", "no rows and columns")
    if top.text("SOPClassUID") not in MR_IMAGE_CLASSES:
        raise UnusableFile("not-an-mr-image-class", "a secondary capture or another class than MR image")
    if (top.integer("SamplesPerPixel") or 1) != 1:
        raise UnusableFile("colour", "several samples per pixel: a picture of results, no measured image")


def _header(source: Attributes, frame: int, place: Attributes | None = None) -> ImageHeader:
    plane, residual = _plane(source, place or source)
    image_type = source.texts("FrameType") or source.texts("ImageType")
    description = source.described("SeriesDescription")
    protocol = source.described("ProtocolName")
    tokens = {token.upper() for token in image_type}
    words = f"{description} {protocol}"
    velocity = contrast.velocity_encoding(source)
    return ImageHeader(
        frame=frame,
        plane=plane,
        cosine_residual=residual,
        sop_instance_uid=source.text("SOPInstanceUID"),
        series_instance_uid=source.text("SeriesInstanceUID"),
        study_instance_uid=source.text("StudyInstanceUID"),
        patient_id=source.described("PatientID"),
        role=contrast.role_of(tokens, words)[0],
        modality=source.text("Modality"),
        manufacturer=source.described("Manufacturer"),
        series_description=description,
        protocol_name=protocol,
        body_part=source.text("BodyPartExamined").upper(),
        image_type="\\".join(image_type),
        sequence="\\".join([*sorted(source.texts("ScanningSequence")), *([velocity] if velocity else [])]),
        contrast_kind=contrast.contrast_kind(source, tokens, words),
        fat_suppressed=contrast.fat_suppressed(source, words),
        series_number=source.integer("SeriesNumber"),
        acquisition_number=source.integer("AcquisitionNumber"),
        instance_number=source.integer("InstanceNumber"),
        acquired_at=acquired_at(source),
        content_time=source.text("ContentTime"),
        echo_time_ms=first_number(source, "EchoTime", "EffectiveEchoTime"),
        repetition_time_ms=source.number("RepetitionTime"),
        inversion_time_ms=source.number("InversionTime") or source.number("InversionTimes") or None,
        flip_angle_deg=source.number("FlipAngle"),
        b_value=source.number("DiffusionBValue"),
        trigger_time_ms=trigger_time_ms(source),
        nominal_interval_ms=first_number(source, "NominalInterval", "RRIntervalTimeNominal"),
        cardiac_images=source.integer("CardiacNumberOfImages"),
        temporal_position=temporal_position(source),
        transfer_syntax=source.text("TransferSyntaxUID"),
    )


def _plane(source: Attributes, place: Attributes) -> tuple[ImagePlane, float]:
    """The plane and the residual of its cosines; `place` alone may say where it lies."""
    found = {
        "Image Position (Patient)": (place.numbers("ImagePositionPatient"), 3),
        "Image Orientation (Patient)": (place.numbers("ImageOrientationPatient"), 6),
        "Pixel Spacing": (place.numbers("PixelSpacing"), 2),
    }
    missing = [name for name, (numbers, count) in found.items() if len(numbers) != count]
    if missing:
        raise UnusableFile("no-position", f"missing or unreadable: {', '.join(missing)}")
    position, orientation, spacing = (numbers for numbers, _ in found.values())
    if max(map(abs, position)) > LARGEST_COORDINATE_MM:
        raise UnusableFile("bad-geometry", f"a coordinate beyond {LARGEST_COORDINATE_MM:g} mm")
    if not all(SPACING_RANGE_MM[0] <= one <= SPACING_RANGE_MM[1] for one in spacing):
        raise UnusableFile("bad-geometry", f"pixel spacing {spacing[0]:g}, {spacing[1]:g} mm")
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
