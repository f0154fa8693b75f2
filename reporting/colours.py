"""One colour a view, the same on every picture and in every legend."""

from __future__ import annotations

from collections.abc import Sequence

VIEWS = {
    "SAX": "#4cc2ff",
    "2CH": "#ff6b6b",
    "3CH": "#ffd166",
    "4CH": "#5fe08d",
    "RV2CH": "#ff9f68",
    "RVOT": "#c792ea",
    "LAX": "#f0a6ca",
    "SAG": "#ffd166",
    "COR": "#5fe08d",
    "AX": "#4cc2ff",
}
"""Light enough to be seen on the grey of an image, far enough apart to be told from each other."""

OTHER = "#aab4be"

BOXES = (
    "#ffffff", "#ff8fa3", "#d90429", "#ffc971", "#f3722c", "#9be7b0", "#2a9d5c", "#8ec9ff", "#2f6fed",
)  # fmt: skip
"""Centre, then near (pale) and far (full) of each of the four directions."""

SEGMENTS = ("#000000", "#ff5d5d", "#ffd84d", "#4da3ff", "#6fe3a5", "#d59bff", "#ff9b4d", "#7de3f4", "#f78fd0")
"""Class 0 is the background and is never painted; the ninth class has the colour of the first again."""

SERIES = ("#3b82c4", "#d9773a", "#3f9a6b", "#b0599f", "#8a7a3c", "#c84b4b", "#5b6ac4", "#4f8f9a")
"""Curves of a chart, readable on white and on near-black."""


def of_view(view: str) -> str:
    """Colour of a view; grey for those without one."""
    return VIEWS.get(view, OTHER)


def of_class(number: int, palette: Sequence[str] = SEGMENTS) -> str:
    """Colour of a class; classes beyond the palette begin it again after the background."""
    return palette[0] if number == 0 else palette[1 + (number - 1) % (len(palette) - 1)]


def rgb(colour: str) -> tuple[int, int, int]:
    """Turn "#rrggbb" into three numbers from 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
