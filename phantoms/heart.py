"""A beating heart: which chambers it has at every moment.

Sizes follow the contours published with the biv-me example exam (apex, valves, RV insertions
and free wall in heart coordinates), scaled to the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from phantoms.cardiac_patient import CardiacPatient
from phantoms.heart_beat import FillingCurve, bisected, ventricle_of_volume
from phantoms.heart_shapes import LeftVentricle, Polar, RightVentricle
from phantoms.shapes import Distances, Ellipsoid, Tube, smooth_union

BASE_SHARE = 0.48
"""Part of the LV cavity's length that lies above its centre."""

GRID_MM = 4.0
"""Cell of the grid on which chamber volumes without a formula are summed."""

RV_WALL_MM = 3.0
ATRIAL_WALL_MM = 2.0
GROOVE_MM = 14.0
"""Grooves between the chambers narrower than this are filled with fat."""


@dataclass(frozen=True)
class HeartMoment:
    """All shapes of one moment, in heart coordinates."""

    filling: float
    lv: LeftVentricle
    rv: RightVentricle
    outflow: Tube
    la: Ellipsoid
    ra: Ellipsoid
    root: Tube
    papillary: tuple[Tube, ...]
    valve_open: float
    trabeculation: float
    jet: Tube | None = None
    scar_rad: float | None = None

    def rv_cavity_mm(self, polar: Polar, lv_outside: Distances) -> Distances:
        """Signed distance from the RV cavity, outflow tract included."""
        body = np.maximum(self.rv.distance_mm(polar), self.rv.above_base_mm(polar))
        cavity: Distances = np.maximum(np.minimum(body, self.outflow.distance_mm(polar.points)), -lv_outside)
        return cavity

    def outside_mm(self, polar: Polar) -> Distances:
        """Signed distance from the union of all chambers, grooves filled."""
        lv_outside = np.maximum(self.lv.distances_mm(polar)[1], self.lv.above_base_mm(polar))
        rv = np.maximum(self.rv.distance_mm(polar), self.rv.above_base_mm(polar)) - np.float32(RV_WALL_MM)
        whole = smooth_union(lv_outside, rv, GROOVE_MM)
        for part in (self.la, self.ra, self.outflow, self.root):
            whole = smooth_union(whole, part.distance_mm(polar.points) - np.float32(1.5), GROOVE_MM)
        return whole


