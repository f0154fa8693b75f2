"""The two ways a header can be read, side by side."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from dicomgeom.errors import UnusableFile
from dicomgeom.header import ImageHeader
from dicomgeom.quietness import quiet
from dicomgeom.scan import Scanner, status_of, whole_header
from dicomgeom.sources import FoundFile

Verdict = list[dict[str, Any]] | tuple[str, str, str]


def verdict(scanner: Scanner, found: FoundFile) -> Verdict:
    """Everything the tables will hold of a file, in values that can be compared."""
    try:
        with quiet():
            return [plain(whole_header(frame)) for frame in scanner.frames(found)]
    except UnusableFile as unusable:
        return status_of(unusable), unusable.reason, unusable.detail


def plain(header: ImageHeader) -> dict[str, Any]:
    """All fields of a header in values that can be compared."""
    row = {one.name: getattr(header, one.name) for one in fields(header)}
    plane = row.pop("plane")
    for one in fields(plane):
        value = getattr(plane, one.name)
        row[f"plane.{one.name}"] = value.tolist() if hasattr(value, "tolist") else value
    return {name: repr(value) for name, value in row.items()}
