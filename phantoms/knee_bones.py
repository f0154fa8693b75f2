"""Bones of a knee as signed distances, in knee coordinates (mm, size 1).

Sizes are those of adults (bicondylar width about 80 mm, plateau 76 x 50 mm, patella 42 mm);
coordinates are medial, back, head from the middle of the tibial plateau.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phantoms.shapes import Distances, Ellipsoid, Points, Tube, smooth_union

SLOPE = 0.09
"""By how much the tibial plateau falls toward the back."""

BONE_GAP_MM = 2.4
"""Each bone keeps so far from the level at which the cartilages meet."""


def level_mm(points: Points) -> Distances:
    """Height above the sloping level at which femur and tibia meet."""
    level: Distances = points[2] + np.float32(SLOPE) * (points[1] - np.float32(4))
    return level


def smooth_cut(solid: Distances, tool: Distances, blend_mm: float) -> Distances:
    """The solid without the tool, edges rounded."""
    cut: Distances = -smooth_union(-solid, tool, blend_mm)
    return cut


_SHAFT = Tube([(0, 2, 34), (0, -3, 62), (0, -6, 98), (0, -9, 190)], [25, 21, 15.5, 14.5])
_MEDIAL = Ellipsoid((22.5, 7, 26.6), (16.5, 28.5, 24.2))
_LATERAL = Ellipsoid((-22.5, 5, 26.2), (16.5, 28.0, 23.8))
_TROCHLEA = Ellipsoid((-2, -11, 35), (28, 19, 21))
_GROOVE = Tube([(-2, -38, 58), (-1, -39.5, 36), (0, -33, 14)], [6.0, 7.5, 7.0])
_NOTCH = Tube([(0, 46, 18), (0, 22, 13), (0, 4, 9)], [11.0, 10.0, 7.5])


def femur_mm(points: Points) -> Distances:
    """Signed distance from the femur."""
    condyles = np.minimum(_MEDIAL.distance_mm(points), _LATERAL.distance_mm(points))
    ends = smooth_union(condyles, _TROCHLEA.distance_mm(points), 5.0)
    ends = smooth_cut(ends, _GROOVE.distance_mm(points), 2.0)
    whole = smooth_union(ends, _SHAFT.distance_mm(points), 7.0)
    return smooth_cut(whole, _NOTCH.distance_mm(points), 2.0)


_TIBIA_Z = np.array([-190.0, -62.0, -42.0, -30.0, -13.0, 0.0])
_TIBIA_WIDE = np.array([13.5, 16.0, 20.5, 27.0, 36.5, 37.5])
_TIBIA_DEEP = np.array([14.0, 16.5, 19.5, 22.0, 24.5, 24.5])
_TIBIA_BACK = np.array([3.0, -3.0, -5.0, -1.0, 4.0, 5.0])


def tibia_mm(points: Points) -> Distances:
    """Signed distance from the tibia: a shaft that widens to the plateau, and its two spines."""
    m, y, z = points
    wide, deep, back = (
        np.interp(z, _TIBIA_Z, values).astype(np.float32)
        for values in (_TIBIA_WIDE, _TIBIA_DEEP, _TIBIA_BACK)
    )
    u, v = m / wide, (y - back) / deep
    k = np.hypot(u, v) + np.float32(1e-4)
    around = (k - 1) * k / (np.hypot(u / wide, v / deep) + np.float32(1e-5)) * np.float32(0.9)
    top = level_mm(points) + np.float32(BONE_GAP_MM)
    body = smooth_cut(np.full_like(z, -60.0), np.minimum(-around, -top), 2.0)
    spines = np.minimum(
        Tube([(6, 5, -8), (5, 3, 4.5)], [7.0, 1.5]).distance_mm(points),
        Tube([(-6, 7, -8), (-5, 6, 3.5)], [7.0, 1.5]).distance_mm(points),
    )
    tubercle = Tube([(0, -18, -32), (0, -20.5, -44)], [7.0, 6.0]).distance_mm(points)
    return smooth_union(smooth_union(body, spines, 3.0), tubercle, 6.0)


_FIBULA = Tube([(-34, 22, -15), (-36, 23, -24), (-36, 22, -44), (-33, 20, -190)], [8.0, 9.0, 6.0, 6.0])
_PATELLA = Ellipsoid((-2, -47.5, 38), (21.5, 10.8, 22))
_PATELLA_RIDGE = Ellipsoid((0, -42, 39), (9, 7.5, 14))


def fibula_mm(points: Points) -> Distances:
    """Signed distance from the fibula."""
    return _FIBULA.distance_mm(points)


def patella_mm(points: Points) -> Distances:
    """Signed distance from the patella."""
    return smooth_union(_PATELLA.distance_mm(points), _PATELLA_RIDGE.distance_mm(points), 4.0)


def cortex_mm(points: Points) -> NDArray[np.float32]:
    """Thickness of compact bone: thin at the joint, thick along the shafts."""
    thickness: NDArray[np.float32] = np.interp(np.abs(points[2]), [30, 65, 110], [0.9, 1.6, 3.8]).astype(
        np.float32
    )
    return thickness
