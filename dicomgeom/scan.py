"""Files -> header rows: every file seen is accounted for, the good, the skipped and the unreadable.

Headers are read by a reader of our own (`elements.py`, `series_template.py`); whatever it
finds unusual is read by pydicom.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Final, NamedTuple

from dicomgeom.attributes import Attributes
from dicomgeom.cut_short import check_pixels
from dicomgeom.elements import Fetch, Unusual, fetch_from, fetch_through
from dicomgeom.errors import UnusableFile
from dicomgeom.header import (
    CLASSIC_MR_IMAGE,
    DICOMDIR_CLASS,
    MR_IMAGE_CLASSES,
    WANTED,
    ImageHeader,
    read_headers,
)
from dicomgeom.image_fields import IMAGE_FIELDS, ImageField
from dicomgeom.plane import ImagePlane
from dicomgeom.quietness import quiet
from dicomgeom.series_template import HeaderReader, Values
from dicomgeom.sources import MADE_BY_ANATPREP, FoundFile, is_member, open_file, open_start

SOP_CLASS: Final = 0x00080016
MODALITY: Final = 0x00080060

ALIKE_REASONS: Final = frozenset({"not-mr", "not-an-image", "not-an-mr-image-class", "colour"})
"""Verdicts in which the fields that differ from image to image have no say."""

MEMBER_START_BYTES: Final = 32 << 10
"""Unpacked of an archive's member at first."""

MOST_REMEMBERED: Final = 20_000
"""Values of a field that are remembered."""

MOST_SERIES: Final = 1_000
"""Combinations of deciding values remembered for one template."""

_remembered: dict[tuple[str, int, str | None], dict[Any, Any]] = {}
"""What values of single attributes mean, for all series of the process."""

_FIELD_NUMBER: Final = {one.name: number for number, one in enumerate(IMAGE_FIELDS)}
_FIELD_TAGS: Final = frozenset(tag for one in IMAGE_FIELDS for tag in one.tags)


class Frame(NamedTuple):
    """One frame: a header of its series, and this image's own values of `IMAGE_FIELDS`, in their order."""

    header: ImageHeader
    fields: list[Any]


@dataclass(frozen=True)
class ScannedFile:
    """A file with its verdict: status ok, skipped (nothing for us) or unreadable (broken)."""

    found: FoundFile
    status: str
    reason: str = ""
    detail: str = ""
    headers: list[ImageHeader] = field(default_factory=list)


def scan(files: Iterable[FoundFile]) -> Iterator[ScannedFile]:
    """Read the headers of each file; no file stops the scan."""
    scanner = Scanner()
    for found in files:
        yield _scanned(scanner, found)


def scan_file(found: FoundFile) -> ScannedFile:
    """Judge one file."""
    return _scanned(Scanner(), found)


def _scanned(scanner: Scanner, found: FoundFile) -> ScannedFile:
    with quiet():
        try:
            headers = [whole_header(frame) for frame in scanner.frames(found)]
            return ScannedFile(found, status="ok", headers=headers)
        except UnusableFile as unusable:
            return ScannedFile(found, status_of(unusable), unusable.reason, unusable.detail)


def status_of(unusable: UnusableFile) -> str:
    """What the files table says of a file that holds nothing for us."""
    return "skipped" if unusable.readable else "unreadable"


def whole_header(frame: Frame) -> ImageHeader:
    """A frame's header with its own values filled in."""
    own = dict(zip((one.name for one in IMAGE_FIELDS), frame.fields, strict=True))
    plane: ImagePlane = replace(frame.header.plane, origin_mm=own.pop("origin_mm"))
    return replace(frame.header, plane=plane, **own)


class Scanner:
    """Judges files one after the other; what the images of a series share is understood once.

    Parameters
    ----------
    own_reader : bool
        False reads everything with pydicom: slow, and what the fast way is compared with.
    """

    def __init__(self, *, own_reader: bool = True) -> None:
        self._reader = HeaderReader(WANTED) if own_reader else None

    def frames(self, found: FoundFile) -> list[Frame]:
        """Every frame of a file.

        Raises
        ------
        UnusableFile
            With the reason why the file holds no image that could be placed in the patient.
        """
        if found.refused:
            raise UnusableFile(found.refused, readable=found.refused == MADE_BY_ANATPREP)
        if found.size_bytes == 0:
            raise UnusableFile("empty-file", readable=False)
        try:
            return self._frames(found)
        except UnusableFile:
            raise
        except Exception as error:  # a broken file may fail anywhere in a parser; it must not stop the scan
            raise UnusableFile("unreadable-header", type(error).__name__, readable=False) from error

    def _frames(self, found: FoundFile) -> list[Frame]:
        if is_member(found.path):
            return self._member_frames(found)
        try:
            descriptor = os.open(f"{found.root}/{found.path}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UnusableFile(
                "cannot-open", error.strerror or type(error).__name__, readable=False
            ) from error
        try:
            frames = self._read(fetch_from(descriptor), found.size_bytes)
        except OSError as error:
            raise UnusableFile(
                "cannot-read", error.strerror or type(error).__name__, readable=False
            ) from error
        finally:
            os.close(descriptor)
        if frames is None:
            with open_file(found.root, found.path) as file:
                return _frames_by_pydicom(file, found.size_bytes)
        return frames

    def _member_frames(self, found: FoundFile) -> list[Frame]:
        """Unpack the start of a member, and all of it where its header needs more."""
        start_bytes = MEMBER_START_BYTES
        if found.size_bytes > start_bytes:
            with open_start(found.root, found.path, start_bytes) as start:
                frames = self._read(fetch_through(start), found.size_bytes)
            if frames is not None:
                return frames
        with open_file(found.root, found.path) as file:
            return self.frames_in(file, found.size_bytes)

    def frames_in(self, file: BinaryIO, size_bytes: int) -> list[Frame]:
        """Every frame of an open file.

        Raises
        ------
        UnusableFile
            As `frames`; a file broken in unheard-of ways may raise anything.
        """
        frames = self._read(fetch_through(file), size_bytes)
        if frames is None:
            file.seek(0)
            frames = _frames_by_pydicom(file, size_bytes)
        return frames

    def _read(self, fetch: Fetch, size_bytes: int) -> list[Frame] | None:
        """Frames of a file that our own reader understands, or None."""
        if self._reader is None:
            return None
        try:
            values = self._reader.read(fetch)
        except Unusual:
            return None
        return _frames_of(values, size_bytes)


