"""Predicted classes as DICOM SEG objects that refer to the images they were made of.

One object for each series and phase of a stack (DICOM PS3.3 A.51, A.86; highdicom), on the images' own
pixels: a pixel takes the class of the store's pixel it lies on. It carries the patient's identity, as any
object of an exam must: it goes back to where the exam came from, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import polars as pl
import pydicom
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.coding import Code

from dicomgeom.catalogue import Catalogue
from dicomgeom.plane import ImagePlane
from dicomgeom.privacy import hashed
from dicomgeom.row_planes import plane_of
from dicomgeom.sources import open_file
from pretext_targets.predicted import PredictedStack
from pretext_targets.resample import resample_labels
from pretext_targets.unknown_phases import name_of, numbered

STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
CODES: Mapping[str, Code] = {
    "LV cavity": Code("87878005", "SCT", "Left ventricle"),
    "LV myocardium": Code("74281007", "SCT", "Myocardium"),
    "RV cavity": Code("53085002", "SCT", "Right ventricle"),
    "LA": Code("82471001", "SCT", "Left atrium"),
    "RA": Code("73829009", "SCT", "Right atrium"),
}
"""SNOMED CT codes of the structures we know; others are said to be a structure, and named by their label."""

EMPTY_WHERE_ABSENT = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
"""Attributes of type 2: de-identified images may lack them, the new object has them empty."""

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SERIES_NUMBER = 9000
"""Series of ours count from here on, past those of scanners."""


@dataclass(frozen=True)
class Writer:
    """What the objects say of their maker: name, version, and the network's hash."""

    name: str
    version: str
    network: str


@dataclass(frozen=True)
class _Source:
    """One image of a stack: its row of the catalogue, its plane and its classes."""

    row: Mapping[str, Any]
    plane: ImagePlane
    classes: NDArray[np.uint8]


def write_segs(
    folder: Path, catalogue: Catalogue, stacks: Sequence[PredictedStack], writer: Writer
) -> list[Path]:
    """Write the objects of all stacks that the catalogue knows.

    Returns
    -------
    list of Path
        Files named by the keys of study and stack, series and phase.
    """
    wanted = {stack.stack_key: stack for stack in stacks if stack.placed}
    found: list[Path] = []
    for (stack_id,), images in catalogue.images.filter(pl.col("stack_id") != "").group_by(
        "stack_id", maintain_order=True
    ):
        stack = wanted.get(hashed(catalogue.salt, str(stack_id)))
        if stack is not None:
            found += _write_stack(folder, images, stack, writer)
    return found


def _write_stack(folder: Path, images: pl.DataFrame, stack: PredictedStack, writer: Writer) -> list[Path]:
    groups: dict[tuple[str, int], list[_Source]] = {}
    # A store numbers the images of unknown phase among those that it could hold.
    images = numbered(images.filter(pl.col("role") == "original"), ["slice_index"])
    for row in images.sort("series_instance_uid", "phase_index", "slice_index").to_dicts():
        source = _source(row, stack)
        if source is not None:
            groups.setdefault((row["series_instance_uid"], int(row["phase_index"])), []).append(source)
    series = {uid: number for number, uid in enumerate(dict.fromkeys(uid for uid, _ in groups))}
    found = []
    for (uid, phase), sources in groups.items():
        path = folder / f"{stack.stack_key.hex()}-{series[uid]:02d}-{name_of(phase)}.dcm"
        made = segmentation_of(sources, stack.segment_names, writer, SERIES_NUMBER + series[uid])
        made.save_as(path)
        found.append(path)
    return found


def _source(row: Mapping[str, Any], stack: PredictedStack) -> _Source | None:
    """The image with its classes; None when nothing was predicted for it."""
    if row["slice_index"] not in stack.slices or row["phase_index"] not in stack.phases:
        return None
    place, phase = stack.slices.index(row["slice_index"]), stack.phases.index(row["phase_index"])
    if not stack.known[phase, place]:
        return None
    native = plane_of(row)
    classes = resample_labels(
        stack.classes[phase, place], stack.plane(place, native.frame_of_reference), native
    )
    return _Source(row, native, classes)


