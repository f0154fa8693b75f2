"""How arrays lie in files: Zarr v3 chunks and shards, written and read without zarr-python.

Zarr's own indexing costs some milliseconds a slice, most of it scheduling. The layout of a
store is fixed by its version (see `store.py`), so its files can be made and read directly:

- a chunk of pixels is one slice, compressed by Blosc or stored as it is;
- a shard file (`sharding_indexed`) is its chunks one after the other, then offset and length
  of each as little-endian uint64, then a CRC-32C of that index;
- a chunk of a small column is a whole file.

Tests hold every array equal to what zarr-python reads.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from dicomgeom.errors import IntegrityError
from pretext_targets.codecs import Codec
from pretext_targets.schema import Field

# Its own threads would write blocks in the order in which they finish, and do not survive a fork.
blosc.use_threads = False

EMPTY_CHUNK: Final = np.uint64(2**64 - 1)
"""Offset and length of a chunk that was never written."""

SHUFFLES: Final = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


def is_plain_layout(
    metadata: Mapping[str, Any], one: Field, shape: tuple[int, ...], codec: Codec | None
) -> bool:
    """Whether an array lies in files as this module reads them.

    Parameters
    ----------
    metadata : mapping
        The array's zarr.json.
    one : Field
        What it should be: pixels come in shards of single slices, small columns in plain chunks.
    shape : tuple of int
        Of a shard or chunk, examples first.
    codec : Codec or None
        How its chunks should be compressed.
    """
    chunk = {"codecs": ["bytes"] if codec is None else ["bytes", "blosc"], "endian": {"little"}}
    shards = {"inner": chunk, "chunk_shape": [1, *shape[1:]], "index": ["bytes", "crc32c"], "location": "end"}
    expected = {
        "chunk_grid": ("regular", list(shape)),
        "key": ("default", "/"),
        **({"codecs": ["sharding_indexed"], **shards} if one.is_raster else chunk),
    }
    try:
        return _layout(metadata, sharded=one.is_raster) == expected
    except (KeyError, IndexError, TypeError, AttributeError):
        return False


def _layout(metadata: Mapping[str, Any], *, sharded: bool) -> dict[str, Any]:
    """What a zarr.json says of files, defaults filled in."""
    grid, key, codecs = metadata["chunk_grid"], metadata["chunk_key_encoding"], metadata["codecs"]
    found = {
        "chunk_grid": (grid["name"], grid["configuration"]["chunk_shape"]),
        "key": (key["name"], key.get("configuration", {}).get("separator", "/")),
    }
    if not sharded:
        return {**found, **_codecs(codecs)}
    sharding = codecs[0]["configuration"]
    return {
        **found,
        "codecs": [one["name"] for one in codecs],
        "inner": _codecs(sharding["codecs"]),
        "chunk_shape": sharding["chunk_shape"],
        "index": [one["name"] for one in sharding["index_codecs"]],
        "location": sharding.get("index_location", "end"),
    }


def _codecs(codecs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    endian = {one.get("configuration", {}).get("endian", "little") for one in codecs}
    return {"codecs": [one["name"] for one in codecs], "endian": endian}


def chunk_bytes(values: NDArray[Any], codec: Codec | None) -> bytes:
    """One chunk as it lies in a file."""
    plain = np.ascontiguousarray(values)
    if codec is None:
        return plain.tobytes()
    typed = plain.view(np.uint8) if plain.dtype == np.bool_ else plain
    return bytes(blosc.compress(typed, codec.name.encode(), codec.level, SHUFFLES[codec.shuffle]))


def read_chunk(content: memoryview | bytes, out: NDArray[Any], codec: Codec | None) -> None:
    """Fill `out`, C-contiguous, from a chunk.

    Raises
    ------
    ValueError, RuntimeError
        When the chunk is broken or not of this size.
    """
    if codec is not None:
        blosc.decompress(content, out)
        return
    if len(content) != out.nbytes:
        raise ValueError(f"a chunk of {out.nbytes} bytes expected, found {len(content)}")
    out[...] = np.frombuffer(content, dtype=out.dtype).reshape(out.shape)


def shard_index(chunks: Sequence[bytes], slots: int) -> bytes:
    """The end of a shard file: where each chunk lies; slots beyond the chunks are empty."""
    index = np.full((slots, 2), EMPTY_CHUNK, dtype="<u8")
    lengths = np.array([len(chunk) for chunk in chunks], dtype=np.uint64)
    index[: len(chunks), 1] = lengths
    index[: len(chunks), 0] = np.cumsum(lengths) - lengths
    content = index.tobytes()
    return content + int(google_crc32c.value(content)).to_bytes(4, "little")


class Pieces(Protocol):
    """A file of which parts can be read."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def size_bytes(self) -> int:
        """Length of the whole."""
        ...

    def parts(self, spans: Sequence[tuple[int, int]]) -> Sequence[memoryview | bytes]:
        """Some parts, each from its first byte to one past its last.

        Raises
        ------
        IntegrityError
            When they cannot be read.
        """
        ...


@dataclass(frozen=True)
class Held:
    """A file in memory, or mapped into it."""

    name: str
    content: memoryview

    @property
    def size_bytes(self) -> int:
        """See `Pieces`."""
        return len(self.content)

    def parts(self, spans: Sequence[tuple[int, int]]) -> list[memoryview]:
        """See `Pieces`."""
        return [self.content[start:stop] for start, stop in spans]


def mapped(path: Path) -> Held:
    """A file on a disk.

    Raises
    ------
    IntegrityError
        When it is missing or empty.
    """
    try:
        with path.open("rb") as file:
            return Held(str(path), memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path} is missing or empty; run anatprep verify on its store") from error


class ShardFile:
    """One shard file: the place of every chunk in it."""

    def __init__(self, content: Pieces, chunks: int, codec: Codec | None) -> None:
        index_bytes = 16 * chunks
        self._content, self._codec = content, codec
        start = content.size_bytes - 4 - index_bytes
        if start < 0:
            raise IntegrityError(f"{content.name} is truncated; run anatprep verify on its store")
        (end,) = content.parts([(start, start + index_bytes)])
        index = np.frombuffer(end, dtype="<u8").reshape(chunks, 2)
        written = index[:, 0] != EMPTY_CHUNK
        if (index[written].sum(axis=1) > start).any():
            raise IntegrityError(f"{content.name} has a broken index; run anatprep verify on its store")
        self._index: list[tuple[int, int]] = [(int(offset), int(length)) for offset, length in index]

    def read(self, positions: Sequence[int], outs: Sequence[NDArray[Any]], fill: float | int | bool) -> None:
        """Read the chunks at some positions, each into its own C-contiguous array.

        Raises
        ------
        ValueError, RuntimeError
            When a chunk is broken.
        """
        spans, wanted = [], []
        for position, out in zip(positions, outs, strict=True):
            offset, length = self._index[position]
            if offset == EMPTY_CHUNK:
                out[...] = fill
            else:
                spans.append((offset, offset + length))
                wanted.append(out)
        for out, content in zip(wanted, self._content.parts(spans) if spans else (), strict=True):
            read_chunk(content, out, self._codec)
