"""DICOM segmentation objects: those of a folder, what each names and annotates, and its pixels.

A SEG object (DICOM PS3.3 A.51 BINARY, A.101 LABELMAP) names the images it annotates by SOP
instance UID and, for multi-frame images, frame number. A referenced image for which it
holds no frame is annotated as empty: writers leave empty frames out. Which frames go onto
an image, and how, is told by `seg_frames.py`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomgeom.errors import NothingUsable, UnusableFile
from dicomgeom.progress import Progress
from dicomgeom.quietness import quiet
from pretext_targets.annotations import canonical_name
from pretext_targets.seg_frames import Pick, SegFrame, frame_keys, frames_by_image, pick, sources_of
from pretext_targets.tissue_table import FILE as TISSUE_TABLE

SEG_CLASSES: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""SOP classes: Segmentation Storage, Label Map Segmentation Storage."""

LONG_WORD: Final = 4
"""Letters from which on a word that a label shares with a name is no accident, as LV or left are."""

OPEN_OBJECTS: Final = 8
"""Segmentation objects that one process keeps decoded; a heart may come as one for each structure."""

ImageKey = tuple[str, int | None]
"""SOP instance UID of an annotated image and its frame, from 0; None where the image as a whole is meant."""


@dataclass(frozen=True)
class SegHeader:
    """What an object says without its pixels."""

    names: frozenset[str]
    """Of its segments, the heart's by their own names."""
    images: tuple[ImageKey, ...]
    """What it annotates; those referenced without a frame are empty."""
    frames: Mapping[str, tuple[SegFrame, ...]] = field(repr=False)
    """Its frames, by the SOP instance UID of the images they name."""


def read_header(path: Path) -> SegHeader:
    """Everything but the pixels; only SEG objects pass.

    Raises
    ------
    UnusableFile
        When it is no SEG object, is broken, or holds shares (FRACTIONAL).
    """
    try:
        with path.open("rb") as file:
            header = pydicom.dcmread(file, stop_before_pixels=True)
            left = path.stat().st_size - file.tell()
        if str(header.get("SOPClassUID", "")) not in SEG_CLASSES:
            raise UnusableFile("not-a-segmentation")
        if "SegmentSequence" not in header or "PerFrameFunctionalGroupsSequence" not in header:
            raise UnusableFile("segmentation-incomplete")
        if str(header.get("SegmentationType", "")) == "FRACTIONAL":
            raise UnusableFile("segmentation-fractional")
        if left < _pixel_bytes(header):
            raise UnusableFile("segmentation-broken", "it breaks off within its pixels")
        if not all(map(sources_of, header.PerFrameFunctionalGroupsSequence)):
            # Its images would be taken for empty.
            raise UnusableFile("segmentation-without-images")
        names = frozenset(_names(header).values())
        return SegHeader(names, tuple(_annotated(header)), frames_by_image(header))
    except UnusableFile:
        raise
    except InvalidDicomError as error:
        raise UnusableFile("not-dicom", str(error)) from error
    except Exception as error:  # pydicom raises anything on files that break off
        raise UnusableFile("segmentation-broken", type(error).__name__) from error


def _pixel_bytes(header: pydicom.Dataset) -> int:
    """How much must follow a header that ends before its pixels; 0 where they are compressed."""
    tag_and_length = {ImplicitVRLittleEndian: 8, ExplicitVRLittleEndian: 12}
    syntax = header.file_meta.TransferSyntaxUID
    if syntax not in tag_and_length:
        return 0
    pixels = int(header.NumberOfFrames) * int(header.Rows) * int(header.Columns)
    return tag_and_length[syntax] + (pixels * int(header.BitsAllocated) + 7) // 8


def read_objects(folder: Path, progress: Progress) -> tuple[list[tuple[str, Path, SegHeader]], Counter[str]]:
    """Hash, path and header of every object under a folder, and why the other files are none.

    Raises
    ------
    NothingUsable
        When there is none.
    """
    paths = _files_under(folder)
    objects: list[tuple[str, Path, SegHeader]] = []
    unused: Counter[str] = Counter()
    with quiet():
        for done, path in enumerate(paths):
            try:
                objects.append((_digest(path), path, read_header(path)))
            except UnusableFile as error:
                unused[error.reason] += 1
            progress("reading segmentations", done=done + 1, total=len(paths))
    if not objects:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(unused.items()))
        raise NothingUsable(
            f"{folder} holds no DICOM SEG object; found {len(paths)} other files{told and f' ({told})'}"
        )
    return objects, unused


def _files_under(folder: Path) -> list[Path]:
    """All files but those of tissue images: in the truth of a phantom they lie beside the segmentations."""
    found: list[Path] = []
    for top, below, names in os.walk(folder):
        if TISSUE_TABLE in names and Path(top) != folder:
            below.clear()
        else:
            found += [Path(top, name) for name in names]
    return sorted(found)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnusableFile("unreadable", str(error)) from error


