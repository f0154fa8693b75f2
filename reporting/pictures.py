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

DARKEST_PERCENTILE, BRIGHTEST_PERCENTILE = 0.5, 99.5
"""Grey values outside are cut: one bright vessel must not make the heart black."""

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
class Picture:
    """One image with what is drawn over it, and the words under it."""

    png: str
    columns: int
    rows: int
    column_spacing: float = 1.0
    row_spacing: float = 1.0
    tints: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    boxes: tuple[Box, ...] = ()
    caption: str = ""
    note: str = ""
    colour: str = ""

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
    return _data_address(Image.fromarray(_grey(image)))


def heat_png(heatmap: ArrayLike, colour: str) -> str:
    """Encode a heatmap (rows, columns) in 0 to 1 as one colour that grows opaque."""
    heat = np.clip(np.nan_to_num(np.asarray(heatmap, dtype=np.float64)), 0, 1)
    painted = np.empty((*heat.shape, 4), dtype=np.uint8)
    painted[..., :3] = colours.rgb(colour)
    painted[..., 3] = np.round(255 * HEAT_OPACITY * heat)
    return _data_address(Image.fromarray(painted))


def classes_png(classes: ArrayLike, palette: Sequence[str], *, opacity: float = TINT_OPACITY) -> str:
    """Encode classes (rows, columns), 0 = nothing, as colours; those beyond the palette stay clear."""
    labels = np.asarray(classes).astype(np.int64)
    table = np.zeros((256, 4), dtype=np.uint8)
    for number, colour in enumerate(palette):
        table[number] = (*colours.rgb(colour), round(255 * opacity))
    table[0] = 0
    return _data_address(Image.fromarray(table[np.clip(labels, 0, 255)]))


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


def _data_address(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