class BeatingHeart:
    """The shapes of one patient's heart as a function of time.

    Parameters
    ----------
    patient
        Sizes and volumes; RV size and contraction are solved so that its volumes are reached.
    """

    def __init__(self, patient: CardiacPatient) -> None:
        self.patient = patient
        self.curve = FillingCurve(patient.end_systole)
        self._base_mm = -BASE_SHARE * patient.lv_length_mm
        diastole = self._first_ventricle()
        self.outer_apex_mm = diastole.apex_mm + patient.apical_wall * diastole.wall_mm
        self.thickest_wall_mm = diastole.wall_mm * (1 + patient.uneven)
        self._outside_radius_mm = diastole.radius_mm + diastole.wall_mm
        self._wide = 0.5 * patient.size + 0.5 * self._outside_radius_mm / 36.0
        self._rv_width, self._rv_squeeze = 1.0, 0.0
        self._solve_right_ventricle()
        self.at = lru_cache(maxsize=64)(self._at)

    def _outline(self, filling: float) -> LeftVentricle:
        patient = self.patient
        return LeftVentricle(
            base_mm=0.0,
            apex_mm=1.0,
            radius_mm=1.0,
            wall_mm=0.0,
            oval=patient.oval,
            oval_angle_rad=patient.oval_angle_rad,
            bulge=patient.bulge * (1 - filling),
            bulge_angle_rad=patient.bulge_angle_rad,
            uneven=patient.uneven,
            uneven_angle_rad=patient.uneven_angle_rad,
            twist_rad=patient.twist_rad * (1 - filling),
            apical_share=patient.apical_wall,
        )

    def _first_ventricle(self) -> LeftVentricle:
        """End-diastole, where the length of the cavity is given and the outer apex follows."""
        patient = self.patient
        apex_mm = self._base_mm + patient.lv_length_mm

        def with_wall(wall_mm: float) -> LeftVentricle:
            return ventricle_of_volume(
                self._outline(1.0),
                base_mm=self._base_mm,
                outer_apex_mm=apex_mm + patient.apical_wall * wall_mm,
                cavity_mm3=patient.lv_end_diastole_mm3,
                muscle_mm3=patient.muscle_mm3,
            )

        wall_mm = bisected(lambda wall: wall - with_wall(wall).wall_mm, 0.0, 2.0, 30.0)
        return with_wall(wall_mm)

    def left_ventricle(self, filling: float) -> LeftVentricle:
        """LV at a filling, 1 = end-diastole, 0 = end-systole."""
        patient = self.patient
        stroke = patient.lv_end_diastole_mm3 - patient.lv_end_systole_mm3
        return ventricle_of_volume(
            self._outline(filling),
            base_mm=self._base_mm + patient.shortening_mm * (1 - filling),
            outer_apex_mm=self.outer_apex_mm,
            cavity_mm3=patient.lv_end_systole_mm3 + stroke * filling,
            muscle_mm3=patient.muscle_mm3,
        )

    def _right_ventricle(self, filling: float) -> RightVentricle:
        patient, wide = self.patient, self._wide
        squeeze = self._rv_squeeze * (1 - filling)
        across = 47 * wide * self._rv_width
        up_mm = 36 * wide * self._rv_width * patient.rv_height * (1 - 0.25 * squeeze)
        equator_mm = -0.30 * patient.lv_length_mm
        apex_mm = self.outer_apex_mm - patient.rv_short * patient.lv_length_mm
        return RightVentricle(
            centre_mm=(-41 * wide + 0.45 * across * squeeze, (5 + patient.rv_forward_mm) * wide, equator_mm),
            radii_mm=(across * (1 - 0.8 * squeeze), up_mm, apex_mm - equator_mm),
            lean=0.24,
            base_mm=self._base_mm + 6 + patient.rv_descent * patient.shortening_mm * (1 - filling),
            base_tilt=0.3,
            taper=patient.rv_taper,
        )

    def _at(self, filling: float, diastolic: bool) -> HeartMoment:
        wide, base_mm = self._wide, self._base_mm + self.patient.shortening_mm * (1 - filling)
        lv, rv = self.left_ventricle(filling), self._right_ventricle(filling)
        emptied = 1 - filling
        top_mm = self._base_mm - 42 * wide
        la_low = base_mm + 5
        la_grow = wide * (1 + 0.12 * emptied)
        ra_low = rv.base_mm - 2
        root = np.array([(-7, 11, base_mm + 6), (-13, 20, base_mm - 3), (-18, 26, base_mm - 17)])
        return HeartMoment(
            filling=filling,
            lv=lv,
            rv=rv,
            outflow=self._outflow(emptied),
            la=Ellipsoid(
                (4 * wide, -5 * wide, (top_mm + la_low) / 2),
                (26 * la_grow, 25 * la_grow, (la_low - top_mm) / 2),
            ),
            ra=Ellipsoid(
                (-57 * wide, -7 * wide, (top_mm + ra_low) / 2 + 2),
                (23 * la_grow, 27 * la_grow, (ra_low - top_mm) / 2),
            ),
            root=Tube(_spread(root, wide), [11 * wide, 13 * wide, 14 * wide]),
            papillary=_papillary(lv, self.patient),
            trabeculation=self.patient.trabeculation,
            valve_open=1.0 if diastolic else 0.0,
            jet=_jet(lv, root, diastolic) if self.patient.jet and 0.1 < filling < 0.9 else None,
            scar_rad=self.patient.bulge_angle_rad if self.patient.scarred else None,
        )

    def _outflow(self, emptied: float) -> Tube:
        down_mm = self.patient.shortening_mm * emptied * 0.6
        base_mm = self._base_mm
        low_mm = base_mm + down_mm
        nodes = np.array([(-40, 26, base_mm + 26), (-27, 42, low_mm + 12), (-18, 51, low_mm + 1)])
        narrow = self._wide * (1 - 0.22 * emptied)
        return Tube(_spread(nodes, self._wide), [18 * narrow, 15 * narrow, 12.5 * narrow])

    def _solve_right_ventricle(self) -> None:
        grid, cell_mm3 = self.volume_grid()
        polar = Polar(grid)
        filled, emptied = self.left_ventricle(1.0), self.left_ventricle(0.0)
        filled_out, emptied_out = filled.distances_mm(polar)[1], emptied.distances_mm(polar)[1]

        def volume(width: float, squeeze: float, filling: float, outside: Distances) -> float:
            self._rv_width, self._rv_squeeze = width, squeeze
            rv = self._right_ventricle(filling)
            body = np.maximum(rv.distance_mm(polar), rv.above_base_mm(polar))
            whole = np.minimum(body, self._outflow(1 - filling).distance_mm(grid))
            return soft_volume_mm3(np.maximum(whole, -outside), cell_mm3)

        width = bisected(
            lambda w: volume(w, 0.0, 1.0, filled_out), self.patient.rv_end_diastole_mm3, 0.6, 1.6, 12
        )
        squeeze = bisected(
            lambda q: -volume(width, q, 0.0, emptied_out), -self.patient.rv_end_systole_mm3, 0.0, 0.6, 12
        )
        self._rv_width, self._rv_squeeze = width, squeeze

    def volume_grid(self, cell_mm: float = GRID_MM) -> tuple[NDArray[np.float32], float]:
        """Points (3, n) round the heart and the volume of a cell, mm^3."""
        half = 62 * self._wide
        a = np.arange(-2.2 * half, half, cell_mm)
        b = np.arange(-half, 1.25 * half, cell_mm)
        s = np.arange(self._base_mm - 60 * self._wide, self.outer_apex_mm + 6, cell_mm)
        grid = np.stack(np.meshgrid(a, b, s, indexing="ij")).reshape(3, -1)
        return grid.astype(np.float32), cell_mm**3

    def moment(self, beat_fraction: float) -> HeartMoment:
        """Shapes at a moment of the beat, 0 = end-diastole."""
        fraction = beat_fraction % 1.0
        return self.at(self.curve.at(fraction), fraction > self.patient.end_systole + 0.02)


