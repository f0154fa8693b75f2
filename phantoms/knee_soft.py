"""Soft parts of a knee: outline of the leg, muscles, vessels, tendons, ligaments, menisci (mm, size 1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from phantoms.knee_bones import level_mm
from phantoms.shapes import Distances, Points, Tube
from phantoms.tissues import Tissue

_LEG_Z = np.array([-190.0, -90.0, -45.0, -10.0, 20.0, 45.0, 80.0, 190.0])
_LEG_WIDE = np.array([46.0, 54.0, 50.0, 49.0, 50.0, 52.0, 58.0, 72.0])
_LEG_FRONT = np.array([-22.0, -29.0, -36.0, -47.0, -57.0, -58.0, -58.0, -72.0])
_LEG_BACK = np.array([58.0, 66.0, 58.0, 50.0, 49.0, 52.0, 56.0, 74.0])


def leg_mm(points: Points, fat_mm: float) -> Distances:
    """Signed distance from the skin; a fatter leg is thicker all round, least at the patella."""
    m, y, z = points
    wide, front, back = (
        np.interp(z, _LEG_Z, values).astype(np.float32) for values in (_LEG_WIDE, _LEG_FRONT, _LEG_BACK)
    )
    deep = (back - front) / 2 + np.float32(0.6 * fat_mm)
    wide = wide + np.float32(fat_mm)
    v = (y - (front + back) / 2) / deep
    # Toward the patella the leg is narrower.
    u = m / (wide * (1 - np.float32(0.26) * np.clip(-v, 0, 1)))
    # Between an ellipse and a rounded box; to the power of 2.5, spelled so that it is quick.
    across, along = np.abs(u), np.abs(v)
    k = (across * across * np.sqrt(across) + along * along * np.sqrt(along)) ** np.float32(0.4)
    k += np.float32(1e-4)
    slope = np.hypot(u / wide, v / deep) / np.hypot(u, v).clip(1e-4)
    distance: Distances = ((k - 1) / slope).astype(np.float32)
    return distance


class Strand(Tube):
    """A tube that knows the box it lies in."""

    def box(self, reach_mm: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lowest and highest corner of all points nearer than `reach_mm`."""
        widest = self.radii_mm.max() + np.float32(reach_mm)
        return self.nodes_mm.min(axis=0) - widest, self.nodes_mm.max(axis=0) + widest


MUSCLES = (
    Strand([(32, -26, 20), (37, -24, 46), (34, -18, 90), (28, -16, 190)], [9, 20, 28, 38]),  # vastus medialis
    Strand([(-34, -26, 42), (-38, -16, 75), (-34, -10, 190)], [9, 24, 40]),  # vastus lateralis
    Strand([(0, -36, 72), (0, -40, 105), (0, -46, 190)], [6, 19, 28]),  # rectus and intermedius
    Strand([(28, 30, -12), (33, 34, 20), (24, 38, 65), (18, 42, 190)], [8, 15, 22, 30]),  # semimembranosus
    Strand([(40, 18, -20), (43, 26, 20), (40, 36, 70), (32, 48, 190)], [5, 9, 12, 18]),  # sartorius, gracilis
    Strand([(-38, 22, -8), (-38, 30, 22), (-30, 38, 65), (-22, 44, 190)], [6, 14, 21, 30]),  # biceps
    Strand([(20, 34, 28), (22, 38, 0), (24, 40, -45), (20, 40, -190)], [8, 17, 26, 32]),  # gastrocnemius
    Strand([(-20, 33, 28), (-21, 37, 0), (-23, 40, -45), (-20, 40, -190)], [8, 16, 25, 31]),
    Strand([(-16, 27, -12), (4, 22, -36), (6, 20, -75)], [8, 15, 14]),  # popliteus
    Strand([(-26, 28, -28), (-8, 28, -70), (0, 30, -190)], [12, 26, 32]),  # soleus
    Strand([(-26, -10, -34), (-28, -4, -72), (-25, -2, -190)], [10, 18, 21]),  # tibialis anterior
    Strand([(-42, 8, -30), (-43, 10, -75), (-40, 12, -190)], [8, 14, 17]),  # peroneus
)

