"""Manual annotations: DICOM segmentation objects, matched to the images they were drawn on.

Several objects may annotate one image, as where each holds one structure: what they draw is laid
over one another like the overlapping segments of one object. Where two draw the same segment of an
image, the one whose content's hash comes last is taken, so that the answer doesn't depend on names
or times; such images are counted where the two differ. An object that draws nothing of a segment
says nothing against another that does. What one object says stands in `seg_objects.py`.

Planes that objects state are compared with those in the images' own files, when an image is looked
up by a row that tells its file. What cannot be laid over an image is not used, and counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import UnusableFile, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.annotations import ELSEWHERE, SEGMENT_TWICE, check_names, segment_order
from pretext_targets.seg_frames import ImageFiles, Pick, SegFrame, pick, says_empty
from pretext_targets.seg_objects import ImageKey, SegHeader, drawn_segments, read_objects

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
    files_unused : mapping
        Reason -> files in the folder that are no usable SEG object, and images on which two
        objects draw the same segment otherwise.
    """

    files: tuple[Path, ...]
    digests: tuple[str, ...]
    segment_names: tuple[str, ...]
    files_unused: Mapping[str, int] = field(default_factory=dict)
    _objects: Mapping[ImageKey, Objects] = field(default_factory=dict, repr=False)
    _sets: tuple[Objects, ...] = field(default=(), repr=False)
    """What the numbers of annotations stand for: first each object alone, then those that go together."""
    _numbers: Mapping[Objects, int] = field(default_factory=dict, repr=False)
    _frames: tuple[Mapping[str, tuple[SegFrame, ...]], ...] = field(default=(), repr=False)
    """Of each file, by the image they name."""
    _fits: dict[tuple[str, str, int], Fit] = field(default_factory=dict, repr=False)
    """What was found of the images that were looked up: root, path and frame -> how masks go onto it."""
    _images: ImageFiles = field(default_factory=ImageFiles, repr=False)

    @property
    def unused(self) -> Mapping[str, int]:
        """`files_unused`, and by reason the images looked up so far that nothing can be laid over."""
        refused = Counter(fit.refused.reason for fit in self._fits.values() if fit.refused)
        return dict(refused + Counter(self.files_unused))

    def __len__(self) -> int:
        return len(self._objects)

    def key(self, image: Mapping[str, Any]) -> ImageKey | None:
        """See `annotations.Annotations`."""
        uid = image["sop_instance_uid"]
        return next((one for one in ((uid, image["frame"]), (uid, None)) if one in self._objects), None)

    def find(self, image: Mapping[str, Any]) -> int | None:
        """Number of the file, or of the set of files, that annotates an image, or None."""
        key = self.key(image)
        if key is None:
            return None
        number = self._numbers[self._objects[key]]
        fit = self._fit(number, image)
        return None if fit is not None and fit.refused else number

    def files_of(self, number: int) -> tuple[Path, ...]:
        """The files that a number stands for."""
        return tuple(self.files[one] for one in self._sets[number])

    def annotation(self, number: int, image: Mapping[str, Any]) -> SegAnnotation:
        """The annotation of an image by the files with that number."""
        paths = tuple(map(str, self.files_of(number)))
        fit = self._fit(number, image)
        return SegAnnotation(paths, image["sop_instance_uid"], image["frame"], fit)

    def _fit(self, number: int, image: Mapping[str, Any]) -> Fit | None:
        """How the files with that number go onto an image; None for a row that does not tell its file."""
        if not {"root", "path"} <= image.keys():
            return None
        file, frame = (image["root"], image["path"]), image["frame"]
        found = self._fits.get((*file, frame))
        if found is None:
            objects = [self._frames[one] for one in self._sets[number]]
            found = self._fits[(*file, frame)] = self._fitted(objects, file, image["sop_instance_uid"], frame)
        return found

    def _fitted(
        self,
        objects: Sequence[Mapping[str, Sequence[SegFrame]]],
        file: tuple[str, str],
        sop_instance_uid: str,
        frame: int,
    ) -> Fit:
        try:
            planes = self._images.planes(*file)
        except UnusableFile as error:
            return Fit(unread=error)
        try:
            picks = tuple(pick(one.get(sop_instance_uid, ()), planes, frame) for one in objects)
        except UnusableFile as error:
            return Fit(refused=error)
        plane = planes[frame]
        if not all(sop_instance_uid in one or says_empty(one, plane) for one in objects):
            return Fit(refused=UnusableFile(ELSEWHERE))
        return Fit((plane.rows, plane.columns), picks)