def soft_volume_mm3(distance: Distances, cell_mm3: float) -> float:
    """Volume inside a surface, from distances at the centres of cubic cells."""
    side = cell_mm3 ** (1 / 3)
    return float(np.clip(0.5 - distance / side, 0, 1).sum(dtype=np.float64) * cell_mm3)


def _spread(nodes: NDArray[np.float64], wide: float) -> NDArray[np.float64]:
    """Nodes with their short-axis coordinates scaled."""
    spread: NDArray[np.float64] = nodes * np.array([wide, wide, 1.0])
    return spread


def _papillary(lv: LeftVentricle, patient: CardiacPatient) -> tuple[Tube, ...]:
    """The papillary muscles; they come closer and thicken as the cavity shrinks, and turn with the wall."""
    length, radius = lv.apex_mm - lv.base_mm, lv.radius_mm
    thick = (0.13 * radius + 1.4) * patient.papillary_thick
    muscles = []
    for angle in patient.papillary_rad:
        nodes = []
        for out, down in ((0.58, 0.36), (0.66, 0.55), (0.62, 0.76)):
            turned = angle + lv.turned_rad(down)
            nodes.append(
                (np.cos(turned) * out * radius, np.sin(turned) * out * radius, lv.base_mm + down * length)
            )
        muscles.append(Tube(nodes, [0.7 * thick, thick, 0.9 * thick]))
    return tuple(muscles)


def _jet(lv: LeftVentricle, root: NDArray[np.float64], diastolic: bool) -> Tube:
    """Where fast blood loses its signal: below the open mitral valve, or before the aortic one."""
    if diastolic:
        return Tube([(3, -4, lv.base_mm + 6), (2, -2, lv.base_mm + 30)], [3.0, 1.0])
    return Tube([root[0] + [2, -3, 22], root[0] + [0, 0, 4], root[1]], [1.0, 3.5, 4.0])
