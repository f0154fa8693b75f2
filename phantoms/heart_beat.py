"""How a heart moves through one beat: filling over time, and the LV that has a given volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator

from phantoms.heart_shapes import LeftVentricle

EJECTION = ((0.0, 1.0), (0.2, 0.94), (0.5, 0.55), (0.8, 0.1), (1.0, 0.0))
"""(share of systole passed, share of the stroke volume still inside)."""

FILLING = ((0.30, 0.62), (0.45, 0.74), (0.72, 0.79), (0.88, 0.96), (1.0, 1.0))
"""(share of diastole passed, share refilled): rapid filling, rest, atrial kick."""


@dataclass(frozen=True)
class FillingCurve:
    """Ventricular filling over one beat: 1 at end-diastole (moment 0), 0 at `end_systole`."""

    end_systole: float

    @cached_property
    def _curve(self) -> PchipInterpolator:
        knots = [(share * self.end_systole, inside) for share, inside in EJECTION]
        knots += [(self.end_systole + share * (1 - self.end_systole), inside) for share, inside in FILLING]
        moments, inside = np.array(knots).T
        return PchipInterpolator(moments, inside)

    def at(self, beat_fraction: float) -> float:
        """Filling, 0 to 1, at a moment of the beat."""
        return float(np.clip(self._curve(beat_fraction % 1.0), 0.0, 1.0))


def bisected(
    rises: Callable[[float], float], target: float, low: float, high: float, halvings: int = 30
) -> float:
    """The argument in [low, high] at which a rising function reaches `target` (nearest end if never)."""
    for _ in range(halvings):
        middle = 0.5 * (low + high)
        if rises(middle) < target:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def ventricle_of_volume(
    outline: LeftVentricle, *, base_mm: float, outer_apex_mm: float, cavity_mm3: float, muscle_mm3: float
) -> LeftVentricle:
    """The LV with given volumes of cavity and muscle between a valve plane and a fixed outer apex.

    Parameters
    ----------
    outline
        Gives the angular shape (oval, bulge, uneven wall); its sizes are ignored.
    base_mm, outer_apex_mm
        Heights of the valve plane and of the epicardial apex along the axis.
    cavity_mm3, muscle_mm3
        Volumes to reach, exact in heart coordinates.
    """

    def with_wall(wall_mm: float) -> LeftVentricle:
        apex_mm = outer_apex_mm - outline.apical_share * wall_mm
        unit = replace(outline, base_mm=base_mm, apex_mm=apex_mm, radius_mm=1.0, wall_mm=wall_mm)
        return replace(unit, radius_mm=float(np.sqrt(cavity_mm3 / unit.volumes_mm3[0])))

    def muscle(wall_mm: float) -> float:
        inside, outside = with_wall(wall_mm).volumes_mm3
        return outside - inside

    return with_wall(bisected(muscle, muscle_mm3, 1.0, 35.0))
