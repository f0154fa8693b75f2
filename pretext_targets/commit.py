"""Put whole chunks of some arrays into a store: written aside, on disk, read back, moved in.

All files of an attempt lie in one folder of its own under numbers. Each is read back once:
the bytes that are hashed for the manifest are the bytes that are decoded and compared. Waiting
for the disk is done for several files at a time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import IntegrityError
from pretext_targets.chunks import ShardFile, chunk_bytes, read_chunk, shard_index
from pretext_targets.manifest import FileRecord, sync_folder
from pretext_targets.store import Field, StoreAttributes, codec_of

WORKING: Final = ".building"
"""Folder in an unfinished store for attempts and the lock."""

LABEL_RASTERS: Final = ("box_mask", "line_heatmap")
"""Pixels that all phases of a slice share: compressed once, written for each."""

AT_ONCE: Final = 8
"""Files whose way to the disk is waited for together."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ChunkFile:
    """One file to write: a shard of pixels, or a chunk of a small column."""

    field: Field
    number: int
    """Of the shard or chunk along the examples."""
    values: NDArray[Any]
    """Its examples."""

    @property
    def name(self) -> str:
        """Path in the store."""
        return "/".join([self.field.name, "c", str(self.number), *["0"] * (len(self.field.axes) - 1)])


def commit(
    store: Path,
    attributes: StoreAttributes,
    arrays: Arrays,
    start: int,
    stop: int,
    *,
    same_slice: Sequence[bool] = (),
) -> dict[str, FileRecord]:
    """Write examples `start` to `stop`, whole shards, of some arrays.

    Parameters
    ----------
    store : Path
        The store they belong to.
    attributes : StoreAttributes
        What it says about itself.
    arrays : mapping of array
        By name, first axis the examples.
    start, stop : int
        First example and one past the last.
    same_slice : sequence of bool
        For each example whether its `LABEL_RASTERS` are those of the one before.

    Returns
    -------
    dict
        Path in the store -> length and SHA-256, in the order of the paths.

    Raises
    ------
    IntegrityError
        When something does not read back as it was written.
    """
    attempt = store / WORKING / uuid.uuid4().hex
    attempt.mkdir(parents=True)
    files = sorted(_files(attributes, arrays, start, stop), key=lambda one: one.name)
    places = {one.name: attempt / f"{number:05d}" for number, one in enumerate(files)}
    try:
        for one in files:
            _write(places[one.name], _pieces(one, attributes, same_slice))
        _all_at_once(_sync_file, [places[one.name] for one in files])
        records = {one.name: _read_back(places[one.name], one, attributes) for one in files}
        for name, path in places.items():
            folder = (store / name).parent
            if not folder.is_dir():  # asked first: it costs less than a refused mkdir
                folder.mkdir(parents=True, exist_ok=True)
            os.replace(path, store / name)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    _all_at_once(sync_folder, sorted({(store / name).parent for name in places}))
    return records


def _files(attributes: StoreAttributes, arrays: Arrays, start: int, stop: int) -> Iterator[ChunkFile]:
    for field in attributes.fields:
        if field.name not in arrays:
            continue
        for number in range(start // attributes.shard, -(-stop // attributes.shard)):
            first, last = attributes.range_of(number)
            yield ChunkFile(field, number, arrays[field.name][first - start : last - start])


def _pieces(one: ChunkFile, attributes: StoreAttributes, same_slice: Sequence[bool]) -> list[bytes]:
    """The content of a file, in pieces."""
    codec = codec_of(one.field, attributes)
    if not one.field.is_raster:
        whole = np.full((attributes.shard, *one.values.shape[1:]), one.field.fill, dtype=one.field.dtype)
        whole[: len(one.values)] = one.values
        return [chunk_bytes(whole, codec)]
    repeats = same_slice if one.field.name in LABEL_RASTERS else ()
    chunks: list[bytes] = []
    for row, values in enumerate(one.values):
        again = bool(repeats) and row > 0 and repeats[row]
        chunks.append(chunks[-1] if again else chunk_bytes(values, codec))
    return [*chunks, shard_index(chunks, attributes.shard)]


def _write(path: Path, pieces: Sequence[bytes]) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(b"".join(pieces))


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _read_back(path: Path, one: ChunkFile, attributes: StoreAttributes) -> FileRecord:
    """Length and hash of a file, once it is sure that it holds what it should."""
    codec = codec_of(one.field, attributes)
    try:
        if one.field.is_raster:
            shard = ShardFile(path, attributes.shard, codec)
            content: memoryview | bytes = shard.content
            found = np.empty(one.values.shape[1:], dtype=one.field.dtype)
            same = True
            for row, values in enumerate(one.values):
                shard.read(row, found, one.field.fill)
                same = same and np.array_equal(found, values)
        else:
            content = path.read_bytes()
            shape = (attributes.shard, *one.values.shape[1:])
            whole = np.empty(shape, dtype=one.field.dtype)
            read_chunk(content, whole.view(np.uint8) if whole.dtype == np.bool_ else whole, codec)
            is_float = one.field.dtype.startswith("float")
            same = np.array_equal(whole[: len(one.values)], one.values, equal_nan=is_float)
    except (ValueError, RuntimeError):
        same = False
    if not same:
        raise IntegrityError(f"{path}: {one.name!r} did not read back; the disk is failing or full")
    return FileRecord(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _all_at_once(work: Callable[[Path], None], paths: Sequence[Path]) -> None:
    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(paths)))) as pool:
        list(pool.map(work, paths))
