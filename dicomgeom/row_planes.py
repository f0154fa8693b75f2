"""Rows of the images table as planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dicomgeom.plane import Floats, ImagePlane


def plane_of(row: Mapping[str, Any]) -> ImagePlane:
    """The plane of one row of the images table."""
    return ImagePlane(
        origin_mm=np.asarray(row["origin_mm"], dtype=np.float64),
        right=np.asarray(row["right"], dtype=np.float64),
        down=np.asarray(row["down"], dtype=np.float64),
        column_spacing_mm=row["column_spacing_mm"],
        row_spacing_mm=row["row_spacing_mm"],
        columns=row["columns"],
        rows=row["rows"],
        frame_of_reference=row["frame_of_reference"],
    )


def centres_mm(rows: Sequence[Mapping[str, Any]]) -> Floats:
    """Middles of the images of rows of the images table, shape (n, 3), mm LPS.

    Where planes lie is measured here and not at their first pixels: an image that is turned by half a degree
    about its middle shows the same place, and its corner has moved by millimetres.
    """
    half = [
        ((row["columns"] - 1) / 2 * row["column_spacing_mm"], (row["rows"] - 1) / 2 * row["row_spacing_mm"])
        for row in rows
    ]
    across, along = np.array(half, dtype=np.float64).reshape(-1, 2, 1).swapaxes(0, 1)
    origin, right, down = (
        np.array([row[name] for row in rows], dtype=np.float64).reshape(-1, 3)
        for name in ("origin_mm", "right", "down")
    )
    return np.asarray(origin + across * right + along * down)
