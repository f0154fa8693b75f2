"""The truth of a series as a DICOM segmentation object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import highdicom as hd
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from phantoms.segments import CARDIAC_SEGMENTS, Segment
from phantoms.tissues import Tissue

_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")


def segment_numbers(
    tissue: NDArray[np.uint8], segments: Sequence[Segment] = CARDIAC_SEGMENTS
) -> NDArray[np.uint8]:
    """Tissue image -> segment numbers, 0 = background; same shape."""
    table = np.zeros(len(Tissue), dtype=np.uint8)
    for segment in segments:
        for part in segment.tissues:
            table[part] = segment.number
    numbers: NDArray[np.uint8] = table[tissue]
    return numbers


def _description(segment: Segment) -> SegmentDescription:
    return SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.name,
        segmented_property_category=_STRUCTURE,
        segmented_property_type=Code(segment.code, segment.scheme, segment.meaning),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="phantom truth",
            family=Code("123109", "DCM", "Manual Processing"),
            version="1",
        ),
    )


@lru_cache(maxsize=8)
def _descriptions(segments: tuple[Segment, ...]) -> tuple[SegmentDescription, ...]:
    """Descriptions of many segments, made once for all series: each takes highdicom half a millisecond."""
    return tuple(_description(segment) for segment in segments)


@dataclass(frozen=True)
class SegmentationIdentity:
    """UIDs and number of a segmentation object, given so that the same exam gives the same bytes."""

    series_uid: str
    sop_uid: str
    dimension_uid: str
    series_number: int


@dataclass(frozen=True)
class SourceFrame:
    """What a frame of the segmentation refers to: an image, or a frame (from 1) of one."""

    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None = None


def segmentation_of(
    sources: Sequence[Dataset],
    tissue: NDArray[np.uint8],
    identity: SegmentationIdentity,
    segments: Sequence[Segment],
    references: Sequence[SourceFrame] | None = None,
) -> Dataset:
    """A LABELMAP segmentation of a cine series, one frame an image, in the order of `sources`.

    highdicom makes segmentations of one moment: it refuses two planes at one place. So it makes
    the first moment, and the frames of the others are added to that, told apart by a second
    dimension, Temporal Position Index (0020,9128) of the Frame Content (PS3.3 C.7.6.16.2.2).

    Parameters
    ----------
    sources
        The series' images, slice by slice and in each slice phase by phase.
    tissue : array, shape (images, rows, columns)
        Tissue of each pixel.
    references
        What to refer to instead of the sources: the frames of an enhanced object of the same images.
    """
    refer = references or [SourceFrame(str(s.SOPClassUID), str(s.SOPInstanceUID)) for s in sources]
    places = [tuple(source.ImagePositionPatient) for source in sources]
    first = [i for i, place in enumerate(places) if place not in places[:i]]
    numbers = segment_numbers(tissue, segments)
    made = Segmentation(
        source_images=[sources[i] for i in first],
        pixel_array=numbers[first],
        segmentation_type=SegmentationTypeValues.LABELMAP,
        segment_descriptions=[_description(segment) for segment in segments],
        series_instance_uid=identity.series_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.sop_uid,
        instance_number=1,
        manufacturer="anatprep phantom",
        manufacturer_model_name="truth",
        software_versions="1",
        device_serial_number="0",
        omit_empty_frames=False,
        content_label="TRUTH",
    )
    _all_moments(made, sources, refer, numbers)
    _made_repeatable(made, sources[0], identity.dimension_uid)
    return made


def _all_moments(
    made: Dataset, sources: Sequence[Dataset], refer: Sequence[SourceFrame], numbers: NDArray[np.uint8]
) -> None:
    """Replace the frames of the first moment by those of all moments, in the order of `sources`."""
    by_place = {
        tuple(frame.PlanePositionSequence[0].ImagePositionPatient): frame
        for frame in made.PerFrameFunctionalGroupsSequence
    }
    frames, references, moments = [], {}, dict.fromkeys(by_place, 0)
    for source, frame in zip(sources, refer, strict=True):
        place = tuple(source.ImagePositionPatient)
        moments[place] += 1
        frames.append(_frame_at(by_place[place], frame, moments[place]))
        references[frame.sop_instance_uid] = _reference(frame)
    made.PerFrameFunctionalGroupsSequence = frames
    made.NumberOfFrames = len(frames)
    made.ReferencedSeriesSequence[0].ReferencedInstanceSequence = list(references.values())
    if "SourceImageSequence" in made:
        made.SourceImageSequence = list(references.values())
    if "DimensionOrganizationType" in made:
        del made.DimensionOrganizationType
    made.DimensionIndexSequence.append(_temporal_dimension(made.DimensionIndexSequence[0]))
    pixels = np.ascontiguousarray(numbers).tobytes()
    made.PixelData = pixels + b"\0" * (len(pixels) % 2)


def _frame_at(pattern: Dataset, source: SourceFrame, moment: int) -> Dataset:
    """A frame's functional groups, those of `pattern` at another moment (counted from 1)."""
    frame, content = _without(pattern, "FrameContentSequence", "DerivationImageSequence"), Dataset()
    content.DimensionIndexValues = [*_as_list(pattern.FrameContentSequence[0].DimensionIndexValues), moment]
    content.TemporalPositionIndex = moment
    frame.FrameContentSequence = [content]
    derivation = _without(pattern.DerivationImageSequence[0], "SourceImageSequence")
    image = _without(
        pattern.DerivationImageSequence[0].SourceImageSequence[0],
        "ReferencedSOPInstanceUID",
        "ReferencedSOPClassUID",
    )
    image.ReferencedSOPClassUID = source.sop_class_uid
    image.ReferencedSOPInstanceUID = source.sop_instance_uid
    if source.frame is not None:
        image.ReferencedFrameNumber = source.frame
    derivation.SourceImageSequence = [image]
    frame.DerivationImageSequence = [derivation]
    return frame


