"""Who the patient is: the numbers drawn for one heart, before any shape is made."""

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
class _GroupRanges:
    """Lowest and highest of each number; volumes in ml for a body of size 1."""

    lv_end_diastole_ml: tuple[float, float] = (115, 175)
    lv_ejection: tuple[float, float] = (0.55, 0.68)
    muscle_ml: tuple[float, float] = (85, 125)
    rv_end_diastole_ml: tuple[float, float] = (125, 185)
    rv_ejection: tuple[float, float] = (0.48, 0.62)
    bulge: tuple[float, float] = (0.0, 0.03)
    uneven: tuple[float, float] = (0.05, 0.15)


_RANGES = {
    Group.NORMAL: _GroupRanges(),
    Group.DILATED: _GroupRanges(
        lv_end_diastole_ml=(200, 290), lv_ejection=(0.16, 0.38), muscle_ml=(110, 160), rv_ejection=(0.3, 0.55)
    ),
    Group.HYPERTROPHIC: _GroupRanges(
        lv_end_diastole_ml=(95, 150), lv_ejection=(0.6, 0.76), muscle_ml=(150, 220), uneven=(0.15, 0.35)
    ),
    Group.INFARCTION: _GroupRanges(
        lv_end_diastole_ml=(150, 230), lv_ejection=(0.25, 0.42), muscle_ml=(95, 140), bulge=(0.08, 0.16)
    ),
    Group.ABNORMAL_RV: _GroupRanges(rv_end_diastole_ml=(210, 290), rv_ejection=(0.22, 0.42)),
}


@dataclass(frozen=True)
class CardiacPatient:
    """Numbers that make one heart and chest; lengths in mm, volumes in mm^3, angles in radians."""

    group: Group
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


def draw_patient(rng: np.random.Generator) -> CardiacPatient:
    """Draw one patient; the five groups are equally likely."""
    group = tuple(Group)[int(rng.integers(len(Group)))]
    ranges = _RANGES[group]
    size = float(np.clip(rng.normal(1.0, 0.06), 0.86, 1.15))
    ml = 1000.0 * size**3
    lv_mm3 = float(rng.uniform(*ranges.lv_end_diastole_ml)) * ml
    lv_ejection = float(rng.uniform(*ranges.lv_ejection))
    rv_mm3 = float(rng.uniform(*ranges.rv_end_diastole_ml)) * ml
    rv_ejection = float(rng.uniform(*ranges.rv_ejection))
    # A fuller ventricle is mostly wider, a little longer: length goes with the cube root, damped.
    length_mm = min(float(rng.normal(93, 3)) * size * (lv_mm3 / (145 * ml)) ** 0.18, LONGEST_LV_MM)
    tilt_rad = np.deg2rad(min(abs(rng.normal(0, 7)), 15.0))
    axis = tilted(np.array(LONG_AXIS_LPS), float(tilt_rad), float(rng.uniform(0, 2 * np.pi)))
    return CardiacPatient(
        group=group,
        size=size,
        heart_centre_mm=np.array([20.0, 5.0, -40.0]) + rng.uniform([-15, -12, -25], [15, 12, 25]),
        patient_from_heart=heart_axes(axis),
        lv_end_diastole_mm3=lv_mm3,
        lv_end_systole_mm3=lv_mm3 * (1 - lv_ejection),
        muscle_mm3=float(rng.uniform(*ranges.muscle_ml)) * ml,
        lv_length_mm=length_mm,
        shortening_mm=length_mm * 0.15 * (lv_ejection / 0.62),
        end_systole=float(rng.uniform(0.35, 0.40)),
        oval=float(rng.uniform(0.0, 0.06)),
        oval_angle_rad=float(rng.uniform(0, np.pi)),
        bulge=float(rng.uniform(*ranges.bulge)),
        bulge_angle_rad=float(rng.uniform(0, 2 * np.pi)),
        uneven=float(rng.uniform(*ranges.uneven)),
        uneven_angle_rad=float(np.deg2rad(rng.normal(165, 20))),
        rv_end_diastole_mm3=rv_mm3,
        rv_end_systole_mm3=rv_mm3 * (1 - rv_ejection),
        rv_height=float(rng.uniform(0.92, 1.08)),
        fat_mm=float(rng.uniform(1.0, 4.5)),
        warp_mm=float(rng.uniform(1.0, 2.5)),
        beat_ms=float(rng.uniform(650, 1100)),
    )
