"""Five groups of patients, and how their hearts are drawn.

Groups keep the criteria of ACDC (Bernard et al. 2018): infarction, LV ejection below 40 %
with an akinetic wall; dilated, more than 100 ml/m2 and below 40 %; hypertrophic, more than
110 g/m2, a wall over 15 mm, ejection above 55 %; abnormal RV, more than 110 ml/m2 or below
40 %; normal, below 90 (women 80) ml/m2, above 50 %. Within them men and women differ as in
the UK Biobank's healthy cohort (Petersen et al. 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from phantoms.cardiac_patient import LONG_AXIS_LPS, LONGEST_LV_MM, CardiacPatient, Group, heart_axes, tilted
from phantoms.heart_shapes import APICAL_WALL_SHARE

MYOCARDIUM_G_ML = 1.05

USUAL_SURFACE_M2 = 1.87
"""Body surface of a chest of size 1."""


@dataclass(frozen=True)
class Spread:
    """A normal distribution, cut."""

    mean: float
    deviation: float
    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one, again and again until it lies inside."""
        for _ in range(1000):
            value = float(rng.normal(self.mean, self.deviation))
            if self.low <= value <= self.high:
                return value
        return float(np.clip(self.mean, self.low, self.high))


@dataclass(frozen=True)
class HeartStatistics:
    """Volumes in ml and masses in g for a square metre of body surface; ejection fractions."""

    lv_ml_m2: Spread
    lv_ejection: Spread
    mass_g_m2: Spread
    rv_ml_m2: Spread
    rv_ejection: Spread
    bulge: tuple[float, float] = (0.0, 0.03)
    uneven: tuple[float, float] = (0.05, 0.15)


HEALTHY: Mapping[str, HeartStatistics] = {
    "M": HeartStatistics(
        lv_ml_m2=Spread(79, 9, 58, 89),
        lv_ejection=Spread(0.59, 0.05, 0.51, 0.72),
        mass_g_m2=Spread(54, 8, 38, 72),
        rv_ml_m2=Spread(86, 10, 62, 99),
        rv_ejection=Spread(0.54, 0.05, 0.46, 0.68),
    ),
    "F": HeartStatistics(
        lv_ml_m2=Spread(70, 8, 52, 79),
        lv_ejection=Spread(0.61, 0.05, 0.51, 0.73),
        mass_g_m2=Spread(43, 7, 30, 58),
        rv_ml_m2=Spread(75, 9, 55, 95),
        rv_ejection=Spread(0.57, 0.05, 0.46, 0.70),
    ),
}
"""By sex."""


def statistics_of(group: Group, sex: str, rng: np.random.Generator) -> HeartStatistics:
    """Statistics of a group; what its name does not say is as in health."""
    healthy = HEALTHY[sex]
    if group == Group.DILATED:
        return replace(
            healthy,
            lv_ml_m2=Spread(140, 25, 103, 210),
            lv_ejection=Spread(0.26, 0.07, 0.10, 0.39),
            mass_g_m2=Spread(76, 13, 52, 110),
            rv_ml_m2=Spread(90, 20, 60, 140),
            rv_ejection=Spread(0.40, 0.10, 0.18, 0.60),
        )
    if group == Group.HYPERTROPHIC:
        return replace(
            healthy,
            lv_ml_m2=Spread(72, 10, 50, 95),
            lv_ejection=Spread(0.67, 0.05, 0.56, 0.78),
            mass_g_m2=Spread(124, 12, 111, 160),
            uneven=(0.15, 0.35),
        )
    if group == Group.INFARCTION:
        return replace(
            healthy,
            lv_ml_m2=Spread(104, 18, 72, 150),
            lv_ejection=Spread(0.31, 0.05, 0.18, 0.39),
            mass_g_m2=Spread(64, 9, 46, 86),
            rv_ejection=Spread(0.51, 0.07, 0.35, 0.65),
            bulge=(0.08, 0.16),
            uneven=(0.18, 0.32),
        )
    if group == Group.ABNORMAL_RV:
        large = bool(rng.random() < 0.7)
        volume = Spread(132, 16, 112, 180) if large else Spread(95, 10, 75, 109)
        ejection = Spread(0.40, 0.07, 0.24, 0.54) if large else Spread(0.33, 0.04, 0.22, 0.39)
        return replace(healthy, rv_ml_m2=volume, rv_ejection=ejection)
    return healthy


