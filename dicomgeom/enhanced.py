"""Enhanced multi-frame images: each frame is what its functional groups say (PS3.3 C.7.6.16).

A frame's own group stands before the shared one, and both before the file. Neither the order
of the frames nor the dimension indices are believed: they count positions that the planes
themselves give, and real files contradict them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomgeom.attributes import Attributes
from dicomgeom.errors import UnusableFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MACROS: Final = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "FrameContentSequence",
    "CardiacSynchronizationSequence",
    "TemporalPositionSequence",
    "FrameAnatomySequence",
    "MRImageFrameTypeSequence",
    "MRTimingAndRelatedParametersSequence",
    "MREchoSequence",
    "MRModifierSequence",
    "MRImagingModifierSequence",
    "MRVelocityEncodingSequence",
    "MRDiffusionSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
    "UnassignedSharedConvertedAttributesSequence",
)
"""The groups that are read. Others mislead: Philips repeats a classic header of each frame in a
private group, with a position that is half a pixel off (of another matrix)."""


@dataclass(frozen=True)
class Frame:
    """What is known of one frame; its place comes from the functional groups alone."""

    attributes: Attributes
    place: Attributes


def frames_of(top: Attributes) -> Iterator[Frame]:
    """Every frame of an enhanced image, in the order in which their pixels are stored.

    Raises
    ------
    UnusableFile
        `frame-count-contradicts` when there are not as many groups as frames.
    """
    groups = top.items("PerFrameFunctionalGroupsSequence")
    stated = top.integer("NumberOfFrames") or 1
    if len(groups) != stated:
        raise UnusableFile(
            "frame-count-contradicts", f"{stated} frames stated, functional groups for {len(groups)}"
        )
    shared = [
        item for group in top.items("SharedFunctionalGroupsSequence")[:1] for item in _macro_items(group)
    ]
    for group in groups:
        own = list(_macro_items(group))
        # The file's own position would give every frame the same place.
        yield Frame(attributes=top.before(*own, *shared), place=Attributes(*own, *shared))


def _macro_items(group: Dataset) -> Iterator[Dataset]:
    """The first item of each macro (a sequence of one item)."""
    reader = Attributes(group)
    for keyword in MACROS:
        yield from reader.items(keyword)[:1]
