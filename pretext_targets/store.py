"""The store: its schema as data, spelled once. The contract between the build and training.

A store is one Zarr v3 group of a few big arrays along `example`. The rasters and images are
sharded: a chunk is one slice, a shard is `shard` slices. The small columns have one plain
chunk for each shard, so that the files of shard s are exactly the chunk s of every array and
two shards never share a file. Beside the arrays lies `manifest/`, one JSON file for each
shard that is finished (see `manifest.py`).

Which arrays a store has: those of the schema whose `part` is "" or is listed in the
attribute `parts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from pydantic import BaseModel, ConfigDict, ValidationError

from dicomgeom.errors import HalfWritten, IntegrityError, WrongVersion

FORMAT = "anatprep-store"
VERSION = 1
ATTRIBUTE = "anatprep"
DEFAULT_SHARD = 256
"""Examples in a shard: 25 MB of images at 224 x 224, a few seconds of work to lose."""

Part = Literal["", "rasters", "segmentation", "diagnosis", "tissue"]

Compression = Literal["lz4", "zstd", "none"]
"""How pixels are stored: fast, a twentieth smaller, or as they are."""

FIXED_AXES: Mapping[str, int] = {
    "box": 9,
    "xy": 2,
    "abc": 3,
    "patient_axis": 4,
    "pixel_axis": 4,
    "key_byte": 16,
}
"""Axes whose length never changes."""

SPLITS = ("train", "validation", "test")
"""Meaning of the codes 0, 1, 2 in `split`."""

NOT_ANNOTATED = 255
"""Code in `segmentation` of an image nobody annotated."""


@dataclass(frozen=True)
class Field:
    """One array of a store."""

    name: str
    axes: tuple[str, ...]
    dtype: str
    fill: float | int | bool
    meaning: str
    part: Part = ""

    @property
    def is_raster(self) -> bool:
        """Whether the array is pixels, so that a chunk is one slice inside a shard."""
        return "row" in self.axes


@dataclass(frozen=True)
class Codec:
    """One setting of Blosc."""

    name: Literal["lz4", "zstd"]
    level: int
    shuffle: Literal["noshuffle", "shuffle", "bitshuffle"]


CODECS: Mapping[tuple[Compression, int], Codec] = {
    ("lz4", 2): Codec("lz4", 5, "bitshuffle"),
    ("lz4", 1): Codec("lz4", 5, "noshuffle"),
    ("zstd", 2): Codec("zstd", 3, "bitshuffle"),
    ("zstd", 1): Codec("zstd", 3, "noshuffle"),
}
"""By the store's compression and a pixel's bytes. Measured in docs/results/build.md: LZ4 makes
images 4 % larger than Zstandard, writes them six times and reads them twice as fast; labels are
flat areas, which shuffling only breaks up."""

SMALL_COLUMNS = Codec("zstd", 3, "shuffle")
"""Of everything that is no pixels."""

NAN = float("nan")
_E = ("example",)
_PIXELS = ("example", "row", "column")

SCHEMA: tuple[Field, ...] = (
    Field("image", _PIXELS, "uint16", 0, "resampled pixels: value = image * image_scale + image_offset"),
    Field("image_scale", _E, "float32", NAN, "value of one code of `image`"),
    Field("image_offset", _E, "float32", NAN, "value of code 0 of `image`"),
    Field("image_mean", _E, "float32", NAN, "mean of the image on the grid, padding included"),
    Field("image_std", _E, "float32", NAN, "standard deviation (over n) of the image on the grid"),
    Field("image_min", _E, "float32", NAN, "minimum of the image on the grid"),
    Field("image_max", _E, "float32", NAN, "maximum of the image on the grid"),
    Field("stack_mean", _E, "float32", NAN, "mean of all slices and phases of the stack on the grid"),
    Field("stack_std", _E, "float32", NAN, "standard deviation of the same"),
    Field("stack_min", _E, "float32", NAN, "minimum of the same"),
    Field("stack_max", _E, "float32", NAN, "maximum of the same"),
    Field("box_mask", _PIXELS, "uint8", 0, "0 background, k = box k of `box_names`", "rasters"),
    Field(
        "line_heatmap",
        ("example", "partner", "row", "column"),
        "uint8",
        0,
        "round(255 * heatmap) of each partner's line; 0 everywhere where there is none",
        "rasters",
    ),
    Field("location", _E, "float32", NAN, "0 first (base) to 1 last (apex) by distance; NaN undefined"),
    Field("location_sine", _E, "float32", NAN, "sin(pi * relative distance); NaN for a lone slice"),
    Field(
        "line", ("example", "partner", "abc"), "float32", NAN, "a, b, c in grid pixels, a^2+b^2=1; NaN absent"
    ),
    Field("box_centre", ("example", "box", "xy"), "float32", NAN, "(column, row) of each box; NaN unknown"),
    Field("box_present", ("example", "box"), "bool", False, "at least half of the box lies in the image"),
    Field(
        "patient_from_pixel",
        ("example", "patient_axis", "pixel_axis"),
        "float64",
        NAN,
        "(column, row, mm along the normal, 1) of the grid -> mm LPS",
    ),
    Field("patient_key", ("example", "key_byte"), "uint8", 0, "salted hash of the patient"),
    Field("study_key", ("example", "key_byte"), "uint8", 0, "salted hash of the study"),
    Field("stack_key", ("example", "key_byte"), "uint8", 0, "salted hash of the stack"),
    Field("slice_index", _E, "int32", -1, "place in the stack, 0 = base or lowest along its direction"),
    Field("phase_index", _E, "int32", -1, "place in the heart cycle, 0 = first"),
    Field("n_slices", _E, "int32", -1, "slices of the stack"),
    Field("n_phases", _E, "int32", -1, "phases of the stack"),
    Field("split", _E, "uint8", 255, "0 train, 1 validation, 2 test"),
    Field("valid", _E, "bool", False, "false where the pixels could not be read"),
    Field(
        "segmentation",
        _PIXELS,
        "uint8",
        NOT_ANNOTATED,
        "index into `segment_names`; 255 = not annotated",
        "segmentation",
    ),
    Field("diagnosis", _E, "int16", -1, "class of the patient; -1 unknown", "diagnosis"),
    Field("tissue", _PIXELS, "uint8", 0, "tissue index of a phantom", "tissue"),
)

STACK_STATISTICS = ("stack_mean", "stack_std", "stack_min", "stack_max")
"""The only arrays that are written when all shards are there: they need whole stacks."""


def fields_of(parts: Iterable[str]) -> tuple[Field, ...]:
    """The arrays of a store with these parts, in schema order."""
    wanted = {"", *parts}
    return tuple(one for one in SCHEMA if one.part in wanted)


class StoreAttributes(BaseModel):
    """What a store says about itself, under the group attribute `anatprep`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str = FORMAT
    version: int = VERSION
    protocol: dict[str, Any]
    plan_sha256: str
    partners: tuple[str, ...]
    box_names: tuple[str, ...]
    box_side_px: float
    line_sigma_px: float
    spacing_mm: float
    rows: int
    columns: int
    examples: int
    shard: int
    parts: tuple[Part, ...] = ("rasters",)
    compression: Compression = "lz4"
    segment_names: tuple[str, ...] = ()
    complete: bool = False
    created_by: str = ""

    @property
    def shards(self) -> int:
        """How many shards the store has."""
        return -(-self.examples // self.shard)

    def range_of(self, shard: int) -> tuple[int, int]:
        """First example of a shard and one past its last."""
        start = shard * self.shard
        return start, min(start + self.shard, self.examples)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The arrays this store has."""
        return fields_of(self.parts)

    def shape_of(self, one: Field) -> tuple[int, ...]:
        """Shape of an array of this store."""
        sizes = {
            **FIXED_AXES,
            "example": self.examples,
            "partner": len(self.partners),
            "row": self.rows,
            "column": self.columns,
        }
        return tuple(sizes[axis] for axis in one.axes)


@dataclass(frozen=True)
class Store:
    """An open store: checked attributes and its arrays."""

    path: Path
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
            raise IntegrityError(f"{self.path} has no array {name!r}; it has {', '.join(self.names)}")
        if name not in self._opened:
            self._opened[name] = open_array(self.path, name)
        return self._opened[name]


def this_software() -> str:
    """Name and version of the program that writes."""
    try:
        return f"anatprep {version('anatprep')}"
    except PackageNotFoundError:
        return "anatprep"


def codec_of(one: Field, attributes: StoreAttributes) -> Codec | None:
    """How the chunks of an array are compressed; None where they are stored as they are."""
    if not one.is_raster:
        return SMALL_COLUMNS
    return CODECS.get((attributes.compression, np.dtype(one.dtype).itemsize))


def array_options(one: Field, attributes: StoreAttributes) -> dict[str, Any]:
    """Arguments of `zarr.create_array` for one array of the schema."""
    from zarr.codecs import BloscCodec

    shape = attributes.shape_of(one)
    shard = (attributes.shard, *shape[1:])
    codec = codec_of(one, attributes)
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


def create_group(path: Path, attributes: StoreAttributes) -> None:
    """Make the group and its empty arrays at a path where nothing is yet."""
    content = {ATTRIBUTE: attributes.model_dump(mode="json")}
    zarr.create_group(path, zarr_format=3, attributes=content)
    for one in attributes.fields:
        zarr.create_array(path, name=one.name, **array_options(one, attributes))


def open_array(path: Path, name: str, *, mode: Literal["r", "r+"] = "r") -> zarr.Array[Any]:
    """Open one array of the store at `path`.

    Raises
    ------
    IntegrityError
        When it is missing or its metadata cannot be read.
    """
    try:
        return zarr.open_array(path / name, mode=mode, zarr_format=3)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path}: the array {name!r} is missing or broken ({_first_line(error)}); build the store again"
        ) from error


def read_attributes(path: Path) -> StoreAttributes:
    """Read and check what a store says about itself; it may be unfinished.

    Raises
    ------
    IntegrityError
        When there is no store at `path`, or its description is broken.
    WrongVersion
        When another version of the format wrote it.
    """
    marker = path / "zarr.json"
    if not marker.is_file():
        found = "nothing" if not path.exists() else "no zarr.json"
        raise IntegrityError(
            f"{path} is not an anatprep store: found {found} there; make one with build-targets"
        )
    return attributes_from(marker.read_bytes(), path)


def attributes_from(marker: bytes, place: Path | str) -> StoreAttributes:
    """Read and check a store's description from the content of its zarr.json.

    Raises
    ------
    IntegrityError, WrongVersion
        As `read_attributes`.
    """
    try:
        content = json.loads(marker)
        said = content["attributes"][ATTRIBUTE]
        found_format, found_version = said["format"], said["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{place} is not an anatprep store: its zarr.json holds no {ATTRIBUTE!r} attribute; "
            "make one with build-targets"
        ) from error
    if found_format != FORMAT:
        raise IntegrityError(
            f"{place} is not an anatprep store: its format is {found_format!r}, not {FORMAT!r}"
        )
    if found_version != VERSION:
        raise WrongVersion(
            f"{place} is a store of version {found_version!r}, this program reads version {VERSION}; "
            "build it again from its catalogue"
        )
    try:
        return StoreAttributes.model_validate(said)
    except ValidationError as error:
        wrong = ", ".join(sorted({".".join(map(str, one["loc"])) for one in error.errors()}))
        raise IntegrityError(
            f"{place}: its description is broken ({wrong}); build the store again from its catalogue"
        ) from error


def open_store(path: Path, *, unfinished: bool = False) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path : Path
        The folder of the Zarr group.
    unfinished : bool
        Whether a store that is still being built is acceptable.

    Raises
    ------
    IntegrityError, WrongVersion
        When it is no store, is broken, or another version wrote it.
    HalfWritten
        When it is not complete and `unfinished` is not set.
    """
    path = Path(path)
    attributes = read_attributes(path)
    if not attributes.complete and not unfinished:
        raise HalfWritten(f"{path} is half-written; run the same build-targets command again to finish it")
    missing = [one.name for one in attributes.fields if not (path / one.name / "zarr.json").is_file()]
    if missing:
        raise IntegrityError(f"{path}: missing arrays {', '.join(missing)}; build the store again")
    return Store(path=path, attributes=attributes)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
