"""Files that carry the same SOP Instance UID: copies, conflicts, and UIDs that were made wrong."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from typing import Any, Final, cast

from dicomgeom.errors import UnusableFile
from dicomgeom.sources import open_file

Row = Mapping[str, Any]
Identity = tuple[str, int]
"""SOP Instance UID and frame."""

PLACE_AND_TIME: Final = (
    "series_instance_uid", "origin_mm", "right", "down", "echo_time_ms", "inversion_time_ms",
    "trigger_time_ms", "temporal_position", "acquired_at", "content_time", "instance_number", "contrast_kind",
)  # fmt: skip
"""Images that differ in any of these are two images, whatever their UIDs say."""


@dataclass(frozen=True)
class Twins:
    """Rows to leave out with their reason, and identities that several kept images share."""

    left_out: dict[int, str]
    shared: frozenset[Identity]


def find_twins(rows: Sequence[Row]) -> Twins:
    """Compare the images of one study that share a SOP Instance UID.

    Equal files are copies: the first is used. Other files with the same place and time are
    in conflict: the first is used, since two would look like two phases. Files of another
    place or time are images of their own, whose UIDs were made wrong: all are used.
    """
    groups: dict[Identity, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if row["sop_instance_uid"]:
            groups[row["sop_instance_uid"], row["frame"]].append(i)
    content_of = cache(_content_hash)  # frames of a file ask for the same one
    left_out: dict[int, str] = {}
    shared = set()
    for identity, members in groups.items():
        if len(members) == 1:
            continue
        at_place: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for i in members:
            at_place[_place_and_time(rows[i])].append(i)
        if len(at_place) > 1:
            shared.add(identity)
        for alike in at_place.values():
            left_out |= _judged(rows, alike, content_of)
    return Twins(left_out, frozenset(shared))


def _judged(
    rows: Sequence[Row], alike: Sequence[int], content_of: Callable[[str, str], str]
) -> dict[int, str]:
    """Judge images of one identity, place and time: all but the first are left out."""
    if len(alike) == 1:
        return {}
    contents = [content_of(rows[i]["root"], rows[i]["path"]) for i in alike]
    return {i: "copy" if contents[n] in contents[:n] else "conflict" for n, i in enumerate(alike) if n > 0}


def _place_and_time(row: Row) -> tuple[Any, ...]:
    values = (row[name] for name in PLACE_AND_TIME)
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)


def _content_hash(root: str, path: str) -> str:
    """Hash of a file; what cannot be read equals no other file."""
    try:
        with open_file(root, path) as file:
            return hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()
    except (UnusableFile, OSError):  # a file that opens may still lie on a bad sector
        return f"gone:{root}/{path}"
