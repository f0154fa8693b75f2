"""Put whole chunks of some arrays into a store: written, read back, and only then counted.

Each file is read back once: the bytes that are hashed for the manifest are the bytes that are
decoded and compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import IntegrityError
from pretext_targets.attributes import StoreAttributes
from pretext_targets.chunks import Pieces, ShardFile, chunk_bytes, read_chunk, shard_index
from pretext_targets.codecs import codec_of
from pretext_targets.place import FileRecord, Place, record_of_bytes
from pretext_targets.schema import Field

LABEL_RASTERS: Final = ("box_mask", "line_heatmap")
"""Pixels that all phases of a slice share: compressed once, written for each."""

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
        return self.field.chunk_name(self.number)


def commit(
    place: Place,
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
    place : Place
        Where the store lies.
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
    files = {one.name: one for one in sorted(_files(attributes, arrays, start, stop), key=_name)}
    pieces = ((name, _pieces(one, attributes, same_slice)) for name, one in files.items())
    return place.put_checked(pieces, lambda name, found: _checked(found, files[name], attributes))


def _name(one: ChunkFile) -> str:
    return one.name


def _files(attributes: StoreAttributes, arrays: Arrays, start: int, stop: int) -> Iterator[ChunkFile]:
    for field in attributes.fields:
        if field.name not in arrays:
            continue
        for number in range(start // attributes.shard, -(-stop // attributes.shard)):
            first, last = attributes.range_of(number)
            yield ChunkFile(field, number, arrays[field.name][first - start : last - start])


def _pieces(one: ChunkFile, attributes: StoreAttributes, same_slice: Sequence[bool]) -> list[bytes]:
    """The content of a file, in pieces."""
    codec = codec_of(one.field, attributes.compression)
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


def _checked(content: Pieces, one: ChunkFile, attributes: StoreAttributes) -> FileRecord:
    """Length and hash of a file that was read back, once it is sure that it holds what it should."""
    codec = codec_of(one.field, attributes.compression)
    (whole,) = content.parts([(0, content.size_bytes)])
    try:
        if one.field.is_raster:
            same = _same_pixels(ShardFile(content, attributes.shard, codec), one)
        else:
            found = np.empty((attributes.shard, *one.values.shape[1:]), dtype=one.field.dtype)
            read_chunk(whole, found.view(np.uint8) if found.dtype == np.bool_ else found, codec)
            is_float = one.field.dtype.startswith("float")
            same = np.array_equal(found[: len(one.values)], one.values, equal_nan=is_float)
    except (ValueError, RuntimeError, IntegrityError):
        same = False
    if not same:
        raise IntegrityError(f"{content.name}: {one.name!r} did not read back; the disk is failing or full")
    return record_of_bytes(whole)


def _same_pixels(shard: ShardFile, one: ChunkFile) -> bool:
    found = np.empty(one.values.shape[1:], dtype=one.field.dtype)
    for row, values in enumerate(one.values):
        shard.read([row], [found], one.field.fill)
        if not np.array_equal(found, values):
            return False
    return True
