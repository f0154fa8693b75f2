"""What all kinds of manual annotation have in common: an index of them, and one to be read.

An index knows which images are annotated; what it gives for one of them is small, travels
with the task of a shard, and reads itself where the shard is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

BACKGROUND = "background"

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
