"""What all kinds of manual annotation have in common: an index of them, and one to be read.

An index knows which images are annotated; what it gives for one of them is small, travels
with the task of a shard, and reads itself where the shard is written.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import WrongUse

BACKGROUND = "background"

MOST_STRUCTURES: Final = 254
"""Structures that fit into one byte a pixel: code 0 is the background, 255 is not annotated."""

ELSEWHERE: Final = "segmentation-elsewhere"
FRAME_UNCLEAR: Final = "segmentation-frame-unclear"
FRAMES_NOT_CHOSEN: Final = "frames-not-chosen"
IMAGE_LEFT_OUT: Final = "image-left-out"
NO_IMAGE: Final = "label-map-without-image"
NOT_IN_CATALOGUE: Final = "not-in-catalogue"
OTHER_VIEW: Final = "other-view"
SEGMENT_TWICE: Final = "segment-drawn-twice"
SEVERAL_IMAGES: Final = "several-images"

UNUSED_REASONS: Final[Mapping[str, str]] = {
    FRAMES_NOT_CHOSEN: "the protocol's `frames`, or `--frames`, takes other frames of the slice",
    IMAGE_LEFT_OUT: "the image is no example; the summary's `left_out`, or the catalogue, says why",
    NO_IMAGE: "a NIfTI label map beside which there is no image of its name (counted in files)",
    NOT_IN_CATALOGUE: "the catalogue holds no such image, or no such patient",
    OTHER_VIEW: "the image belongs to another view than the protocol's",
    SEGMENT_TWICE: "drawn by two contours, or by two DICOM SEG objects that differ: one of them was taken",
    SEVERAL_IMAGES: "what it names could be several images: two files of one UID, two patients in one folder",
    "not-a-segmentation": "a DICOM file of another kind (counted in files)",
    "not-dicom": "no DICOM file (counted in files)",
    "segmentation-broken": "a DICOM file that breaks off or cannot be taken apart (counted in files)",
    ELSEWHERE: "what a DICOM SEG object draws has other planes or pixels than the image it names",
    FRAME_UNCLEAR: "a DICOM SEG object names an image of several frames, and nothing tells which it means",
    "segmentation-fractional": "a DICOM SEG object of shares or probabilities (counted in files)",
    "segmentation-incomplete": "a DICOM SEG object without segments or frames (counted in files)",
    "segmentation-without-images": "a DICOM SEG object with frames that name no image (counted in files)",
    "unreadable": "a file that may not be read (counted in files)",
}
"""Why an annotation was not used; counted in images where nothing else is said."""

ASKED_FOR: Final = frozenset({FRAMES_NOT_CHOSEN, OTHER_VIEW})
"""Reasons that follow from what was asked to be built: told, and nothing that was skipped."""

CANONICAL: Mapping[str, tuple[str, ...]] = {
    "LV cavity": ("lv", "lv cavity", "lv blood pool", "left ventricle", "left ventricular cavity"),
    "LV myocardium": ("myo", "myocardium", "lv myocardium", "left ventricular myocardium"),
    "RV cavity": ("rv", "rv cavity", "rv blood pool", "right ventricle", "right ventricular cavity"),
    "LA": ("la", "left atrium", "la cavity"),
    "RA": ("ra", "right atrium", "ra cavity"),
}
"""The heart's segments in the order of their codes, and the labels they go by."""


class Annotation(Protocol):
    """The annotation of one image."""

    def read(self, segment_names: tuple[str, ...]) -> NDArray[np.uint8]:
        """Index into `segment_names` of every pixel of the image, shape (rows, columns); 255 unknown.

        Raises
        ------
        UnusableFile
            When it cannot be read.
        """
        ...


class Annotations(Protocol):
    """Which images are annotated."""

    @property
    def segment_names(self) -> tuple[str, ...]:
        """Meaning of the codes."""
        ...

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each file they come from."""
        ...

    @property
    def unused(self) -> Mapping[str, int]:
        """Annotations that were found but are of no image: reason (of `UNUSED_REASONS`) -> how many."""
        ...

    def key(self, image: Mapping[str, Any]) -> Hashable | None:
        """What the annotation of an image is filed under, or None; as many are different as `len` says."""
        ...

    def find(self, image: Mapping[str, Any]) -> int | None:
        """Number of the annotation of an image (a row of the images table), or None."""
        ...

    def annotation(self, number: int, image: Mapping[str, Any]) -> Annotation:
        """The annotation itself."""
        ...

    def __len__(self) -> int:
        """How many images are annotated."""
        ...


def canonical_name(label: str) -> str:
    """The heart's own name for a segment label; any other label as it is."""
    plain = label.strip().lower().replace("_", " ")
    for name, known in CANONICAL.items():
        if plain in known or plain == name.lower():
            return name
    return label.strip()


def segment_order(names: Any) -> tuple[str, ...]:
    """Background, the heart's segments in canonical order, then others by name."""
    given = set(names) - {BACKGROUND}
    order = [name for name in CANONICAL if name in given]
    return (BACKGROUND, *order, *sorted(given - set(order)))


def check_names(segment_names: Sequence[str], advice: str) -> None:
    """Raise `WrongUse` for more names than there are codes; `advice` says what to do."""
    found = len(segment_names) - 1
    if found > MOST_STRUCTURES:
        raise WrongUse(
            f"found {found} names of structures, {MOST_STRUCTURES} fit: a pixel is one byte, where 0 is "
            f"background and 255 not annotated; {advice}"
        )