def _without(dataset: Dataset, *names: str) -> Dataset:
    """A copy lacking some elements: pydicom's own copies share elements, so setting one changes both."""
    left_out = {Tag(name) for name in names}
    copied = Dataset()
    copied.update({tag: element for tag, element in dataset.items() if tag not in left_out})
    return copied


def _as_list(value: object) -> list[int]:
    return [value] if isinstance(value, int) else list(value)  # type: ignore[call-overload]


def _reference(source: SourceFrame) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.sop_class_uid
    reference.ReferencedSOPInstanceUID = source.sop_instance_uid
    return reference


def _temporal_dimension(other: Dataset) -> Dataset:
    dimension = Dataset()
    dimension.DimensionOrganizationUID = other.DimensionOrganizationUID
    dimension.DimensionIndexPointer = Tag("TemporalPositionIndex")
    dimension.FunctionalGroupPointer = Tag("FrameContentSequence")
    dimension.DimensionDescriptionLabel = "Temporal Position Index"
    return dimension


def _made_repeatable(made: Dataset, source: Dataset, dimension_uid: str) -> None:
    """Replace the moment of writing and the drawn UIDs by fixed ones."""
    for name in ("ContentDate", "InstanceCreationDate", "SeriesDate"):
        if name in made:
            setattr(made, name, source.StudyDate)
    for name in ("ContentTime", "InstanceCreationTime", "SeriesTime"):
        if name in made:
            setattr(made, name, source.StudyTime)
    for item in made.get("ContributingEquipmentSequence", []):
        item.ContributionDateTime = source.StudyDate + source.StudyTime
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in made.get(sequence, []):
            item.DimensionOrganizationUID = dimension_uid


_OWN = ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "ContentLabel")
"""What tells two segmentations of the same frames apart, beside their segments."""


def replaced_segments(
    made: Dataset,
    numbers: NDArray[np.uint8],
    segments: Sequence[Segment],
    identity: SegmentationIdentity,
    content_label: str,
) -> Dataset:
    """Another segmentation of the same frames; what says where they belong is shared with `made`.

    Parameters
    ----------
    numbers : array, shape (frames, rows, columns)
        Segment numbers, 0 = background, in the order of the frames of `made`.
    """
    other = _without(made, "SegmentSequence", "PixelData", *_OWN)
    other.SegmentSequence = list(_descriptions(tuple(segments)))
    other.SOPInstanceUID, other.SeriesInstanceUID = identity.sop_uid, identity.series_uid
    other.SeriesNumber, other.ContentLabel = identity.series_number, content_label
    pixels = np.ascontiguousarray(numbers).tobytes()
    other.PixelData = pixels + b"\0" * (len(pixels) % 2)
    other["PixelData"].VR = "OB"
    return other
