"""Images as PNG inside the page, and what is drawn over them as vectors.

A picture is an SVG whose user unit is one pixel of the image: pixel (0, 0) has its centre at
the origin, so the image covers -0.5 to columns - 0.5, and lines and boxes are drawn with the
very numbers of the catalogue and the store. Pixels that are not square are shown in their
true proportions.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dicomgeom.lines import clip_lines
from reporting import colours
from reporting.facets import Facets

DARKEST_PERCENTILE, BRIGHTEST_PERCENTILE = 0.5, 99.5
"""Grey values outside are cut: one bright vessel must not make the heart black."""

LONGEST_SIDE = 320
"""Pixels of an image in the page: larger ones are averaged down, what is drawn over them stays exact."""

TINT_OPACITY = 0.55
"""Of segmentations over the image."""

HEAT_OPACITY = 0.85
"""Of a heatmap at its line."""


@dataclass(frozen=True)
class Line:
    """A line over a picture, clipped to it: ends in (column, row)."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str
    name: str


@dataclass(frozen=True)
class Box:
    """A square over a picture; `x`, `y` is its corner with the smallest numbers."""

    x: float
    y: float
    side: float
    colour: str
    name: str


@dataclass(frozen=True)
class Tint:
    """A coloured image over a picture; `layer` is "heatmap" or "segmentation"."""

    png: str
    layer: str
    name: str = ""


@dataclass(frozen=True)
class Picture:
    """One image with what is drawn over it, and the words under it."""

    png: str
    columns: int
    rows: int
    column_spacing: float = 1.0
    row_spacing: float = 1.0
    tints: tuple[Tint, ...] = ()
    lines: tuple[Line, ...] = ()
    boxes: tuple[Box, ...] = ()
    caption: str = ""
    note: str = ""
    colour: str = ""
    facets: Facets | None = None
    """What the filters know of it; None for a picture that comes and goes with its exam."""

    @property
    def described(self) -> str:
        """The picture in words, for those who do not see it."""
        drawn = [f"line of {name}" for name in dict.fromkeys(line.name for line in self.lines)]
        if self.boxes:
            drawn.append(f"boxes {', '.join(box.name for box in self.boxes)}")
        drawn += [f"{tint.layer} {tint.name}".strip() for tint in self.tints]
        return ". ".join(filter(None, (self.caption, self.note, "; ".join(drawn))))

    @cached_property
    def width(self) -> float:
        """Width in units of the smaller spacing."""
        return self.columns * self.column_spacing / min(self.column_spacing, self.row_spacing)

    @cached_property
    def height(self) -> float:
        """Height in units of the smaller spacing."""
        return self.rows * self.row_spacing / min(self.column_spacing, self.row_spacing)


def grey_png(image: ArrayLike) -> str:
    """Encode an image (rows, columns) as a grey PNG, as a data address."""
    return _data_address(_fitted(Image.fromarray(_grey(image)), Image.Resampling.BOX))


def heat_png(heatmap: ArrayLike, colour: str) -> str:
    """Encode a heatmap (rows, columns) in 0 to 1 as one colour that grows opaque."""
    heat = np.clip(np.nan_to_num(np.asarray(heatmap, dtype=np.float64)), 0, 1)
    levels = _fitted(Image.fromarray(np.round(255 * heat).astype(np.uint8)), Image.Resampling.BOX)
    opacity = np.round(HEAT_OPACITY * np.arange(256)).astype(np.uint8)
    return _data_address(levels, palette=[colours.rgb(colour)] * 256, opacity=opacity)


def classes_png(classes: ArrayLike, palette: Sequence[str], *, opacity: float = TINT_OPACITY) -> str:
    """Encode classes (rows, columns), 0 = nothing, as colours; many classes share them."""
    labels = np.clip(np.asarray(classes).astype(np.int64), 0, 255).astype(np.uint8)
    visible = np.full(256, round(255 * opacity), dtype=np.uint8)
    visible[0] = 0
    shades = [colours.rgb(colours.of_class(number, palette)) for number in range(256)]
    return _data_address(
        _fitted(Image.fromarray(labels), Image.Resampling.NEAREST), palette=shades, opacity=visible
    )


def lines_over(coefficients: ArrayLike, views: Sequence[str], *, columns: int, rows: int) -> tuple[Line, ...]:
    """Clip lines (k, 3) in an image's pixels to the image; those outside and unknown ones (NaN) vanish."""
    ends = clip_lines(np.asarray(coefficients, dtype=np.float64).reshape(-1, 3), columns, rows)
    lines = []
    for two, view in zip(ends.tolist(), views, strict=True):
        (x1, y1), (x2, y2) = [[round(value, 3) for value in end] for end in two]
        if not math.isnan(x1):
            lines.append(Line(x1, y1, x2, y2, colour=colours.of_view(view), name=view))
    return tuple(lines)


def boxes_over(
    centres: ArrayLike, present: ArrayLike, side_px: float, names: Sequence[str]
) -> tuple[Box, ...]:
    """Place the boxes that are present; centres (boxes, 2) as (column, row)."""
    return tuple(
        Box(
            round(float(x) - side_px / 2, 3),
            round(float(y) - side_px / 2, 3),
            round(side_px, 3),
            colours.BOXES[number % len(colours.BOXES)],
            names[number],
        )
        for number, ((x, y), there) in enumerate(
            zip(np.asarray(centres).tolist(), np.asarray(present).tolist(), strict=True)
        )
        if there
    )


def _grey(image: ArrayLike) -> NDArray[np.uint8]:
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    dark, bright = np.percentile(values, [DARKEST_PERCENTILE, BRIGHTEST_PERCENTILE])
    if bright <= dark:
        dark, bright = float(values.min()), float(values.max())
    scaled = (values - dark) / (bright - dark) if bright > dark else np.zeros_like(values)
    return np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def _fitted(image: Image.Image, how: Image.Resampling) -> Image.Image:
    """Make an image as small as a page needs it."""
    longest = max(image.size)
    if longest <= LONGEST_SIDE:
        return image
    width, height = (max(round(side * LONGEST_SIDE / longest), 1) for side in image.size)
    return image.resize((width, height), how)


def _data_address(
    image: Image.Image,
    palette: Sequence[tuple[int, int, int]] | None = None,
    opacity: NDArray[np.uint8] | None = None,
) -> str:
    buffer = io.BytesIO()
    if palette is None or opacity is None:
        image.save(buffer, format="PNG", optimize=True)
    else:  # one byte a pixel, colours and opacities in a table
        image.putpalette([value for shade in palette for value in shade])
        image.save(buffer, format="PNG", optimize=True, transparency=opacity.tobytes())
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
