"""The commit log of a store: one JSON row for each finished shard.

A shard counts when its row is there. A row names every file of the shard with its length and
SHA-256, what could not be read, and the sums from which the statistics of whole stacks are
put together at the end. `store.json`, the last row, does the same for the files that exist
once: the metadata and the arrays of stack statistics.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dicomgeom.errors import IntegrityError

FOLDER = "manifest"
STORE_ROW = "store.json"

Sums = tuple[float, float, float, float, float]
"""Of some pixels: count, sum, sum of squares, minimum, maximum."""


@dataclass(frozen=True)
class FileRecord:
    """Length and SHA-256 (hexadecimal) of one file."""

    size_bytes: int
    sha256: str


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
    """

    shard: int
    start: int
    stop: int
    files: Mapping[str, FileRecord]
    invalid: Mapping[int, str] = field(default_factory=dict)
    sums: Mapping[int, Sums] = field(default_factory=dict)


def row_path(store: Path, shard: int) -> Path:
    """Where the row of a shard lies; -1 for the store's own row."""
    return store / FOLDER / (STORE_ROW if shard < 0 else f"{shard:06d}.json")


def write_row(store: Path, row: ManifestRow) -> None:
    """Write a row so that it is there in whole or not at all."""
    write_whole(row_path(store, row.shard), _as_bytes(asdict(row)))


def read_row(store: Path, shard: int) -> ManifestRow | None:
    """Read a row; None when the shard isn't finished.

    Raises
    ------
    IntegrityError
        When the row is there but broken.
    """
    path = row_path(store, shard)
    try:
        content = json.loads(path.read_bytes())
        return ManifestRow(
            shard=int(content["shard"]),
            start=int(content["start"]),
            stop=int(content["stop"]),
            files={name: FileRecord(**one) for name, one in content["files"].items()},
            invalid={int(example): str(reason) for example, reason in content["invalid"].items()},
            sums={int(stack): _five(sums) for stack, sums in content["sums"].items()},
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{path} is broken; delete it and run the same build-targets again") from error


def _five(sums: Iterable[float]) -> Sums:
    count, total, squares, low, high = (float(one) for one in sums)
    return count, total, squares, low, high


def record_of(path: Path) -> FileRecord:
    """Length and hash of a file as it is on disk."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileRecord(size_bytes=file.tell(), sha256=digest.hexdigest())


def record_of_bytes(content: bytes) -> FileRecord:
    """Length and hash that a file with this content will have."""
    return FileRecord(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def looks_whole(store: Path, row: ManifestRow) -> bool:
    """Whether every file of a row is there with its length: the cheap question before a resume."""
    for name, record in row.files.items():
        try:
            if (store / name).stat().st_size != record.size_bytes:
                return False
        except OSError:
            return False
    return True


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it is there in whole, or the old one is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    attempt = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with attempt.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(attempt, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Ask the disk to keep a folder's entries."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_bytes(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1).encode("utf-8") + b"\n"
