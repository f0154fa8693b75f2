"""The chambers of a heart at one moment, in heart coordinates.

Heart coordinates (a, b, s) in mm have their origin in the middle of the LV cavity at
end-diastole: s runs along the long axis from base to apex, a is patient-left projected
onto the short-axis plane, and b = s x a points to the front and the head. Angles round
the axis count from a toward b, so the septum lies near 175 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phantoms.shapes import Distances, Points, ellipsoid_distance

EQUATOR_SHARE = 0.20
"""Where along the LV cavity, base 0 to apex 1, its short axis is largest."""

APICAL_WALL_SHARE = 0.7
"""Thickness of the wall at the apex over its mean, unless a patient has another."""

TWIST_SLOPE, TWIST_OF_BASE = 1.3, 0.3
"""Turning along the cavity, as shares of the twist: -0.3 of it at the base, all of it at the apex."""

_TINY = np.float32(1e-3)


class Polar:
    """Points with what does not change from phase to phase: radius and direction round the axis."""

    def __init__(self, points: Points) -> None:
        self.points = points
        self.a, self.b, self.s = points
        self.radius = np.hypot(self.a, self.b) + _TINY
        self._towards: dict[float, NDArray[np.float32]] = {}

    def cosine_from(self, angle_rad: float) -> NDArray[np.float32]:
        """Cosine of the angle between each point and a direction round the axis, shape (n,)."""
        if angle_rad not in self._towards:
            cosine, sine = np.float32(np.cos(angle_rad)), np.float32(np.sin(angle_rad))
            self._towards[angle_rad] = (self.a * cosine + self.b * sine) / self.radius
        return self._towards[angle_rad]

    def turned_back(self, angle_rad: NDArray[np.float32]) -> Polar:
        """Each point turned round the axis by minus its angle (n,), which leaves radius and height."""
        cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
        turned = np.stack([self.a * cosine + self.b * sine, self.b * cosine - self.a * sine, self.s])
        return Polar(turned)


@dataclass(frozen=True)
class LeftVentricle:
    """LV cavity and wall at one moment.

    The cavity is an ellipsoid cut by the valve plane; its short-axis outline is
    radius (1 + oval cos 2(t - t1) + bulge cos(t - t2)). The wall is
    wall (1 + uneven cos(t - t3)) thick.
    """

    base_mm: float
    apex_mm: float
    radius_mm: float
    wall_mm: float
    oval: float = 0.0
    oval_angle_rad: float = 0.0
    bulge: float = 0.0
    bulge_angle_rad: float = 0.0
    uneven: float = 0.0
    uneven_angle_rad: float = 0.0
    twist_rad: float = 0.0
    apical_share: float = APICAL_WALL_SHARE

    def turned_rad(self, share: float) -> float:
        """How far the wall has turned at a height, base 0 to apex 1.

        The heart wrings (Lorenz et al. 2000): the apex turns by `twist_rad`, the base by less, and backward.
        """
        return self.twist_rad * (TWIST_SLOPE * share - TWIST_OF_BASE)

    def untwisted(self, polar: Polar) -> Polar:
        """Points where they would lie, had the wall not turned."""
        if not self.twist_rad:
            return polar
        share = (polar.s - np.float32(self.base_mm)) / np.float32(self.apex_mm - self.base_mm)
        turn = np.float32(self.twist_rad) * (np.float32(TWIST_SLOPE) * share - np.float32(TWIST_OF_BASE))
        return polar.turned_back(turn)

    @property
    def equator_mm(self) -> float:
        """Height of the widest short axis."""
        return self.base_mm + EQUATOR_SHARE * (self.apex_mm - self.base_mm)

    @cached_property
    def volumes_mm3(self) -> tuple[float, float]:
        """Exact volumes inside the endocardium and inside the epicardium, mm^3."""
        radius, wall = self.radius_mm, self.wall_mm
        inner = radius**2 * (1 + self.oval**2 / 2 + self.bulge**2 / 2)
        mixed = 1 + self.bulge * self.uneven * np.cos(self.bulge_angle_rad - self.uneven_angle_rad) / 2
        outer = inner + 2 * radius * wall * mixed + wall**2 * (1 + self.uneven**2 / 2)
        length = self.apex_mm - self.equator_mm
        outer_length = length + self.apical_share * wall
        below = self.base_mm - self.equator_mm
        return (
            float(np.pi * inner * _ellipse_integral(below, length)),
            float(np.pi * outer * _ellipse_integral(below, outer_length)),
        )

    def _outline(self, polar: Polar) -> NDArray[np.float32]:
        oval = polar.cosine_from(self.oval_angle_rad)
        shape = 1 + np.float32(self.oval) * (2 * oval * oval - 1)
        if self.bulge:
            shape += np.float32(self.bulge) * polar.cosine_from(self.bulge_angle_rad)
        outline: NDArray[np.float32] = shape * np.float32(self.radius_mm)
        return outline

    def distances_mm(self, polar: Polar) -> tuple[Distances, Distances]:
        """Signed distances from the endocardium and from the epicardium, neither cut at the base."""
        polar = self.untwisted(polar)
        along = polar.s - np.float32(self.equator_mm)
        length = np.float32(self.apex_mm - self.equator_mm)
        inner = self._outline(polar)
        thickness = 1 + np.float32(self.uneven) * polar.cosine_from(self.uneven_angle_rad)
        outer = inner + np.float32(self.wall_mm) * thickness
        outer_length = length + np.float32(self.apical_share * self.wall_mm)
        return (
            _round_distance(polar.radius, along, inner, length),
            _round_distance(polar.radius, along, outer, outer_length),
        )

    def above_base_mm(self, polar: Polar) -> Distances:
        """Distance from the valve plane, positive toward the atria."""
        distance: Distances = np.float32(self.base_mm) - polar.s
        return distance


def _ellipse_integral(lower: float, length: float) -> float:
    """Integral of 1 - (s / length)^2 from `lower` to `length`."""
    return (length - lower) - (length**3 - lower**3) / (3 * length**2)


def _round_distance(
    radius: Distances, along: Distances, outline: NDArray[np.float32], length: np.float32
) -> Distances:
    """First-order distance from an ellipsoid of revolution whose radius may differ by direction."""
    across, lengthwise = radius / outline, along / length
    k = np.sqrt(across * across + lengthwise * lengthwise) + np.float32(1e-6)
    across /= outline
    lengthwise /= length
    slope = np.sqrt(across * across + lengthwise * lengthwise) + np.float32(1e-6)
    distance: Distances = (k - 1) * k / slope
    return distance


@dataclass(frozen=True)
class RightVentricle:
    """Outer surface of the RV cavity at one moment; the LV's epicardium cuts the crescent out of it.

    An ellipsoid whose axis leans toward the LV on the way to the apex (`lean`), cut by the
    tilted plane of the tricuspid valve. In the short axis it is wider toward the front (`taper`
    above 0) or toward the diaphragm, which makes an egg of it.
    """

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    lean: float
    base_mm: float
    base_tilt: float
    taper: float = 0.0

    def distance_mm(self, polar: Polar) -> Distances:
        """Signed distance of the uncut surface, shape (n,)."""
        along = polar.s - np.float32(self.centre_mm[2])
        across = polar.a - np.float32(self.centre_mm[0]) - np.float32(self.lean) * along
        up = polar.b - np.float32(self.centre_mm[1])
        if self.taper:
            across = across / (1 + np.float32(self.taper) * np.clip(up / np.float32(self.radii_mm[1]), -1, 1))
        return ellipsoid_distance(across, up, along, self.radii_mm)

    def above_base_mm(self, polar: Polar) -> Distances:
        """Distance from the tricuspid plane, positive toward the atrium."""
        plane = self.base_mm + self.base_tilt * (polar.a - np.float32(self.centre_mm[0]))
        distance: Distances = ((plane - polar.s) / np.float32(np.hypot(1, self.base_tilt))).astype(np.float32)
        return distance
