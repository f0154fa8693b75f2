"""Fast reading of single slices, for training, from a folder or a URL.

Shard files on a disk are mapped into memory, of those behind a URL parts are asked for (`chunks.py`);
the index of each is read once, and Blosc decompresses straight into the result. Arrays that
lie otherwise in their files (a store that other software has written again, with other codecs)
are read through zarr-python. Tests hold both equal on every array.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomgeom.errors import IntegrityError, WrongUse
from pretext_targets.attributes import StoreAttributes
from pretext_targets.chunks import ShardFile, is_plain_layout, read_chunk
from pretext_targets.codecs import codec_of
from pretext_targets.places import METADATA, Place, Where
from pretext_targets.schema import Field
from pretext_targets.store import Store, open_store

OPEN_SHARDS = 512
"""Shard files kept open at once by a reader; the oldest is let go first."""


class StoreReader:
    """Reads a complete store.

    Parameters
    ----------
    where : Path or str
        The store: a path or a URL.
    unfinished : bool
        Whether a half-written store is acceptable; its missing shards cannot be read.

    Notes
    -----
    May be used from several threads, be inherited by a fork, and be sent to other processes:
    only the place travels, each opens the files itself. There is no lock that a fork could
    inherit held: what threads share are dictionaries, and work done twice is harmless. A reader of a
    URL cannot be used in a fork, since the network's threads don't survive one: spawn there.
    """

    def __init__(self, where: Where | Place, *, unfinished: bool = False) -> None:
        self._unfinished = unfinished
        self._store: Store = open_store(where, unfinished=unfinished)
        self._fields: dict[str, Field] = {one.name: one for one in self.attributes.fields}
        self._columns: dict[str, NDArray[Any]] = {}
        self._shards: dict[tuple[str, int], ShardFile] = {}
        self._plain: dict[str, bool] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.place, self._unfinished)

    @property
    def place(self) -> Place:
        """Where the store lies."""
        return self._store.place

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
        IntegrityError
            When the array isn't in the store, or a file of it is missing or broken.
        WrongUse
            For images and rasters, which are read slice by slice.
        """
        one = self._fields.get(name)
        if one and one.is_raster:
            raise WrongUse(f"{name!r} is an array of images; read slices of it with read()")
        if name not in self._columns:
            plain = one is not None and self._is_plain(one)
            values = self._whole(one) if one and plain else np.asarray(self._store.array(name)[...])
            values.setflags(write=False)
            self._columns[name] = values
        return self._columns[name]

    def _whole(self, one: Field) -> NDArray[Any]:
        """A small array from its files; Zarr would answer with fill values where one is missing."""
        attributes = self.attributes
        values = np.full(attributes.shape_of(one), one.fill, dtype=one.dtype)

        def read_part(number: int) -> None:
            name = one.chunk_name(number)
            content = self.place.get(name)
            if content is None and self._unfinished:
                return
            part = np.empty((attributes.shard, *values.shape[1:]), dtype=one.dtype)
            try:
                read_chunk(
                    content or b"",
                    part.view(np.uint8) if part.dtype == np.bool_ else part,
                    codec_of(one, attributes.compression),
                )
            except (RuntimeError, ValueError) as error:
                what = "missing" if content is None else "broken"
                raise IntegrityError(f"{self.place}: {name} is {what}; run anatprep verify on it") from error
            first, last = attributes.range_of(number)
            values[first:last] = part[: last - first]

        self.place.at_once(read_part, range(attributes.shards))
        return values

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
        if not self._is_plain(one):
            return np.asarray(self._store.array(name).oindex[wanted])
        result = np.empty((wanted.size, *self.attributes.shape_of(one)[1:]), dtype=one.dtype)
        by_shard: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for row, example in enumerate(wanted.tolist()):
            shard, position = divmod(example, self.attributes.shard)
            by_shard[shard].append((position, row))

        def read_shard(shard: int) -> None:
            positions, rows = zip(*by_shard[shard], strict=True)
            try:
                self._shard(one, shard).read(positions, [result[row] for row in rows], one.fill)
            except (RuntimeError, ValueError) as error:
                raise IntegrityError(
                    f"{self.place}: shard {shard} of {name!r} is broken; run anatprep verify on it"
                ) from error

        self.place.at_once(read_shard, list(by_shard))
        return result

    def _is_plain(self, one: Field) -> bool:
        if one.name not in self._plain:
            try:
                metadata = json.loads(self.place.get(f"{one.name}/{METADATA}") or b"")
            except ValueError as error:
                raise IntegrityError(f"{self.place}: the metadata of {one.name!r} is broken") from error
            shard = (self.attributes.shard, *self.attributes.shape_of(one)[1:])
            codec = codec_of(one, self.attributes.compression)
            self._plain[one.name] = is_plain_layout(metadata, one, shard, codec)
        return self._plain[one.name]

    def _shard(self, one: Field, shard: int) -> ShardFile:
        key = (one.name, shard)
        found = self._shards.get(key)
        if found is None:
            name = one.chunk_name(shard)
            found = ShardFile(
                self.place.open(name), self.attributes.shard, codec_of(one, self.attributes.compression)
            )
            self._shards[key] = found
            while len(self._shards) > OPEN_SHARDS:
                self._shards.pop(next(iter(self._shards.copy())), None)
        return found


def open_reader(where: Where | Place) -> StoreReader:
    """Read the complete store at a path or URL; see `StoreReader`."""
    return StoreReader(where)


def _reopen(place: Place, unfinished: bool) -> StoreReader:
    return StoreReader(place, unfinished=unfinished)
