"""The store, the contract between the build and training: made, opened, read with Zarr.

A store is one Zarr v3 group of a few big arrays along `example` (`schema.py`) with a description
(`attributes.py`). The rasters and images are sharded: a chunk is one slice, a shard is `shard`
slices. The small columns have one plain chunk for each shard, so that the files of shard s are
exactly the chunk s of every array and two shards never share a file. Beside the arrays lies
`manifest/`, one JSON file for each shard that is finished (`manifest.py`). It lies in a folder
or behind a URL (`places.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import zarr

from dicomgeom.errors import HalfWritten, IntegrityError, first_line
from pretext_targets.attributes import (
    ATTRIBUTE,
    FORMAT,
    VERSION,
    StoreAttributes,
    attributes_from,
    read_attributes,
    this_software,
)
from pretext_targets.codecs import CODECS, SMALL_COLUMNS, Codec, Compression, codec_of
from pretext_targets.places import METADATA, Place, Where, place_of
from pretext_targets.schema import (
    FIXED_AXES,
    NOT_ANNOTATED,
    SCHEMA,
    SPLITS,
    STACK_STATISTICS,
    Field,
    Part,
    fields_of,
)

__all__ = [
    "ATTRIBUTE", "CODECS", "DEFAULT_SHARD", "FIXED_AXES", "FORMAT", "NOT_ANNOTATED", "SCHEMA",
    "SMALL_COLUMNS", "SPLITS", "STACK_STATISTICS", "VERSION", "Codec", "Compression", "Field",
    "Part", "Store", "StoreAttributes", "array_options", "attributes_from", "codec_of",
    "create_group", "fields_of", "first_files", "open_array", "open_store", "read_attributes",
    "this_software",
]  # fmt: skip

DEFAULT_SHARD = 256
"""Examples in a shard: 25 MB of images at 224 x 224, a few seconds of work to lose."""


@dataclass(frozen=True)
class Store:
    """An open store: checked attributes and its arrays."""

    place: Place
    attributes: StoreAttributes
    _opened: dict[str, zarr.Array[Any]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays, in schema order."""
        return tuple(one.name for one in self.attributes.fields)

    def array(self, name: str) -> zarr.Array[Any]:
        """One array, opened for reading.

        Raises
        ------
        IntegrityError
            When the store has no such array, or it isn't what the schema says.
        """
        if name not in self.names:
            raise IntegrityError(f"{self.place} has no array {name!r}; it has {', '.join(self.names)}")
        if name not in self._opened:
            self._opened[name] = open_array(self.place, name)
        return self._opened[name]


def array_options(one: Field, attributes: StoreAttributes) -> dict[str, Any]:
    """Arguments of `zarr.create_array` for one array of the schema."""
    from zarr.codecs import BloscCodec

    shape = attributes.shape_of(one)
    shard = (attributes.shard, *shape[1:])
    codec = codec_of(one, attributes.compression)
    return {
        "shape": shape,
        "dtype": one.dtype,
        "chunks": (1, *shape[1:]) if one.is_raster else shard,
        "shards": shard if one.is_raster else None,
        "compressors": None
        if codec is None
        else BloscCodec(cname=codec.name, clevel=codec.level, shuffle=codec.shuffle),
        "fill_value": one.fill,
        "dimension_names": one.axes,
        "attributes": {"meaning": one.meaning},
        # Without it a shard of nothing but fill value writes no file. It is not stored with the
        # array, so only an array that was just created with it may be written to.
        "config": {"write_empty_chunks": True},
    }


def create_group(where: Any, attributes: StoreAttributes) -> None:
    """Make the group and its empty arrays where nothing is yet: a path, or one of Zarr's stores."""
    content = {ATTRIBUTE: attributes.model_dump(mode="json")}
    zarr.create_group(where, zarr_format=3, attributes=content)
    for one in attributes.fields:
        zarr.create_array(where, name=one.name, **array_options(one, attributes))


def first_files(attributes: StoreAttributes) -> dict[str, bytes]:
    """The files of an empty store, by name."""
    made: dict[str, Any] = {}
    create_group(zarr.storage.MemoryStore(made), attributes)
    return {name: content.to_bytes() for name, content in made.items()}


def open_array(where: Where | Place, name: str) -> zarr.Array[Any]:
    """Open one array of a store for reading.

    Raises
    ------
    IntegrityError
        When it is missing or its metadata cannot be read.
    """
    place = place_of(where)
    try:
        return zarr.open_array(place.for_zarr(), path=name, mode="r", zarr_format=3)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{place}: the array {name!r} is missing or broken ({first_line(error)}); build the store again"
        ) from error


def open_store(where: Where | Place, *, unfinished: bool = False) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    where : Path, str or Place
        The folder or URL of the Zarr group.
    unfinished : bool
        Whether a store that is still being built is acceptable.

    Raises
    ------
    IntegrityError, WrongVersion
        When it is no store, is broken, or another version wrote it.
    HalfWritten
        When it is not complete and `unfinished` is not set.
    """
    place = place_of(where)
    attributes = read_attributes(place)
    if not attributes.complete and not unfinished:
        raise HalfWritten(f"{place} is half-written; run the same build-targets command again to finish it")
    described: list[str] = []

    def look(name: str) -> None:
        if place.get(f"{name}/{METADATA}") is not None:
            described.append(name)

    names = [one.name for one in attributes.fields]
    place.at_once(look, names)
    missing = [name for name in names if name not in described]
    if missing:
        raise IntegrityError(f"{place}: missing arrays {', '.join(missing)}; build the store again")
    return Store(place=place, attributes=attributes)
