"""Manual annotations: DICOM segmentation objects, matched to the images they were drawn on.

A SEG object (DICOM PS3.3 A.51 BINARY, A.101 LABELMAP) names the images it annotates by SOP
instance UID and, for multi-frame images, frame number. A referenced image for which it
holds no frame is annotated as empty: writers leave empty frames out. Frames lie on the
pixels of their image; they are never placed by their own geometry.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from dicomgeom.errors import NothingUsable, UnusableFile, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.annotations import canonical_name, segment_order
from pretext_targets.tissue_table import FILE as TISSUE_TABLE

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""SOP classes: Segmentation Storage, Label Map Segmentation Storage."""

OPEN_OBJECTS = 4
"""Segmentation objects that one process keeps decoded."""


@dataclass(frozen=True, eq=False)
class SegmentationIndex:
    """Which images of a folder of SEG objects are annotated, by which file.

    Attributes
    ----------
    files : tuple of Path
        The objects, in the order of their content's hash.
    digests : tuple of str
        SHA-256 of each.
    segment_names : tuple of str
        "background", then the heart's segments in canonical order, then others by name.
    skipped : mapping
        Reason -> number of files in the folder that are no usable SEG object.
    """

    files: tuple[Path, ...]
    digests: tuple[str, ...]
    segment_names: tuple[str, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    _whole: Mapping[str, int] = field(default_factory=dict, repr=False)
    _frames: Mapping[tuple[str, int], int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self._whole) + len(self._frames)

    def find(self, image: Mapping[str, Any]) -> int | None:
        """Number of the file that annotates an image (a row of the images table), or None."""
        uid = image["sop_instance_uid"]
        found = self._frames.get((uid, image["frame"]))
        return self._whole.get(uid) if found is None else found

    def annotation(self, number: int, image: Mapping[str, Any]) -> SegAnnotation:
        """The annotation of an image by the file with that number."""
        return SegAnnotation(str(self.files[number]), image["sop_instance_uid"], image["frame"])


@dataclass(frozen=True)
class SegAnnotation:
    """What a SEG object says of one image."""

    path: str
    sop_instance_uid: str
    frame: int

    def read(self, segment_names: tuple[str, ...]) -> NDArray[np.uint8]:
        """See `annotations.Annotation`."""
        return read_labels(self.path, self.sop_instance_uid, self.frame, segment_names)


def index_segmentations(folder: Path, *, progress: Progress = silent) -> SegmentationIndex:
    """Find the SEG objects under a folder and what they annotate.

    Where several annotate one frame, the one whose content's hash comes last wins, so that the
    answer doesn't depend on names or times.

    Raises
    ------
    WrongUse
        When there is no such folder.
    NothingUsable
        When it holds no SEG object.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise WrongUse(f"{folder} is no folder; give the folder that holds the DICOM SEG objects")
    paths = _files_under(folder)
    objects: list[tuple[str, Path, pydicom.Dataset]] = []
    skipped: dict[str, int] = {}
    for done, path in enumerate(paths):
        try:
            objects.append((_digest(path), path, _read_header(path)))
        except UnusableFile as error:
            skipped[error.reason] = skipped.get(error.reason, 0) + 1
        progress("reading segmentations", done=done + 1, total=len(paths))
    if not objects:
        raise NothingUsable(f"{folder} holds no DICOM SEG object; found {len(paths)} other files")
    objects.sort(key=lambda one: one[0])
    whole: dict[str, int] = {}
    frames: dict[tuple[str, int], int] = {}
    for number, (_, _, header) in enumerate(objects):
        for uid, frame in _annotated(header):
            if frame is None:
                whole[uid] = number
            else:
                frames[uid, frame] = number
    labels = {
        str(one.SegmentLabel)
        for _, _, header in objects
        for one in header.SegmentSequence
        if int(one.SegmentNumber) != 0  # a label map may list its background
    }
    return SegmentationIndex(
        files=tuple(path for _, path, _ in objects),
        digests=tuple(digest for digest, _, _ in objects),
        segment_names=segment_order(canonical_name(label) for label in labels),
        skipped=skipped,
        _whole=whole,
        _frames=frames,
    )


def _files_under(folder: Path) -> list[Path]:
    """All files but those of tissue images: in the truth of a phantom they lie beside the segmentations."""
    found: list[Path] = []
    for top, below, names in os.walk(folder):
        if TISSUE_TABLE in names and Path(top) != folder:
            below.clear()
        else:
            found += [Path(top, name) for name in names]
    return sorted(found)


def read_labels(
    path: str, sop_instance_uid: str, frame: int, segment_names: Sequence[str]
) -> NDArray[np.uint8]:
    """The annotation of one image on its own pixels.

    Parameters
    ----------
    path : str
        The SEG object.
    sop_instance_uid : str
        The annotated image.
    frame : int
        Its frame, counted from 0.
    segment_names : sequence of str
        Meaning of the codes to return.

    Returns
    -------
    uint8 array, shape (rows, columns)
        Index into `segment_names`. Where segments overlap the later name wins.

    Raises
    ------
    UnusableFile
        When the object cannot be decoded.
    """
    decoded = _decoded(path)
    code_of = {name: code for code, name in enumerate(segment_names)}
    result = np.zeros(decoded.size, dtype=np.uint8)
    found = decoded.frames.get((sop_instance_uid, frame)) or decoded.frames.get((sop_instance_uid, None), [])
    layers = []
    for position, segment in found:
        pixels = decoded.pixels[position]
        # A label map's frame holds every segment by its number, a binary frame one.
        numbers = decoded.names if segment is None else {segment: decoded.names[segment]}
        for number, name in numbers.items():
            layers.append((code_of[name], pixels == number if segment is None else pixels > 0))
    for code, mask in sorted(layers, key=lambda one: one[0]):
        result[mask] = code
    return result


def read_numbers(path: str, sop_instance_uid: str, frame: int) -> NDArray[np.uint8]:
    """The segment number of every pixel of one image in a label map, 0 where it is none.

    Raises
    ------
    UnusableFile
        When the object cannot be decoded, or is no label map of one byte a pixel.
    """
    decoded = _decoded(path)
    found = decoded.frames.get((sop_instance_uid, frame)) or decoded.frames.get((sop_instance_uid, None), [])
    if not found:
        return np.zeros(decoded.size, dtype=np.uint8)
    position, segment = found[0]
    if segment is not None or decoded.pixels.dtype != np.uint8:
        raise UnusableFile("segmentation-not-a-label-map")
    return np.array(decoded.pixels[position])


@dataclass(frozen=True, eq=False)
class _Decoded:
    size: tuple[int, int]
    pixels: NDArray[Any]
    names: Mapping[int, str]
    frames: Mapping[tuple[str, int | None], list[tuple[int, int | None]]]


@lru_cache(maxsize=OPEN_OBJECTS)
def _decoded(path: str) -> _Decoded:
    """All frames of a SEG object, decoded by highdicom, and the images they belong to."""
    from highdicom.seg import segread

    try:
        seg = segread(path)
        pixels = np.asarray(seg.get_stored_frames())
    except Exception as error:  # decoders raise anything on broken files
        raise UnusableFile("segmentation-broken", str(error).splitlines()[0] if str(error) else "") from error
    label_map = str(seg.SegmentationType) == "LABELMAP"
    frames: dict[tuple[str, int | None], list[tuple[int, int | None]]] = {}
    for position, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        segment = None
        if not label_map:
            segment = int(_groups(seg, group, "SegmentIdentificationSequence")[0].ReferencedSegmentNumber)
        for source in _sources(group):
            for frame in _frame_numbers(source):
                image = str(source.ReferencedSOPInstanceUID), frame
                frames.setdefault(image, []).append((position, segment))
    names = {int(one.SegmentNumber): canonical_name(str(one.SegmentLabel)) for one in seg.SegmentSequence}
    names.pop(0, None)
    return _Decoded((int(seg.Rows), int(seg.Columns)), pixels, names, frames)


def _groups(seg: pydicom.Dataset, group: pydicom.Dataset, name: str) -> Any:
    """A functional group of one frame, or the one all frames share."""
    return group[name].value if name in group else seg.SharedFunctionalGroupsSequence[0][name].value


def _sources(group: pydicom.Dataset) -> list[pydicom.Dataset]:
    return [
        source
        for derivation in group.get("DerivationImageSequence", [])
        for source in derivation.get("SourceImageSequence", [])
    ]


def _frame_numbers(source: pydicom.Dataset) -> list[int | None]:
    """Referenced frames counted from 0; [None] where the image as a whole is meant."""
    numbers = source.get("ReferencedFrameNumber")
    if numbers is None:
        return [None]
    several = numbers if isinstance(numbers, Sequence) else [numbers]
    return [int(number) - 1 for number in several]


def _annotated(header: pydicom.Dataset) -> list[tuple[str, int | None]]:
    """The images that an object annotates; those referenced without a frame are empty."""
    by_frame = [
        (str(source.ReferencedSOPInstanceUID), frame)
        for group in header.PerFrameFunctionalGroupsSequence
        for source in _sources(group)
        for frame in _frame_numbers(source)
    ]
    multi_frame = {uid for uid, frame in by_frame if frame is not None}
    whole = [
        (str(instance.ReferencedSOPInstanceUID), None)
        for series in header.get("ReferencedSeriesSequence", [])
        for instance in series.get("ReferencedInstanceSequence", [])
        if str(instance.ReferencedSOPInstanceUID) not in multi_frame
    ]
    return [*by_frame, *whole]


def _read_header(path: Path) -> pydicom.Dataset:
    """Everything but the pixels; only SEG objects pass."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if str(header.get("SOPClassUID", "")) not in SEG_CLASSES:
            raise UnusableFile("not-a-segmentation")
        if "SegmentSequence" not in header or "PerFrameFunctionalGroupsSequence" not in header:
            raise UnusableFile("segmentation-incomplete")
        if str(header.get("SegmentationType", "")) == "FRACTIONAL":
            raise UnusableFile("segmentation-fractional")
    except (InvalidDicomError, OSError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise UnusableFile("not-dicom", str(error)) from error
    return header


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnusableFile("unreadable", str(error)) from error
