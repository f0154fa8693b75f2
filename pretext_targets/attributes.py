"""What a store says about itself, in its group's zarr.json under the key `anatprep`."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from dicomgeom.errors import IntegrityError, WrongVersion
from pretext_targets.codecs import DEFAULT_COMPRESSION, Compression
from pretext_targets.places import METADATA, Place, Where, place_of
from pretext_targets.schema import FIXED_AXES, Field, Part, fields_of
from pretext_targets.tissue_table import TissueFacts

FORMAT = "anatprep-store"
VERSION = 1
ATTRIBUTE = "anatprep"


class StoreAttributes(BaseModel):
    """What a store says about itself, under the group attribute `anatprep`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str = FORMAT
    version: int = VERSION
    protocol: dict[str, Any]
    plan_sha256: str
    parts_sha256: dict[str, str] = {}
    """Of what the plan was made of, to say what differs; empty in stores of earlier versions."""
    partners: tuple[str, ...]
    box_names: tuple[str, ...]
    box_side_px: float
    line_sigma_px: float
    spacing_mm: float
    rows: int
    columns: int
    examples: NonNegativeInt
    shard: PositiveInt
    parts: tuple[Part, ...] = ("rasters",)
    compression: Compression = DEFAULT_COMPRESSION
    segment_names: tuple[str, ...] = ()
    diagnosis_names: tuple[str, ...] = ()
    finding_names: tuple[str, ...] = ()
    tissues: tuple[TissueFacts, ...] = ()
    without_pixel_size: int = 0
    """Image files that did not say how large their pixels are, taken as if they had the grid's spacing."""
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
            "finding": len(self.finding_names),
            "row": self.rows,
            "column": self.columns,
        }
        return tuple(sizes[axis] for axis in one.axes)


def this_software() -> str:
    """Name and version of the program that writes."""
    try:
        return f"anatprep {version('anatprep')}"
    except PackageNotFoundError:
        return "anatprep"


def read_attributes(where: Where | Place) -> StoreAttributes:
    """Read and check what a store says about itself; it may be unfinished.

    Raises
    ------
    IntegrityError
        When there is no store, or its description is broken.
    WrongVersion
        When another version of the format wrote it.
    """
    place = place_of(where)
    marker = place.get(METADATA)
    if marker is None:
        found = "nothing" if place.is_empty() else "no zarr.json"
        raise IntegrityError(
            f"{place} is not an anatprep store: found {found} there; make one with build-targets"
        )
    return attributes_from(marker, place)


def attributes_from(marker: bytes, place: object) -> StoreAttributes:
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