def _frames_by_pydicom(file: BinaryIO, size_bytes: int) -> list[Frame]:
    """Frames of a file that is not for our own reader; until one comes pydicom need not be loaded."""
    from dicomgeom.by_pydicom import headers_by_pydicom

    return [_frame(header) for header in headers_by_pydicom(file, size_bytes)]


@dataclass
class _Series:
    """What is remembered of the images of a template whose other elements are equal, too."""

    header: ImageHeader | None
    verdict: UnusableFile | None
    fields: list[Any]
    is_mr_class: bool


@dataclass
class _Plan:
    """Which values of a template are an image's own, and which decide over its series."""

    deciding: list[int]
    own: list[tuple[int, ImageField, list[int], dict[Any, Any]]]
    series: dict[tuple[bytes, ...], _Series]


def _plan_of(values: Values) -> _Plan:
    asked = values.template.asked
    plan = _Plan([n for n, tag in enumerate(asked) if tag not in _FIELD_TAGS], [], {})
    for number, one in enumerate(IMAGE_FIELDS):
        places = [n for n, tag in enumerate(asked) if tag in one.tags]
        if not places:
            continue
        elements = [element for element in map(values.get_item, one.tags) if element is not None]
        remembered: dict[Any, Any] = {}
        if len(elements) == 1 and not one.is_distinct:  # its value says all: alike in every series
            remembered = _remembered.setdefault((one.name, elements[0].tag, elements[0].VR), remembered)
        plan.own.append((number, one, places, remembered))
    return plan


def _frames_of(values: Values, size_bytes: int) -> list[Frame] | None:
    """Frames of a file, from what is known of its series where that decides; None: leave it to pydicom."""
    known = values.template.known
    plan: _Plan = known.get("plan") or known.setdefault("plan", _plan_of(values))
    raw = values.values
    key = tuple([raw[n] for n in plan.deciding])
    series = plan.series.get(key)
    if series is None:
        if _is_other_kind(values):
            return None
        if len(plan.series) > MOST_SERIES:
            plan.series.clear()
        series = plan.series[key] = _judge(values)
    if series.is_mr_class:
        check_pixels(values.pixels_head, values.pixels_at, size_bytes)
    if series.verdict is not None and series.verdict.reason in ALIKE_REASONS:
        raise series.verdict
    fields = [*series.fields]
    for number, one, places, remembered in plan.own:
        found = raw[places[0]] if len(places) == 1 else tuple([raw[n] for n in places])
        try:
            fields[number] = remembered[found]
        except KeyError:
            fields[number] = one.read(Attributes(values))
            if not one.is_distinct:
                if len(remembered) > MOST_REMEMBERED:
                    remembered.clear()
                remembered[found] = fields[number]
    if series.header is None or fields[_FIELD_NUMBER["origin_mm"]] is None:
        return [_frame(header) for header in read_headers(values)]
    return [Frame(series.header, fields)]


def _is_other_kind(values: Values) -> bool:
    """Indexes of other files, files without class and modality, and images whose frames are nested."""
    source = Attributes(values)
    if source.text("MediaStorageSOPClassUID") == DICOMDIR_CLASS:
        return True
    if values.template.nests and not is_single_frame(source):
        return True
    return values.get_item(SOP_CLASS) is None and values.get_item(MODALITY) is None


def is_single_frame(source: Attributes) -> bool:
    """Whether nested groups mean nothing: converters leave some behind in classic images."""
    return source.text("SOPClassUID") == CLASSIC_MR_IMAGE and (source.integer("NumberOfFrames") or 1) <= 1


def _judge(values: Values) -> _Series:
    source = Attributes(values)
    stated = source.text("MediaStorageSOPClassUID") or source.text("SOPClassUID")
    is_mr_class = stated in MR_IMAGE_CLASSES
    try:
        headers = read_headers(values)
    except UnusableFile as unusable:
        return _Series(None, unusable, [None] * len(IMAGE_FIELDS), is_mr_class)
    (header,) = headers  # tiles and nested groups are left to pydicom
    return _Series(header, None, _frame(header).fields, is_mr_class)


def _frame(header: ImageHeader) -> Frame:
    """A header with its own fields taken out of it."""
    origin = header.plane.origin_mm.tolist()
    fields = [origin if one.name == "origin_mm" else getattr(header, one.name) for one in IMAGE_FIELDS]
    return Frame(header, fields)