def draw_patient(rng: np.random.Generator) -> CardiacPatient:
    """Draw one patient; the five groups are equally likely."""
    group = tuple(Group)[int(rng.integers(len(Group)))]
    sex = "M" if rng.random() < 0.55 else "F"
    height_m = (
        Spread(1.77, 0.07, 1.55, 2.0).draw(rng) if sex == "M" else Spread(1.64, 0.065, 1.45, 1.85).draw(rng)
    )
    weight_kg = Spread(26, 4, 18.5, 38).draw(rng) * height_m**2
    surface_m2 = float(np.sqrt(height_m * 100 * weight_kg / 3600))
    numbers = statistics_of(group, sex, rng)
    size = float(np.clip((surface_m2 / USUAL_SURFACE_M2) ** 0.5, 0.86, 1.15))
    lv_ml = numbers.lv_ml_m2.draw(rng) * surface_m2
    ejection = numbers.lv_ejection.draw(rng)
    rv_ml = numbers.rv_ml_m2.draw(rng) * surface_m2
    # A fuller ventricle is mostly wider, a little longer: length goes with the cube root, damped.
    length_mm = float(rng.normal(93, 3)) * size * (lv_ml / (145 * size**3)) ** 0.18
    bulge_angle_rad = float(rng.uniform(0, 2 * np.pi))
    # An infarct's wall is thin; else it is the septum that is thickest.
    thick_rad = bulge_angle_rad + np.pi if group == Group.INFARCTION else np.deg2rad(rng.normal(165, 20))
    tilt_rad = np.deg2rad(min(abs(rng.normal(0, 7)), 15.0))
    axis = tilted(np.array(LONG_AXIS_LPS), float(tilt_rad), float(rng.uniform(0, 2 * np.pi)))
    return CardiacPatient(
        group=group,
        sex=sex,
        height_m=height_m,
        weight_kg=weight_kg,
        size=size,
        heart_centre_mm=np.array([20.0, 5.0, -40.0]) + rng.uniform([-15, -12, -25], [15, 12, 25]),
        patient_from_heart=heart_axes(axis),
        lv_end_diastole_mm3=lv_ml * 1000,
        lv_end_systole_mm3=lv_ml * (1 - ejection) * 1000,
        muscle_mm3=numbers.mass_g_m2.draw(rng) * surface_m2 / MYOCARDIUM_G_ML * 1000,
        lv_length_mm=min(length_mm, LONGEST_LV_MM),
        shortening_mm=min(length_mm, LONGEST_LV_MM) * 0.15 * (ejection / 0.62),
        end_systole=float(rng.uniform(0.35, 0.40)),
        oval=float(rng.uniform(0.0, 0.06)),
        oval_angle_rad=float(rng.uniform(0, np.pi)),
        bulge=float(rng.uniform(*numbers.bulge)),
        bulge_angle_rad=bulge_angle_rad,
        uneven=float(rng.uniform(*numbers.uneven)),
        uneven_angle_rad=float(thick_rad),
        rv_end_diastole_mm3=rv_ml * 1000,
        rv_end_systole_mm3=rv_ml * (1 - numbers.rv_ejection.draw(rng)) * 1000,
        rv_height=float(rng.uniform(0.92, 1.30)),
        fat_mm=float(rng.uniform(1.0, 4.5)),
        warp_mm=float(rng.uniform(1.0, 2.5)),
        beat_ms=float(rng.uniform(650, 1100)),
        scarred=group == Group.INFARCTION,
        twist_rad=float(np.deg2rad(rng.uniform(6, 14)) * ejection / 0.6),
        jet=bool(rng.random() < 0.35),
        rv_taper=float(rng.uniform(-0.25, 0.25)),
        rv_forward_mm=float(np.clip(rng.normal(3, 6), -9, 15)),
        rv_descent=float(rng.uniform(1.2, 1.9)),
        rv_short=0.14,
        apical_wall=APICAL_WALL_SHARE,
        papillary_rad=(float(np.deg2rad(rng.normal(38, 12))), float(np.deg2rad(rng.normal(282, 12)))),
        papillary_thick=float(rng.uniform(0.7, 1.3)),
        trabeculation=float(rng.uniform(0.2, 1.4)),
        bare_wall=float(rng.uniform(0.0, 1.0)),
    )
