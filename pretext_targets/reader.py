"""Fast reading of single slices, for training.

Zarr's own indexing costs some milliseconds a slice, most of it scheduling. The stores' layout
is fixed by their version (see `store.py`), so this reader maps the shard files into memory,
reads each shard's index once (Zarr v3, `sharding_indexed`: at the end, offset and length of
every chunk as little-endian uint64, then a CRC-32C) and lets Blosc decompress straight into
the result. A test holds it equal to zarr-python on every array.
"""

from __future__ import annotations

import mmap
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import ArrayLike, NDArray

from dicomgeom.errors import IntegrityError, WrongUse
from pretext_targets.store import Field, Store, StoreAttributes, open_store

OPEN_SHARDS = 512
"""Shard files kept mapped at once by a reader; the oldest is let go first."""

EMPTY_CHUNK = np.uint64(2**64 - 1)
"""Offset and length of a chunk that was never written."""


class ShardFile:
    """One shard file in memory: the place of every chunk in it."""

    def __init__(self, path: Path, chunks: int) -> None:
        index_bytes = 16 * chunks
        try:
            with path.open("rb") as file:
                self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise IntegrityError(f"{path} is missing or empty; run anatprep verify on its store") from error
        size = len(self._mapped)
        if size < index_bytes + 4:
            raise IntegrityError(f"{path} is truncated; run anatprep verify on its store")
        start = size - 4 - index_bytes
        index = np.frombuffer(self._mapped[start : size - 4], dtype="<u8").reshape(chunks, 2)
        written = index[:, 0] != EMPTY_CHUNK
        if (index[written].sum(axis=1) > start).any():
            raise IntegrityError(f"{path} has a broken index; run anatprep verify on its store")
        self._index = index
        self._view = memoryview(self._mapped)

    def read(self, position: int, out: NDArray[Any], fill: float | int | bool) -> None:
        """Decompress the chunk at `position` into `out`, C-contiguous."""
        offset, length = self._index[position]
        if offset == EMPTY_CHUNK:
            out[...] = fill
            return
        blosc.decompress(self._view[int(offset) : int(offset + length)], out)


class StoreReader:
    """Reads a complete store.

    Parameters
    ----------
    path : Path
        The store.
    unfinished : bool
        Whether a half-written store is acceptable; its missing shards cannot be read.

    Notes
    -----
    May be sent to other processes: only the path travels, each maps the files itself. One
    reader is for one thread.
    """

    def __init__(self, path: Path, *, unfinished: bool = False) -> None:
        self._unfinished = unfinished
        self._store: Store = open_store(Path(path), unfinished=unfinished)
        self._fields: dict[str, Field] = {one.name: one for one in self.attributes.fields}
        self._columns: dict[str, NDArray[Any]] = {}
        self._shards: OrderedDict[tuple[str, int], ShardFile] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._store.path, self._unfinished)

    @property
    def path(self) -> Path:
        """Where the store is."""
        return self._store.path

    @property
    def attributes(self) -> StoreAttributes:
        """What the store says about itself."""
        return self._store.attributes

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return self._store.names

    def __len__(self) -> int:
        return self.attributes.examples

    def column(self, name: str) -> NDArray[Any]:
        """A whole small array (no rasters), read once and kept; not writable.

        Raises
        ------
        WrongUse
            For images and rasters, which are read slice by slice.
        """
        if name in self._fields and self._fields[name].is_raster:
            raise WrongUse(f"{name!r} is an array of images; read slices of it with read()")
        if name not in self._columns:
            values = np.asarray(self._store.array(name)[...])
            values.setflags(write=False)
            self._columns[name] = values
        return self._columns[name]

    def read(self, name: str, indices: ArrayLike) -> NDArray[Any]:
        """Some examples of any array.

        Parameters
        ----------
        name : str
            Name of the array.
        indices : array_like of int, shape (n,)
            Examples, in any order, repeated or not.

        Returns
        -------
        array, shape (n, ...)
            In the array's own dtype and the order asked for.

        Raises
        ------
        IntegrityError
            When the array isn't in the store or its file is broken.
        WrongUse
            When an index lies outside the store.
        """
        wanted = np.atleast_1d(np.asarray(indices, dtype=np.int64))
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise WrongUse(
                f"examples must lie in 0 ... {len(self) - 1}, found {wanted.min()} ... {wanted.max()}"
            )
        if name not in self._fields or not self._fields[name].is_raster:
            return np.asarray(self.column(name)[wanted])
        one = self._fields[name]
        result = np.empty((wanted.size, *self.attributes.shape_of(one)[1:]), dtype=one.dtype)
        for place, example in enumerate(wanted.tolist()):
            shard, position = divmod(example, self.attributes.shard)
            file = self._shard(one, shard)
            try:
                file.read(position, result[place], one.fill)
            except (RuntimeError, ValueError) as error:
                raise IntegrityError(
                    f"{self.path}: example {example} of {name!r} is broken; run anatprep verify on it"
                ) from error
        return result

    def _shard(self, one: Field, shard: int) -> ShardFile:
        key = (one.name, shard)
        found = self._shards.get(key)
        if found is None:
            tail = ["0"] * (len(one.axes) - 1)
            path = self.path.joinpath(one.name, "c", str(shard), *tail)
            found = self._shards[key] = ShardFile(path, self.attributes.shard)
            if len(self._shards) > OPEN_SHARDS:
                self._shards.popitem(last=False)
        else:
            self._shards.move_to_end(key)
        return found


def _reopen(path: Path, unfinished: bool) -> StoreReader:
    return StoreReader(path, unfinished=unfinished)
