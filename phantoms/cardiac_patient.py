"""Who the patient is: the numbers that make one heart, before any shape is made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

LONGEST_LV_MM = 108.0
"""Longest cavity: twelve short-axis slices 10 mm apart still cover it."""

LONG_AXIS_LPS = (1.0, -1.0, -1.0)
"""Usual direction of the long axis from base to apex: left, front, feet."""


class Group(StrEnum):
    """Five groups, named as in the ACDC challenge (Bernard et al. 2018)."""

    NORMAL = "normal"
    DILATED = "dilated"
    HYPERTROPHIC = "hypertrophic"
    INFARCTION = "infarction"
    ABNORMAL_RV = "abnormal-rv"


@dataclass(frozen=True)
class CardiacPatient:
    """Numbers that make one heart and chest; lengths in mm, volumes in mm^3, angles in radians."""

    group: Group
    sex: str
    height_m: float
    weight_kg: float
    size: float
    heart_centre_mm: NDArray[np.float64]
    patient_from_heart: NDArray[np.float64]
    lv_end_diastole_mm3: float
    lv_end_systole_mm3: float
    muscle_mm3: float
    lv_length_mm: float
    shortening_mm: float
    end_systole: float
    oval: float
    oval_angle_rad: float
    bulge: float
    bulge_angle_rad: float
    uneven: float
    uneven_angle_rad: float
    rv_end_diastole_mm3: float
    rv_end_systole_mm3: float
    rv_height: float
    fat_mm: float
    warp_mm: float
    beat_ms: float
    scarred: bool
    twist_rad: float
    jet: bool
    rv_taper: float
    rv_forward_mm: float
    rv_descent: float
    rv_short: float
    apical_wall: float
    papillary_rad: tuple[float, float]
    papillary_thick: float
    trabeculation: float
    bare_wall: float

    @property
    def body_surface_m2(self) -> float:
        """By Mosteller's formula."""
        return float(np.sqrt(self.height_m * 100 * self.weight_kg / 3600))


def heart_axes(long_axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns a, b, s in LPS: s = the long axis, a = patient-left projected, b = s x a; 3x3."""
    s = long_axis / np.linalg.norm(long_axis)
    a = np.array([1.0, 0.0, 0.0]) - s * s[0]
    a /= np.linalg.norm(a)
    return np.stack([a, np.cross(s, a), s], axis=1)


def tilted(direction: NDArray[np.float64], angle_rad: float, roll_rad: float) -> NDArray[np.float64]:
    """`direction` tilted by an angle toward a side chosen by `roll_rad`; unit vector, shape (3,)."""
    unit = direction / np.linalg.norm(direction)
    side = np.cross(unit, np.eye(3)[int(np.argmin(np.abs(unit)))])
    side /= np.linalg.norm(side)
    toward = np.cos(roll_rad) * side + np.sin(roll_rad) * np.cross(unit, side)
    result: NDArray[np.float64] = np.cos(angle_rad) * unit + np.sin(angle_rad) * toward
    return result
