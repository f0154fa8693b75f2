"""The commit log of a store: one JSON row for each finished shard.

A shard counts when its row is there. A row names every file of the shard with its length and
SHA-256, what could not be read, and the sums from which the statistics of whole stacks are
put together at the end. `store.json`, the last row, does the same for the files that exist
once: the metadata and the arrays of stack statistics.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dicomgeom.errors import IntegrityError
from pretext_targets.places import FileRecord, Place, Where, place_of

FOLDER = "manifest"
STORE_ROW = "store.json"

Sums = tuple[float, float, float, float, float]
"""Of some pixels: count, sum, sum of squares, minimum, maximum."""


@dataclass(frozen=True)
class ManifestRow:
    """What a finished shard consists of.

    Attributes
    ----------
    shard : int
        Its number; -1 for the row of the store itself.
    start, stop : int
        Its examples.
    files : mapping
        Path in the store -> length and hash.
    invalid : mapping
        Example -> reason why its pixels could not be used, a word for machines.
    sums : mapping
        Stack of the plan -> sums over the grid pixels this shard read of it.
    annotated : int, optional
        Its annotated examples; None in rows of earlier versions.
    segments : mapping
        Code -> examples in which at least one pixel has it.
    """

    shard: int
    start: int
    stop: int
    files: Mapping[str, FileRecord]
    invalid: Mapping[int, str] = field(default_factory=dict)
    sums: Mapping[int, Sums] = field(default_factory=dict)
    annotated: int | None = None
    segments: Mapping[int, int] = field(default_factory=dict)


def row_name(shard: int) -> str:
    """Where the row of a shard lies; -1 for the store's own row."""
    return f"{FOLDER}/{STORE_ROW if shard < 0 else f'{shard:06d}.json'}"


def write_row(place: Place, row: ManifestRow) -> None:
    """Write a row so that it is there in whole or not at all."""
    place.put(row_name(row.shard), _as_bytes(asdict(row)))


def read_row(where: Where | Place, shard: int) -> ManifestRow | None:
    """Read a row; None when the shard isn't finished.

    Raises
    ------
    IntegrityError
        When the row is there but broken, or is that of another shard.
    """
    place, name = place_of(where), row_name(shard)
    found = place.get(name)
    if found is None:
        return None
    try:
        content = json.loads(found)
        row = ManifestRow(
            shard=int(content["shard"]),
            start=int(content["start"]),
            stop=int(content["stop"]),
            files={name: FileRecord(**one) for name, one in content["files"].items()},
            invalid={int(example): str(reason) for example, reason in content["invalid"].items()},
            sums={int(stack): _five(sums) for stack, sums in content["sums"].items()},
            annotated=content.get("annotated"),
            segments={int(code): int(count) for code, count in content.get("segments", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{place}/{name} is broken; delete it and run the same build-targets again"
        ) from error
    if row.shard != shard:
        raise IntegrityError(
            f"{place}/{name} says that it is the row of shard {row.shard}; "
            "delete it and run the same build-targets again"
        )
    return row


def _five(sums: Iterable[float]) -> Sums:
    count, total, squares, low, high = (float(one) for one in sums)
    return count, total, squares, low, high


def looks_whole(sizes: Mapping[str, int], row: ManifestRow) -> bool:
    """Whether every file of a row is there with its length: the cheap question before a resume."""
    return all(sizes.get(name) == record.size_bytes for name, record in row.files.items())


def _as_bytes(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1).encode("utf-8") + b"\n"
