"""The arrays of a store, as data: what each is called, how it lies, what it means.

Which of them a store has: those whose `part` is "" or is listed in the store's attribute `parts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pretext_targets.tissue_table import UNKNOWN_TISSUE

Part = Literal["", "rasters", "segmentation", "diagnosis", "findings", "tissue", "distance"]

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

    def chunk_name(self, number: int) -> str:
        """Name of the file of a shard of pixels, or of a chunk of a small column."""
        return "/".join([self.name, "c", str(number), *["0"] * (len(self.axes) - 1)])


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
    Field("phase_index", _E, "int32", -1, "place in the heart cycle, 0 = first; below 0 where it is unknown"),
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
    Field("diagnosis", _E, "int16", -1, "index into `diagnosis_names`; -1 unknown", "diagnosis"),
    Field("height_cm", _E, "float32", NAN, "height of the patient; NaN unknown", "diagnosis"),
    Field("weight_kg", _E, "float32", NAN, "weight of the patient; NaN unknown", "diagnosis"),
    Field("ed_phase", _E, "int32", -1, "`phase_index` at end-diastole, as told; -1 unknown", "diagnosis"),
    Field("es_phase", _E, "int32", -1, "`phase_index` at end-systole, as told; -1 unknown", "diagnosis"),
    Field(
        "findings",
        ("example", "finding"),
        "int8",
        -1,
        "1 present, 0 absent for each of `finding_names` in the exam; -1 unknown",
        "findings",
    ),
    Field(
        "slice_distance_mm",
        _E,
        "float32",
        NAN,
        "distance of neighbouring slices where their place is unknown; NaN unknown",
        "distance",
    ),
    Field("tissue", _PIXELS, "uint8", UNKNOWN_TISSUE, "index into `tissues`; 255 = unknown", "tissue"),
)

STACK_STATISTICS = ("stack_mean", "stack_std", "stack_min", "stack_max")
"""The only arrays that are written when all shards are there: they need whole stacks."""


def fields_of(parts: Iterable[str]) -> tuple[Field, ...]:
    """The arrays of a store with these parts, in schema order."""
    wanted = {"", *parts}
    return tuple(one for one in SCHEMA if one.part in wanted)
