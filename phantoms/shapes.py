"""Continuous shapes, each saying how far a point lies from its surface.

Points are component-first, shape (3, n), float32, in mm: coordinates of one axis lie side
by side in memory, which makes the arithmetic about twice as fast as (n, 3). Distances are
negative inside. They are exact for spheres, tubes and half-spaces and correct to first order
near the surface of an ellipsoid, which is where partial volume needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomgeom.errors import GeometryError

Points = NDArray[np.float32]
"""Shape (3, n), mm."""

Distances = NDArray[np.float32]
"""Shape (n,), mm, negative inside."""

_TINY = np.float32(1e-6)


class Shape(Protocol):
    """Anything with a signed distance."""

    def distance_mm(self, points: Points) -> Distances: ...


def ellipsoid_distance(
    x: Distances, y: Distances, z: Distances, radii_mm: tuple[float, float, float]
) -> Distances:
    """First-order signed distance from an axis-aligned ellipsoid at the origin.

    With k^2 = sum (x_i / r_i)^2 the distance is (k - 1) / |grad k|: exact for a sphere.
    """
    rx, ry, rz = (np.float32(radius) for radius in radii_mm)
    ux, uy, uz = x / rx, y / ry, z / rz
    k = np.sqrt(ux * ux + uy * uy + uz * uz) + _TINY
    ux /= rx
    uy /= ry
    uz /= rz
    slope = np.sqrt(ux * ux + uy * uy + uz * uz) + _TINY
    distance: Distances = (k - np.float32(1)) * k / slope
    return distance


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid whose axes are the coordinate axes."""

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]

    def __post_init__(self) -> None:
        if min(self.radii_mm) <= 0:
            raise GeometryError(f"an ellipsoid's radii must be positive, found {self.radii_mm}")

    def distance_mm(self, points: Points) -> Distances:
        """Signed distance, shape (n,)."""
        x, y, z = (points[i] - np.float32(self.centre_mm[i]) for i in range(3))
        return ellipsoid_distance(x, y, z, self.radii_mm)


class Tube:
    """A chain of straight pieces with round ends, its radius changing linearly along each.

    Parameters
    ----------
    nodes_mm : array_like, shape (m, 3)
        At least two nodes.
    radii_mm : array_like, shape (m,) or a number
    """

    def __init__(self, nodes_mm: ArrayLike, radii_mm: ArrayLike) -> None:
        self.nodes_mm = np.asarray(nodes_mm, dtype=np.float32)
        if self.nodes_mm.ndim != 2 or self.nodes_mm.shape[1] != 3 or len(self.nodes_mm) < 2:
            raise GeometryError(f"a tube needs nodes of shape (2 or more, 3), found {self.nodes_mm.shape}")
        self.radii_mm = np.broadcast_to(np.asarray(radii_mm, dtype=np.float32), len(self.nodes_mm))

    def distance_mm(self, points: Points) -> Distances:
        """Signed distance, shape (n,)."""
        nearest: Distances | None = None
        for i in range(len(self.nodes_mm) - 1):
            start, step = self.nodes_mm[i], self.nodes_mm[i + 1] - self.nodes_mm[i]
            x, y, z = (points[j] - start[j] for j in range(3))
            along = (x * step[0] + y * step[1] + z * step[2]) / (step @ step + _TINY)
            np.clip(along, 0, 1, out=along)
            x -= along * step[0]
            y -= along * step[1]
            z -= along * step[2]
            radius = self.radii_mm[i] + along * (self.radii_mm[i + 1] - self.radii_mm[i])
            distance = np.sqrt(x * x + y * y + z * z) - radius
            nearest = distance if nearest is None else np.minimum(nearest, distance, out=nearest)
        assert nearest is not None
        return nearest


def nearest_of(tubes: Sequence[Tube], points: Points, reach_mm: float) -> Distances:
    """Distance from the nearest tube, exact up to `reach_mm` and that much beyond; shape (n,).

    Only points in a tube's own box are measured, which is most of the speed.
    """
    nearest = np.full(points.shape[1], reach_mm, dtype=np.float32)
    for tube in tubes:
        widest = tube.radii_mm.max() + np.float32(reach_mm)
        low, high = tube.nodes_mm.min(axis=0) - widest, tube.nodes_mm.max(axis=0) + widest
        inside = np.ones(points.shape[1], dtype=np.bool_)
        for axis in range(3):
            inside &= (points[axis] > low[axis]) & (points[axis] < high[axis])
        box = np.nonzero(inside)[0]
        if len(box):
            nearest[box] = np.minimum(nearest[box], tube.distance_mm(points[:, box]))
    return nearest


def smooth_union(first: Distances, second: Distances, blend_mm: float) -> Distances:
    """Union whose groove is filled over `blend_mm` (polynomial smooth minimum)."""
    blend = np.float32(blend_mm)
    share = np.clip(np.float32(0.5) + (second - first) / (2 * blend), 0, 1)
    union: Distances = second + share * (first - second) - blend * share * (1 - share)
    return union


def rotated(rotation: NDArray[np.float64], points: Points) -> Points:
    """rotation @ points in plain arithmetic: the same on every machine, and no threads for so little."""
    turn, (x, y, z) = rotation.astype(np.float32), points
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in turn])


def coverage(distance: Distances, width_mm: float) -> NDArray[np.float32]:
    """Share of a cell of `width_mm` that lies inside a nearly flat surface, shape (n,), 0 to 1."""
    share: NDArray[np.float32] = np.clip(np.float32(0.5) - distance / np.float32(width_mm), 0, 1)
    return share