def segmentation_of(
    sources: Sequence[_Source], segment_names: Sequence[str], writer: Writer, series_number: int
) -> Dataset:
    """One SEG object of the images of a series at one phase."""
    # An object has one frame of reference; scanners that give every file its own mean one and the same.
    frame = sources[0].plane.frame_of_reference
    headers = [_as_single_frame(source, frame) for source in sources]
    made: Dataset = Segmentation(
        source_images=headers,
        pixel_array=np.stack([source.classes for source in sources]),
        segmentation_type=SegmentationTypeValues.LABELMAP,
        segment_descriptions=[_description(i, name, writer) for i, name in enumerate(segment_names) if i],
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=writer.name,
        manufacturer_model_name=writer.network,
        software_versions=writer.version,
        device_serial_number="0",
        omit_empty_frames=False,
        content_label="PREDICTED",
    )
    _refer_to_frames(made, sources, headers)
    return made


def _description(number: int, name: str, writer: Writer) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=STRUCTURE,
        segmented_property_type=CODES.get(name, STRUCTURE),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=writer.name,
            family=Code("123110", "DCM", "Artificial Intelligence"),
            version=writer.version,
        ),
    )


def _as_single_frame(source: _Source, frame_of_reference: str) -> Dataset:
    """The header of an image; of a frame of a larger object, a header as if it stood alone."""
    row, plane = source.row, source.plane
    with open_file(row["root"], row["path"]) as file:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
    for name in EMPTY_WHERE_ABSENT:
        if name not in header:
            setattr(header, name, "")
    header.Rows, header.Columns = plane.rows, plane.columns
    header.ImagePositionPatient = [float(f"{value:.10g}") for value in plane.origin_mm]
    header.ImageOrientationPatient = [float(f"{value:.10g}") for value in (*plane.right, *plane.down)]
    header.PixelSpacing = [plane.row_spacing_mm, plane.column_spacing_mm]
    header.FrameOfReferenceUID = frame_of_reference
    thickness = header.get("SliceThickness")
    header.SliceThickness = thickness or 1.0
    if "NumberOfFrames" in header or "PerFrameFunctionalGroupsSequence" in header or row["frame"]:
        for name in (
            "NumberOfFrames",
            "SharedFunctionalGroupsSequence",
            "PerFrameFunctionalGroupsSequence",
            "DimensionIndexSequence",
            "DimensionOrganizationSequence",
        ):
            if name in header:
                delattr(header, name)
        header.SOPClassUID = MR_IMAGE
        header.SOPInstanceUID = hd.UID()
    return header


def _refer_to_frames(made: Dataset, sources: Sequence[_Source], headers: Sequence[Dataset]) -> None:
    """Where an image is a frame of a larger object, refer to that object and frame, not to the stand-in."""
    stood_in = {
        str(header.SOPInstanceUID): source.row
        for source, header in zip(sources, headers, strict=True)
        if header.SOPInstanceUID != source.row["sop_instance_uid"]
    }
    if not stood_in:
        return
    classes = {uid: _class_of(row) for uid, row in stood_in.items()}
    for group in made.PerFrameFunctionalGroupsSequence:
        for derivation in group.DerivationImageSequence:
            for image in derivation.SourceImageSequence:
                row = stood_in[str(image.ReferencedSOPInstanceUID)]
                image.ReferencedSOPClassUID = classes[str(image.ReferencedSOPInstanceUID)]
                image.ReferencedSOPInstanceUID = row["sop_instance_uid"]
                image.ReferencedFrameNumber = int(row["frame"]) + 1
    for series in made.get("ReferencedSeriesSequence", []):
        kept: dict[str, Dataset] = {}
        for one in series.ReferencedInstanceSequence:
            row = stood_in[str(one.ReferencedSOPInstanceUID)]
            one.ReferencedSOPClassUID = classes[str(one.ReferencedSOPInstanceUID)]
            one.ReferencedSOPInstanceUID = row["sop_instance_uid"]
            kept[row["sop_instance_uid"]] = one
        series.ReferencedInstanceSequence = list(kept.values())
    if "SourceImageSequence" in made:
        made.SourceImageSequence = list(made.ReferencedSeriesSequence[0].ReferencedInstanceSequence)


def _class_of(row: Mapping[str, Any]) -> str:
    with open_file(row["root"], row["path"]) as file:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=["SOPClassUID"])
    return str(header.SOPClassUID)
