"""Where the frames of a segmentation object lie, and how their pixels go onto those of an image.

A frame may state a plane of its own (DICOM PS3.3 C.7.6.16.2), which need not be that of the image it
names: SpatialLocationsPreserved (0028,135A) is NO then. Where its pixels are the image's, turned, they are
turned back; where they are others they are refused. Nothing is resampled: that would change the drawing.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray

from dicomgeom.errors import GeometryError, UnusableFile
from dicomgeom.plane import Floats, ImagePlane
from dicomgeom.scan import Scanner, whole_header
from dicomgeom.sources import open_file
from pretext_targets.annotations import ELSEWHERE, FRAME_UNCLEAR

GRID_TOLERANCE_PX: Final = 0.1
"""How far a corner of a mask may lie from the image's: rounded cosines move it 0.03, other grids 0.5."""

PLANE_TOLERANCE_MM: Final = 0.1
"""How far a corner of a mask may lie from the image's plane, along its normal."""


class Turn(NamedTuple):
    """How pixels are turned, in this order: rows and columns swapped, columns reversed, rows reversed."""

    swapped: bool = False
    columns: bool = False
    rows: bool = False

    def of(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The same pixels, turned."""
        turned = pixels.T if self.swapped else pixels
        return turned[:: -1 if self.rows else 1, :: -1 if self.columns else 1]

    def of_points(self, points_px: Floats, columns: int, rows: int) -> Floats:
        """Where (column, row) points come to lie; sizes are those after the turn."""
        turned = points_px[:, ::-1] if self.swapped else points_px
        reversed_px = np.array([columns, rows]) - 1 - turned
        return np.where([self.columns, self.rows], reversed_px, turned)


AS_IT_IS: Final = Turn()


class Pick(NamedTuple):
    """A frame of an object that goes onto an image: its place, its segment (None in label maps), its turn."""

    position: int
    segment: int | None
    turn: Turn


@dataclass(frozen=True, eq=False)
class SegFrame:
    """One frame of an object, as it names one image."""

    position: int
    segment: int | None
    """None in label maps, whose frames hold every segment."""
    image_frame: int | None
    """From 0; None where the image as a whole is meant."""
    alone: bool
    """Whether it names this image and frame only."""
    preserved: bool
    """Unless it says that its pixels are not those of the image."""
    plane: ImagePlane | None


def frames_by_image(seg: pydicom.Dataset) -> dict[str, tuple[SegFrame, ...]]:
    """The frames of an object, by the SOP instance UID of the images they name."""
    label_map = str(seg.get("SegmentationType", "")) == "LABELMAP"
    made: dict[Any, ImagePlane | None] = {}
    found: dict[str, list[SegFrame]] = {}
    for position, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        segment = None
        if not label_map:
            segment = int(_item(seg, group, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        plane, sound = _plane(seg, group, made)
        named: dict[tuple[str, int | None], bool] = {}
        for source in sources_of(group):
            preserved = sound and str(source.get("SpatialLocationsPreserved") or "YES") == "YES"
            for image in frame_keys(source):
                named[image] = named.get(image, True) and preserved
        for (uid, frame), preserved in named.items():
            one = SegFrame(position, segment, frame, len(named) == 1, preserved, plane)
            found.setdefault(uid, []).append(one)
    return {uid: tuple(frames) for uid, frames in found.items()}


def sources_of(group: pydicom.Dataset) -> list[pydicom.Dataset]:
    """The images that a frame names."""
    return [
        source
        for derivation in group.get("DerivationImageSequence", [])
        for source in derivation.get("SourceImageSequence", [])
    ]


def frame_keys(source: pydicom.Dataset) -> list[tuple[str, int | None]]:
    """UID and frames, counted from 0, that a reference names; None where the image as a whole is meant."""
    uid, numbers = str(source.ReferencedSOPInstanceUID), source.get("ReferencedFrameNumber")
    if numbers is None:
        return [(uid, None)]
    several = numbers if isinstance(numbers, Sequence) else [numbers]
    return [(uid, int(number) - 1) for number in several]


def _item(seg: pydicom.Dataset, group: pydicom.Dataset, name: str) -> Any:
    """The item of a functional group of one frame, or of the one all frames share; None without."""
    shared = seg.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
    items = group.get(name) or shared[0].get(name)
    return items[0] if items else None


def _plane(
    seg: pydicom.Dataset, group: pydicom.Dataset, made: dict[Any, ImagePlane | None]
) -> tuple[ImagePlane | None, bool]:
    """The plane that a frame states, None where it doesn't; and whether what it states makes sense."""
    stated = [
        _values(_item(seg, group, sequence), name)
        for sequence, name in (
            ("PlanePositionSequence", "ImagePositionPatient"),
            ("PlaneOrientationSequence", "ImageOrientationPatient"),
            ("PixelMeasuresSequence", "PixelSpacing"),
        )
    ]
    if not all(stated):
        return None, True
    key = tuple(stated)
    if key not in made:
        try:
            position, orientation, spacing = stated
            made[key] = ImagePlane.from_dicom(position, orientation, spacing, int(seg.Columns), int(seg.Rows))
        except GeometryError:
            made[key] = None
    return made[key], made[key] is not None


def _values(item: Any, name: str) -> tuple[float, ...]:
    return () if item is None else tuple(float(one) for one in item.get(name) or ())


class ImageFiles:
    """Reads the planes in image files; remembers the file that was read last."""

    def __init__(self) -> None:
        self._scanner = Scanner()  # what the files of a series share is understood once
        self._last: tuple[tuple[str, str], dict[int, ImagePlane]] | None = None

    def planes(self, root: str, path: str) -> dict[int, ImagePlane]:
        """The planes of an image file, by frame.

        Raises
        ------
        UnusableFile
            When it cannot be read, or holds no image.
        """
        if self._last is None or self._last[0] != (root, path):
            with open_file(root, path) as file:
                size_bytes = file.seek(0, os.SEEK_END)
                file.seek(0)
                frames = map(whole_header, self._scanner.frames_in(file, size_bytes))
                self._last = (root, path), {one.frame: one.plane for one in frames}
        return self._last[1]


def pick(
    frames: Sequence[SegFrame], planes: Mapping[int, ImagePlane] | None, frame: int | None
) -> tuple[Pick, ...]:
    """Which frames of an object go onto a frame of an image, and how.

    Parameters
    ----------
    frames
        Those that name the image.
    planes
        Of all frames of the image; None where nobody knows them.
    frame
        Counted from 0. Frames that name it go before those that mean the image as a whole.

    Raises
    ------
    UnusableFile
        When some lie elsewhere, or nothing tells which of the image's frames they mean.
    """
    named = [one for one in frames if one.image_frame == frame]
    whole = [one for one in frames if one.image_frame is None]
    if planes is None:
        return _picked_blindly(named or whole)
    if frame is None or frame not in planes:
        raise UnusableFile(ELSEWHERE, f"the image has no frame {frame}")
    if named or len(planes) == 1:
        return _picked(named or whole, planes[frame])
    return _picked_by_place(whole, planes, frame)


def says_empty(objects_frames: Mapping[str, Sequence[SegFrame]], plane: ImagePlane) -> bool:
    """Whether an object that refers to an image and has no frame of it says that nothing is there.

    One that is drawn on other pixels than those of its images has none for any of them.
    """
    every = list(itertools.chain.from_iterable(objects_frames.values()))
    if all(one.preserved for one in every):
        return True
    planes = {id(one.plane): one.plane for one in every if one.plane is not None}
    return any(_is_parallel(one, plane) and turn_onto(one, plane) is not None for one in planes.values())


def _picked_blindly(frames: Sequence[SegFrame]) -> tuple[Pick, ...]:
    if not all(one.preserved for one in frames):
        raise UnusableFile(ELSEWHERE, "it is drawn on other pixels, and the image's plane is not known")
    planes = [one.plane for one in frames if one.plane is not None]
    if any(not _lies_on(one, planes[0]) for one in planes):
        raise UnusableFile(FRAME_UNCLEAR, "masks of several planes")
    return tuple(Pick(one.position, one.segment, AS_IT_IS) for one in frames)


def _picked(frames: Sequence[SegFrame], plane: ImagePlane) -> tuple[Pick, ...]:
    """Those on the plane; one that names several images may belong to another of them."""
    found = [one for one in frames if one.alone or one.plane is None or _lies_on(one.plane, plane)]
    if frames and not found:
        raise UnusableFile(ELSEWHERE, "no mask lies on the image's plane")
    return tuple(Pick(one.position, one.segment, _turn(one, plane)) for one in found)


def _picked_by_place(
    frames: Sequence[SegFrame], planes: Mapping[int, ImagePlane], frame: int
) -> tuple[Pick, ...]:
    """Of frames that mean an image of several frames as a whole, those on the plane of one of them."""
    alike = [number for number, one in planes.items() if _lies_on(one, planes[frame])]
    found = []
    for one in frames:
        if one.plane is None and len(alike) < len(planes):
            raise UnusableFile(FRAME_UNCLEAR, "masks without a place")
        if one.plane is None or _lies_on(one.plane, planes[frame]):
            found.append(one)
        elif not any(_lies_on(one.plane, other) for other in planes.values()):
            raise UnusableFile(ELSEWHERE, "a mask lies on no frame's plane")
    # Of a cine only one mask can be meant for all its frames: of several, each is of another moment.
    if len(alike) > 1 and len({one.segment for one in found}) < len(found):
        raise UnusableFile(FRAME_UNCLEAR, "several masks of one plane")
    return tuple(Pick(one.position, one.segment, _turn(one, planes[frame])) for one in found)


def _turn(frame: SegFrame, plane: ImagePlane) -> Turn:
    """How a frame goes onto the image it names."""
    if frame.plane is None:
        if not frame.preserved:
            raise UnusableFile(ELSEWHERE, "it is drawn on other pixels, and does not say where")
        return AS_IT_IS
    turn = turn_onto(frame.plane, plane) if _lies_on(frame.plane, plane) else None
    if turn is None:
        raise UnusableFile(ELSEWHERE, "its pixels are not those of the image")
    return turn


def turn_onto(mask: ImagePlane, image: ImagePlane) -> Turn | None:
    """How to turn pixels so that they are those of an image; None where no turn does it.

    Both must be parallel; how far apart they lie makes no difference.
    """
    corners = _corners_px(mask)
    found = image.to_pixel(mask.to_patient(corners))
    size = image.columns, image.rows
    for turn in itertools.starmap(Turn, itertools.product((False, True), repeat=3)):
        fits = size == ((mask.rows, mask.columns) if turn.swapped else (mask.columns, mask.rows))
        if fits and np.abs(turn.of_points(corners, *size) - found).max() <= GRID_TOLERANCE_PX:
            return turn
    return None


def _corners_px(plane: ImagePlane) -> Floats:
    right, bottom = plane.columns - 1.0, plane.rows - 1.0
    return np.array([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])


def _distances_mm(mask: ImagePlane, image: ImagePlane) -> Floats:
    return image.distance_mm(mask.to_patient(_corners_px(mask)))


def _lies_on(mask: ImagePlane, image: ImagePlane) -> bool:
    return bool(np.abs(_distances_mm(mask, image)).max() <= PLANE_TOLERANCE_MM)


def _is_parallel(mask: ImagePlane, image: ImagePlane) -> bool:
    return bool(np.ptp(_distances_mm(mask, image)) <= PLANE_TOLERANCE_MM)