VESSELS = (
    Strand([(3, 40, 190), (1, 37, 40), (-1, 33, -10), (-2, 30, -190)], [4.0, 3.6, 3.4, 3.0]),
    Strand([(-4, 46, 190), (-5, 43, 40), (-5, 39, -10), (-6, 36, -190)], [4.6, 4.2, 4.0, 3.5]),
    Strand([(38, 44, 190), (42, 38, 40), (46, 24, -40), (42, 6, -190)], [1.6, 1.6, 1.6, 1.5]),
)


def _flat(tube: Tube, squeeze: float, axis: int) -> Callable[[Points], Distances]:
    """A tube that is wider along one axis: there, points are brought nearer before they are measured."""

    def distance_mm(points: Points) -> Distances:
        squeezed = points.copy()
        squeezed[axis] *= np.float32(squeeze)
        return tube.distance_mm(squeezed)

    return distance_mm


TENDONS = (
    (_flat(Tube([(-0.4, -51, 22), (0, -43, -10), (0, -31, -40)], [2.3, 2.2, 2.6]), 0.2, 0), Tissue.TENDON),
    (_flat(Tube([(-0.4, -51, 56), (0, -46, 82), (0, -43, 120)], [3.0, 3.4, 3.6]), 0.24, 0), Tissue.TENDON),
)
"""Patellar and quadriceps tendon."""

COLLATERALS = (
    _flat(Tube([(40.5, 0.6, 28), (39.5, 0.6, 0), (36, 0.3, -50)], [1.3, 1.3, 1.3]), 0.22, 1),
    Tube([(-40, 6, 28), (-40, 14, 6), (-39, 21, -14)], 1.7).distance_mm,
)
"""Medial and lateral."""


def anterior_ligament(torn: bool) -> Tube:
    """From the inner wall of the lateral condyle forward to the tibia; torn it sags and swells."""
    if torn:
        return Tube([(-7, 20, 18), (-3, 14, 8), (2, 4, 5), (2, -8, -1)], [3.5, 6.0, 5.5, 4.0])
    return Tube([(-8, 20, 22), (-2, 6, 10), (3, -9, -2)], [3.6, 3.4, 4.2])


def posterior_ligament() -> Tube:
    """From the inner wall of the medial condyle over an arch back to the tibia."""
    return Tube([(8, 2, 14), (5, 12, 17), (2, 21, 11), (0, 28, -4), (0, 28, -12)], [4.6, 4.2, 4.0, 3.8, 3.4])


INNER = 0.50
"""Where the free edge of a meniscus lies, as a share of its outer radius."""


def meniscus_mm(points: Points, side: int) -> Distances:
    """Signed distance from a meniscus: a C whose section is a wedge; `side` 1 medial, -1 lateral."""
    m, y, _ = points
    level = level_mm(points)
    wide, deep = (17.5, 22.5) if side == 1 else (16.5, 19.5)
    across = np.float32(side) * m - np.float32(20.5)
    rho = np.hypot(across / wide, (y - 5) / deep)
    behind = np.where(y > 8, np.float32(1.25), np.float32(1.0))
    height = np.float32(0.5) + np.float32(6.0) * behind * (rho - np.float32(INNER)) / np.float32(1 - INNER)
    wedge = np.maximum((rho - 1) * np.float32(wide), (np.float32(INNER) - rho) * np.float32(wide))
    wedge = np.maximum(wedge, (level - height) * np.float32(0.9))
    wedge = np.maximum(wedge, -level - np.float32(0.2))
    distance: Distances = np.maximum(wedge, np.float32(7.5) - np.float32(side) * m).astype(np.float32)
    return distance


def tear_mm(points: Points, height_mm: float) -> Distances:
    """A cleft through the back of a meniscus, from its lower surface inward."""
    level = level_mm(points)
    cleft = np.abs(level - np.float32(height_mm) - np.float32(0.22) * (points[1] - 18)) - np.float32(0.75)
    tear: Distances = np.maximum(cleft, np.float32(9) - points[1]).astype(np.float32)
    return tear