def drawn_segments(
    path: str, sop_instance_uid: str, frame: int | None, picks: Sequence[Pick] | None = None
) -> tuple[tuple[int, int], dict[str, NDArray[np.bool_]]]:
    """What an object draws on one image.

    Parameters
    ----------
    path : str
        The object.
    sop_instance_uid, frame
        The image; its frame None where it is meant as a whole.
    picks : sequence of Pick, optional
        Which frames go onto it, and how. Without, nobody knows the image's plane: frames that say
        they are drawn on other pixels are refused.

    Returns
    -------
    size : tuple
        Rows and columns of the object's frames as they are stored.
    masks : dict of bool array, shape (rows, columns)
        Segments of which the image shows at least one pixel, by name.

    Raises
    ------
    UnusableFile
        When the object cannot be decoded, draws a segment that it does not describe, or cannot be
        laid over the image.
    """
    decoded = _decoded(path)
    masks: dict[str, NDArray[np.bool_]] = {}
    for position, segment, turn in decoded.of(sop_instance_uid, frame) if picks is None else picks:
        pixels = turn.of(decoded.pixels[position])
        if segment is not None and segment not in decoded.names:
            raise UnusableFile("segmentation-broken", f"no segment {segment}")
        if segment is None and (
            lost := set(np.unique(pixels).tolist()) - decoded.names.keys() - decoded.empty
        ):
            raise UnusableFile("segmentation-broken", f"no segment {', '.join(map(str, sorted(lost)))}")
        # A label map's frame holds every segment by its number, a binary frame one.
        numbers = decoded.names if segment is None else {segment: decoded.names[segment]}
        for number, name in numbers.items():
            mask = pixels == number if segment is None else pixels > 0
            if mask.any():
                masks[name] = masks[name] | mask if name in masks else mask
    return decoded.size, masks


def read_numbers(path: str, sop_instance_uid: str, frame: int) -> NDArray[np.uint8]:
    """The segment number of every pixel of one image in a label map, 0 where it is none.

    Raises
    ------
    UnusableFile
        When the object cannot be decoded, or is no label map of one byte a pixel.
    """
    decoded = _decoded(path)
    found = decoded.of(sop_instance_uid, frame)
    if not found:
        return np.zeros(decoded.size, dtype=np.uint8)
    position, segment, _ = found[0]
    if segment is not None or decoded.pixels.dtype != np.uint8:
        raise UnusableFile("segmentation-not-a-label-map")
    return np.array(decoded.pixels[position])


@dataclass(frozen=True, eq=False)
class _Decoded:
    """All frames of an object, and the images they name."""

    size: tuple[int, int]
    pixels: NDArray[Any]
    names: Mapping[int, str]
    frames: Mapping[str, tuple[SegFrame, ...]]
    empty: frozenset[int]
    """Numbers of a label map that are no segment."""

    def of(self, sop_instance_uid: str, frame: int | None) -> tuple[Pick, ...]:
        """What goes onto an image of which the plane is not known."""
        return pick(self.frames.get(sop_instance_uid, ()), None, frame)


@lru_cache(maxsize=OPEN_OBJECTS)
def _decoded(path: str) -> _Decoded:
    """All frames of a SEG object, decoded by highdicom, and the images they belong to."""
    from highdicom.seg import segread

    try:
        seg = segread(path)
        pixels = np.asarray(seg.get_stored_frames())
        frames = frames_by_image(seg)
    except Exception as error:  # decoders raise anything on broken files
        raise UnusableFile("segmentation-broken", str(error).splitlines()[0] if str(error) else "") from error
    return _Decoded((int(seg.Rows), int(seg.Columns)), pixels, _names(seg), frames, _background(seg))


def _names(header: pydicom.Dataset) -> dict[int, str]:
    """Segments by number, but for the background that a label map may list."""
    background = _background(header)
    every = {int(one.SegmentNumber): str(one.SegmentLabel) for one in header.SegmentSequence}
    return {
        number: f"segment {number}" if _tells_of_patient(label, header) else canonical_name(label)
        for number, label in every.items()
        if number not in background
    }


def _background(header: pydicom.Dataset) -> frozenset[int]:
    """Numbers of no segment: 0, and what a label map fills up with (DICOM PS3.3 C.8.20.2)."""
    return frozenset({0, int(header.get("PixelPaddingValue") or 0)})


def _tells_of_patient(label: str, header: pydicom.Dataset) -> bool:
    """Whether somebody typed the patient's name or number into the label of a segment: stores keep labels."""
    known = " ".join(str(header.get(name, "")) for name in ("PatientName", "PatientID"))
    return bool({*_long_words(known)} & {*_long_words(label)})


def _long_words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.casefold()) if len(word) >= LONG_WORD]


def _annotated(header: pydicom.Dataset) -> list[ImageKey]:
    """The images that an object annotates; those referenced without a frame are empty."""
    by_frame = [
        image
        for group in header.PerFrameFunctionalGroupsSequence
        for source in sources_of(group)
        for image in frame_keys(source)
    ]
    multi_frame = {uid for uid, frame in by_frame if frame is not None}
    whole = [
        (str(instance.ReferencedSOPInstanceUID), None)
        for series in header.get("ReferencedSeriesSequence", [])
        for instance in series.get("ReferencedInstanceSequence", [])
        if str(instance.ReferencedSOPInstanceUID) not in multi_frame
    ]
    return [*by_frame, *whole]
