"""The kinds of stack: how its images came about, by header and by time."""

from __future__ import annotations

from typing import Final

KINDS: Final = (
    "cine", "static", "dynamic", "localizer",
    "flow-magnitude", "flow-phase", "phase", "real", "imaginary", "map",
)  # fmt: skip
"""Every answer there is: by time, then by what the header says of the contrast (`contrast.py`)."""
