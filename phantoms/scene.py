"""What the imaging needs to know of an anatomy, whichever it is.

A scene is painted: shapes follow each other, later ones over earlier ones. The part that
never moves is painted once for a plane, the part that beats once for every phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from phantoms.shapes import Distances, Points


class Paint(NamedTuple):
    """One shape to paint: signed distances and its tissue.

    `places` says which of the points asked for the distances belong to; None means all of them.
    """

    distance_mm: Distances
    tissue: int
    places: NDArray[np.intp] | None = None


class MovingPoints(Protocol):
    """Points that something moves over; distances that depend on no phase are kept here."""

    def paints(self, beat_fraction: float) -> Iterator[Paint]:
        """Shapes at a moment, 0 = end-diastole to 1 = the next one."""


class Scene(Protocol):
    """A body in patient coordinates."""

    def static_paints(self, points: Points) -> Iterator[Paint]:
        """Everything that does not move, at LPS points (3, n) mm, n points each."""

    def moves(self, points: Points) -> NDArray[np.bool_]:
        """Where moving shapes can ever be, shape (n,)."""

    def moving_points(self, points: Points) -> MovingPoints:
        """Make points ready for `paints` at many moments."""

    def texture(self, points: Points) -> NDArray[np.float32]:
        """Mean 0, standard deviation 1, shape (n,)."""