@dataclass(frozen=True)
class Fit:
    """How the frames of some objects go onto an image.

    Attributes
    ----------
    size : tuple
        Rows and columns of the image.
    picks : tuple
        Of each object, the frames that do.
    refused : UnusableFile, optional
        Why none may, by a word of `annotations.UNUSED_REASONS`.
    unread : UnusableFile, optional
        Why nobody knows: the image itself could not be read, and cannot be used, either.
    """

    size: tuple[int, int] = (0, 0)
    picks: tuple[tuple[Pick, ...], ...] = ()
    refused: UnusableFile | None = None
    unread: UnusableFile | None = None


@dataclass(frozen=True)
class SegAnnotation:
    """What some SEG objects say of one image."""

    paths: tuple[str, ...]
    sop_instance_uid: str
    frame: int
    fit: Fit | None = None

    def read(self, segment_names: tuple[str, ...]) -> NDArray[np.uint8]:
        """See `annotations.Annotation`."""
        return read_overlaid(self.paths, self.sop_instance_uid, self.frame, segment_names, self.fit)


def index_segmentations(folder: Path, *, progress: Progress = silent) -> SegmentationIndex:
    """Find the SEG objects under a folder and what they annotate.

    Raises
    ------
    WrongUse
        When there is no such folder, or its objects name more segments than there are codes.
    NothingUsable
        When it holds no SEG object.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise WrongUse(f"{folder} is no folder; give the folder that holds the DICOM SEG objects")
    objects, unused = read_objects(folder, progress)
    objects.sort(key=lambda one: one[0])
    headers = [header for _, _, header in objects]
    names = segment_order(name for header in headers for name in header.names)
    check_names(names, "give a folder with fewer objects: those of the structures you want")
    annotating = _annotating(headers)
    together = sorted({one for one in annotating.values() if len(one) > 1})
    sets = (*((number,) for number in range(len(objects))), *together)
    files = tuple(path for _, path, _ in objects)
    twice = _drawn_otherwise(annotating, files, headers)
    return SegmentationIndex(
        files=files,
        digests=tuple(digest for digest, _, _ in objects),
        segment_names=names,
        files_unused=dict(unused) | ({SEGMENT_TWICE: twice} if twice else {}),
        _objects=annotating,
        _sets=sets,
        _numbers={one: number for number, one in enumerate(sets)},
        _frames=tuple(header.frames for header in headers),
    )


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
    """Images on which two objects draw the same segment and not the same pixels, both its own."""
    doubtful: dict[Objects, bool] = {}
    for together in set(annotating.values()):
        names = [name for number in together for name in headers[number].names]
        doubtful[together] = len(names) > len(set(names))
    found = 0
    for (uid, frame), together in sorted(annotating.items(), key=lambda one: one[1]):
        if doubtful[together]:
            try:
                found += _differ([drawn_segments(str(files[one]), uid, frame)[1] for one in together])
            except UnusableFile:  # told when the image is looked up, or written
                continue
    return found


def _differ(drawn: Sequence[Mapping[str, NDArray[np.bool_]]]) -> bool:
    first: dict[str, NDArray[np.bool_]] = {}
    return any(
        not np.array_equal(first.setdefault(name, mask), mask)
        for masks in drawn
        for name, mask in masks.items()
    )


def read_labels(
    path: str, sop_instance_uid: str, frame: int, segment_names: Sequence[str]
) -> NDArray[np.uint8]:
    """What one object says of an image; see `read_overlaid`."""
    return read_overlaid((path,), sop_instance_uid, frame, segment_names)


def read_overlaid(
    paths: Sequence[str],
    sop_instance_uid: str,
    frame: int,
    segment_names: Sequence[str],
    fit: Fit | None = None,
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
    fit : Fit, optional
        How the objects go onto the image; None where its plane is not known.

    Returns
    -------
    uint8 array, shape (rows, columns)
        Index into `segment_names`. Where segments overlap the later name wins.

    Raises
    ------
    UnusableFile
        When an object cannot be decoded or laid over the image, or they differ in size.
    """
    if fit is not None and (trouble := fit.refused or fit.unread):
        raise trouble
    drawn: dict[str, NDArray[np.bool_]] = {}
    sizes: set[tuple[int, int]] = set()
    for path, picks in zip(paths, fit.picks if fit else [None] * len(paths), strict=True):
        size, masks = drawn_segments(path, sop_instance_uid, frame, picks)
        sizes.add(fit.size if fit else size)
        drawn |= masks
    if len(sizes) > 1:
        raise UnusableFile("segmentation-size", f"objects of {len(sizes)} sizes on one image")
    result = np.zeros(sizes.pop(), dtype=np.uint8)
    code_of = {name: code for code, name in enumerate(segment_names)}
    for name in sorted(drawn, key=code_of.__getitem__):
        result[drawn[name]] = code_of[name]
    return result
