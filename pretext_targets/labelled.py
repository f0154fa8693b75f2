"""Manual annotations: DICOM segmentation objects, matched to the images they were drawn on.

Several objects may annotate one image, as where each holds one structure: what they draw is laid
over one another like the overlapping segments of one object. Where two draw the same segment of an
image, the one whose content's hash comes last is taken, so that the answer doesn't depend on names
or times; such images are counted where the two differ. An object that draws nothing of a segment
says nothing against another that does. What one object says stands in `seg_objects.py`.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import NothingUsable, UnusableFile, WrongUse
from dicomgeom.progress import Progress, silent
from dicomgeom.quietness import quiet
from pretext_targets.annotations import SEGMENT_TWICE, segment_order
from pretext_targets.seg_objects import ImageKey, SegHeader, drawn_segments, read_header
from pretext_targets.tissue_table import FILE as TISSUE_TABLE

Objects = tuple[int, ...]
"""Numbers of the files that annotate one image, ascending."""


@dataclass(frozen=True, eq=False)
class SegmentationIndex:
    """Which images of a folder of SEG objects are annotated, by which files.

    Attributes
    ----------
    files : tuple of Path
        The objects, in the order of their content's hash.
    digests : tuple of str
        SHA-256 of each.
    segment_names : tuple of str
        "background", then the heart's segments in canonical order, then others by name.
    unused : mapping
        Reason -> files in the folder that are no usable SEG object, and images on which two
        objects draw the same segment otherwise.
    """

    files: tuple[Path, ...]
    digests: tuple[str, ...]
    segment_names: tuple[str, ...]
    unused: Mapping[str, int] = field(default_factory=dict)
    _objects: Mapping[ImageKey, Objects] = field(default_factory=dict, repr=False)
    _sets: tuple[Objects, ...] = field(default=(), repr=False)
    """What the numbers of annotations stand for: first each object alone, then those that go together."""
    _numbers: Mapping[Objects, int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self._objects)

    def key(self, image: Mapping[str, Any]) -> ImageKey | None:
        """See `annotations.Annotations`."""
        uid = image["sop_instance_uid"]
        return next((one for one in ((uid, image["frame"]), (uid, None)) if one in self._objects), None)

    def find(self, image: Mapping[str, Any]) -> int | None:
        """Number of the file, or of the set of files, that annotates an image, or None."""
        key = self.key(image)
        return None if key is None else self._numbers[self._objects[key]]

    def files_of(self, number: int) -> tuple[Path, ...]:
        """The files that a number stands for."""
        return tuple(self.files[one] for one in self._sets[number])

    def annotation(self, number: int, image: Mapping[str, Any]) -> SegAnnotation:
        """The annotation of an image by the files with that number."""
        paths = tuple(map(str, self.files_of(number)))
        return SegAnnotation(paths, image["sop_instance_uid"], image["frame"])


@dataclass(frozen=True)
class SegAnnotation:
    """What some SEG objects say of one image."""

    paths: tuple[str, ...]
    sop_instance_uid: str
    frame: int

    def read(self, segment_names: tuple[str, ...]) -> NDArray[np.uint8]:
        """See `annotations.Annotation`."""
        return read_overlaid(self.paths, self.sop_instance_uid, self.frame, segment_names)


def index_segmentations(folder: Path, *, progress: Progress = silent) -> SegmentationIndex:
    """Find the SEG objects under a folder and what they annotate.

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
    objects, unused = _read_all(folder, progress)
    objects.sort(key=lambda one: one[0])
    headers = [header for _, _, header in objects]
    annotating = _annotating(headers)
    together = sorted({one for one in annotating.values() if len(one) > 1})
    sets = (*((number,) for number in range(len(objects))), *together)
    files = tuple(path for _, path, _ in objects)
    twice = _drawn_otherwise(annotating, files, headers)
    return SegmentationIndex(
        files=files,
        digests=tuple(digest for digest, _, _ in objects),
        segment_names=segment_order(name for header in headers for name in header.names),
        unused=dict(unused) | ({SEGMENT_TWICE: twice} if twice else {}),
        _objects=annotating,
        _sets=sets,
        _numbers={one: number for number, one in enumerate(sets)},
    )


def _read_all(folder: Path, progress: Progress) -> tuple[list[tuple[str, Path, SegHeader]], Counter[str]]:
    """Hash, path and header of every object, and why the other files are none."""
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


def _annotating(headers: Sequence[SegHeader]) -> dict[ImageKey, Objects]:
    """Images -> the objects that annotate them; those that mean a whole image mean its frames, too."""
    found: dict[ImageKey, set[int]] = defaultdict(set)
    for number, header in enumerate(headers):
        for image in header.images:
            found[image].add(number)
    return {
        (uid, frame): tuple(sorted(numbers | found.get((uid, None), set())))
        for (uid, frame), numbers in found.items()
    }


def _drawn_otherwise(
    annotating: Mapping[ImageKey, Objects], files: Sequence[Path], headers: Sequence[SegHeader]
) -> int:
    """Images on which two objects draw the same segment and not the same pixels."""
    doubtful: dict[Objects, bool] = {}
    for together in set(annotating.values()):
        names = [name for number in together for name in headers[number].names]
        doubtful[together] = len(names) > len(set(names))
    found = 0
    for (uid, frame), together in sorted(annotating.items(), key=lambda one: one[1]):
        if doubtful[together]:
            try:
                found += _differ([drawn_segments(str(files[one]), uid, frame)[1] for one in together])
            except UnusableFile:  # told when the image is written
                continue
    return found


def _differ(drawn: Sequence[Mapping[str, NDArray[np.bool_]]]) -> bool:
    first: dict[str, NDArray[np.bool_]] = {}
    return any(
        not np.array_equal(first.setdefault(name, mask), mask)
        for masks in drawn
        for name, mask in masks.items()
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
    """What one object says of an image; see `read_overlaid`."""
    return read_overlaid((path,), sop_instance_uid, frame, segment_names)


def read_overlaid(
    paths: Sequence[str], sop_instance_uid: str, frame: int, segment_names: Sequence[str]
) -> NDArray[np.uint8]:
    """The annotation of one image on its own pixels.

    Parameters
    ----------
    paths : sequence of str
        SEG objects; of two that draw the same segment the later is taken.
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
        When an object cannot be decoded, or they differ in size.
    """
    drawn: dict[str, NDArray[np.bool_]] = {}
    sizes: set[tuple[int, int]] = set()
    for path in paths:
        size, masks = drawn_segments(path, sop_instance_uid, frame)
        sizes.add(size)
        drawn |= masks
    if len(sizes) > 1:
        raise UnusableFile("segmentation-size", f"objects of {len(sizes)} sizes on one image")
    result = np.zeros(sizes.pop(), dtype=np.uint8)
    code_of = {name: code for code, name in enumerate(segment_names)}
    for name in sorted(drawn, key=code_of.__getitem__):
        result[drawn[name]] = code_of[name]
    return result


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnusableFile("unreadable", str(error)) from error
