"""What differs from image to image of one series, each field with the attributes it is made of.

All other fields of a header are alike for most images of a series. A reader that has found
the other attributes equal, byte for byte, computes these few anew and takes over the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dicomgeom.attributes import Attributes
from dicomgeom.dictionary import tag_of

LARGEST_COORDINATE_MM: Final = 1e5
"""No scanner is a hundred metres long: a position beyond it is damaged."""

_MOMENT: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{1,6}))?", re.ASCII)


@dataclass(frozen=True)
class ImageField:
    """A column of the images table, the attributes it depends on, and how it is read from them."""

    name: str
    keywords: tuple[str, ...]
    read: Callable[[Attributes], Any]
    is_distinct: bool = False
    """No two images share a value: none is worth remembering."""

    @property
    def tags(self) -> tuple[int, ...]:
        return tuple(map(tag_of, self.keywords))


def first_number(source: Attributes, *keywords: str) -> float | None:
    """The first of several attributes that holds a number."""
    return next((n for n in map(source.number, keywords) if n is not None), None)


def trigger_time_ms(source: Attributes) -> float | None:
    """Time after the R wave, ms."""
    return first_number(source, "TriggerTime", "NominalCardiacTriggerDelayTime")


def temporal_position(source: Attributes) -> int | None:
    """Which of the phases or repetitions of its plane an image is."""
    return source.integer("TemporalPositionIndex") or source.integer("TemporalPositionIdentifier")


def acquired_at(source: Attributes) -> datetime | None:
    """When the image was acquired, by the best of its attributes that is a real moment."""
    for keywords in (
        ("FrameAcquisitionDateTime",),
        ("AcquisitionDateTime",),
        ("AcquisitionDate", "AcquisitionTime"),
        ("SeriesDate", "SeriesTime"),
    ):
        found = _MOMENT.match("".join(map(source.text, keywords)))
        if not found:
            continue
        *parts, fraction = found.groups()
        try:
            moment = datetime(*map(int, parts))  # type: ignore[arg-type]
        except ValueError:
            continue  # de-identified dates such as 20120000
        return moment.replace(microsecond=int((fraction or "0").ljust(6, "0")))
    return None


def position_mm(source: Attributes) -> list[float] | None:
    """Centre of the first pixel, LPS; None when it is absent or damaged."""
    numbers = source.numbers("ImagePositionPatient")
    if len(numbers) != 3 or max(map(abs, numbers)) > LARGEST_COORDINATE_MM:
        return None
    return numbers


IMAGE_FIELDS: Final = (
    ImageField("sop_instance_uid", ("SOPInstanceUID",), lambda s: s.text("SOPInstanceUID"), is_distinct=True),
    ImageField("instance_number", ("InstanceNumber",), lambda source: source.integer("InstanceNumber")),
    ImageField("acquisition_number", ("AcquisitionNumber",), lambda s: s.integer("AcquisitionNumber")),
    ImageField("content_time", ("ContentTime",), lambda source: source.text("ContentTime")),
    ImageField("trigger_time_ms", ("TriggerTime", "NominalCardiacTriggerDelayTime"), trigger_time_ms),
    ImageField(
        "temporal_position", ("TemporalPositionIndex", "TemporalPositionIdentifier"), temporal_position
    ),
    ImageField(
        "acquired_at",
        ("FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime",
         "SeriesDate", "SeriesTime"),
        acquired_at,
    ),
    ImageField("origin_mm", ("ImagePositionPatient",), position_mm),
)  # fmt: skip
"""No other field may depend on these attributes alone; a test reads real and made series both ways."""
