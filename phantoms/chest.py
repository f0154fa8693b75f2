"""What lies round the heart: body wall, lungs, diaphragm and liver, spine, great vessels.

Chest coordinates are patient directions (LPS) in mm from the LV centre, divided by the
patient's size: numbers below are those of a body of size 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantoms.organs import Organ
from phantoms.scene import Paint
from phantoms.shapes import Distances, Ellipsoid, Points, Tube, nearest_of
from phantoms.smooth_random import Texture, within
from phantoms.tissues import Tissue

SUPERELLIPSE = 2.5
"""Exponent of the body's outline in axial planes: 2 would be an ellipse."""

VESSEL_REACH_MM = 8.0
"""How far from a great vessel its distance must be known, for walls and soft edges."""

VERTEBRA_MM = 25.0
"""Height of a vertebra with its disc."""


@dataclass(frozen=True)
class ChestBuild:
    """Numbers of one chest of size 1, mm."""

    midline_mm: float
    front_mm: float
    back_mm: float
    half_width_mm: float
    fat_mm: float
    wall_mm: float
    right_dome_mm: float
    left_dome_mm: float
    rib_phase: float


def draw_chest(rng: np.random.Generator, heart_front_mm: float) -> ChestBuild:
    """Draw a chest whose front wall lies just before a heart reaching to `heart_front_mm`."""
    fat_mm = float(rng.uniform(9, 28))
    wall_mm = float(rng.uniform(13, 18))
    return ChestBuild(
        midline_mm=float(rng.uniform(-50, -38)),
        front_mm=heart_front_mm - wall_mm - fat_mm - float(rng.uniform(2, 8)),
        back_mm=float(rng.uniform(128, 138)) + fat_mm,
        half_width_mm=float(rng.uniform(142, 158)) + fat_mm,
        fat_mm=fat_mm,
        wall_mm=wall_mm,
        right_dome_mm=float(rng.uniform(0, 22)),
        left_dome_mm=float(rng.uniform(-24, -8)),
        rib_phase=float(rng.uniform(0, 2 * np.pi)),
    )


class Chest:
    """Static surroundings of a heart.

    Parameters
    ----------
    build
        Its numbers.
    vessels
        Great vessels as tubes in chest coordinates (mm, size 1).
    fine, coarse
        Textures for vessels of lung and liver, and for uneven fat.
    organs
        Smooth regions below the diaphragm and beside the mediastinum, no two patients alike.
    """

    def __init__(
        self,
        build: ChestBuild,
        vessels: tuple[Tube, ...],
        fine: Texture,
        coarse: Texture,
        organs: tuple[Organ, ...] = (),
    ) -> None:
        self.build, self._vessels, self._fine, self._coarse = build, vessels, fine, coarse
        self._organs = organs

    def vessels_mm(self, points: Points) -> Distances:
        """Signed distance from the great vessels."""
        return nearest_of(self._vessels, points, VESSEL_REACH_MM)

    def body_mm(self, points: Points) -> Distances:
        """Signed distance from the skin, first order."""
        build, power = self.build, np.float32(SUPERELLIPSE)
        depth = (build.back_mm - build.front_mm) / 2
        x = np.abs(points[0] - np.float32(build.midline_mm)) + np.float32(1e-3)
        y = np.abs(points[1] - np.float32(build.front_mm + depth)) + np.float32(1e-3)
        rx, ry = np.float32(build.half_width_mm), np.float32(depth)
        ux, uy = x / rx, y / ry
        # To the power of SUPERELLIPSE = 2.5, spelled so that it is quick.
        ux, uy = ux * ux * np.sqrt(ux), uy * uy * np.sqrt(uy)
        k = (ux + uy) ** (1 / power)
        slope = np.hypot(ux / x, uy / y) / k ** (power - 1)
        distance: Distances = (k - 1) / slope
        return distance

    def _diaphragm_mm(self, points: Points) -> Distances:
        """Signed height above the diaphragm."""
        build = self.build
        x = points[0] - np.float32(build.midline_mm)
        right = 1 / (1 + np.exp(np.clip((x - 5) / 16, -30, 30)))
        dome = build.left_dome_mm + (build.right_dome_mm - build.left_dome_mm) * right
        centre = np.where(x < 0, np.float32(-75), np.float32(75))
        fall = ((x - centre) / 95) ** 2 + ((points[1] - 15) / 95) ** 2
        height: Distances = ((points[2] - dome + 42 * fall) * np.float32(0.85)).astype(np.float32)
        return height

    def paints(self, points: Points) -> Iterator[Paint]:
        """All static tissues in painting order, at chest points (3, n)."""
        build = self.build
        body = self.body_mm(points)
        inside = body < 0
        fine, coarse = within(self._fine, points, inside), within(self._coarse, points, inside)
        wall = body + np.float32(build.fat_mm) * (1 + np.float32(0.18) * coarse)
        cavity = body + np.float32(build.fat_mm + build.wall_mm)
        diaphragm = self._diaphragm_mm(points)
        yield Paint(body, Tissue.MUSCLE)
        yield Paint(body + 2, Tissue.FAT)
        yield Paint(wall, Tissue.MUSCLE)
        yield Paint(np.maximum(np.abs(wall + build.wall_mm * 0.45) - 1.5, -coarse), Tissue.FAT)
        yield from self._ribs(points, wall)
        yield Paint(cavity, Tissue.LUNG)
        branches = within(self._fine, points * np.float32(1.8), cavity < 0)
        yield Paint(np.maximum(cavity, (np.float32(1.7) - branches) * 2.2), Tissue.VESSEL_BLOOD)
        yield from self._abdomen(points, cavity, diaphragm, fine, coarse)
        yield from self._mediastinum(points, np.maximum(cavity, -diaphragm - 4), fine, coarse)
        yield from self._spine(points)
        vessels = self.vessels_mm(points)
        yield Paint(vessels - np.float32(1.3), Tissue.VESSEL_WALL)
        yield Paint(vessels, Tissue.VESSEL_BLOOD)

    def _ribs(self, points: Points, wall: Distances) -> Iterator[Paint]:
        """Slanting ribs inside the chest wall."""
        build = self.build
        x, y, z = points
        slant = z + 0.45 * y + 0.12 * np.abs(x - np.float32(build.midline_mm))
        beside = np.abs(np.sin(np.float32(np.pi / 27) * slant + np.float32(build.rib_phase)))
        away = (np.arcsin(np.clip(beside, 0, 1)) * np.float32(27 / np.pi)).astype(np.float32)
        rib = np.hypot(away, wall + np.float32(0.66 * build.wall_mm)) - np.float32(5.2)
        yield Paint(rib, Tissue.CORTICAL_BONE)
        yield Paint(rib + np.float32(1.8), Tissue.BONE_MARROW)

    def _abdomen(
        self, points: Points, cavity: Distances, diaphragm: Distances, fine: Distances, coarse: Distances
    ) -> Iterator[Paint]:
        """Under the diaphragm: fat, liver with its vessels, stomach and spleen."""
        build = self.build
        inside = np.maximum(cavity, diaphragm)
        yield Paint(inside, Tissue.MUSCLE)
        loops = np.abs(fine + 0.6 * coarse) * 5 - 1.2
        yield Paint(np.maximum(inside + 2.5, -loops), Tissue.STOMACH)
        yield Paint(np.maximum(inside + 2.5, (np.float32(0.9) - coarse) * 8), Tissue.FAT)
        left_end = points[0] - np.float32(build.midline_mm + 78) - np.float32(0.6) * diaphragm
        liver = np.maximum(inside + 3 + coarse, np.maximum(left_end * np.float32(0.8), points[1] - 95))
        yield Paint(liver, Tissue.LIVER)
        yield Paint(np.maximum(liver + 6, (np.float32(1.55) - fine) * 4), Tissue.VESSEL_BLOOD)
        stomach = Ellipsoid((build.midline_mm + 88, 30, build.left_dome_mm - 52), (38, 42, 40))
        within = np.maximum(stomach.distance_mm(points) + 3 * coarse, inside + 4)
        yield Paint(within, Tissue.MUSCLE)
        yield Paint(within + 4, Tissue.STOMACH)
        spleen = Ellipsoid((build.midline_mm + 108, 88, build.left_dome_mm - 58), (28, 34, 42))
        yield Paint(np.maximum(spleen.distance_mm(points), inside + 3), Tissue.SPLEEN)
        for organ in self._organs:
            yield from organ.paints(points, inside + 4, self._coarse)

    def _mediastinum(
        self, points: Points, cavity: Distances, fine: Distances, coarse: Distances
    ) -> Iterator[Paint]:
        """Fat and soft tissue between the lungs, lumpy, with the windpipe."""
        build = self.build
        x, y, z = points
        waist = 30 + 6 * coarse + np.clip(20 - z, 0, 60) * np.float32(0.15)
        middle = np.maximum(np.abs(x - np.float32(build.midline_mm + 4)) - waist, cavity - 1)
        behind = np.hypot(x - np.float32(build.midline_mm), y - 100) - 34
        middle = np.minimum(middle, np.maximum(behind, cavity - 6)).astype(np.float32)
        yield Paint(middle, Tissue.MEDIASTINUM)
        yield Paint(np.maximum(middle + 3, (np.float32(0.35) - coarse - 0.4 * fine) * 6), Tissue.FAT)
        airway = Tube(
            [(build.midline_mm, 42, 260), (build.midline_mm, 60, 92), (build.midline_mm - 26, 66, 66)],
            [9, 9, 7],
        )
        other = Tube([(build.midline_mm, 60, 92), (build.midline_mm + 36, 68, 66)], [9, 6.5])
        windpipe = nearest_of((airway, other), points, VESSEL_REACH_MM)
        yield Paint(windpipe - 2, Tissue.VESSEL_WALL)
        yield Paint(windpipe, Tissue.AIR)

    def _spine(self, points: Points) -> Iterator[Paint]:
        """Vertebral bodies with discs, canal with cord, posterior elements in muscle."""
        x = points[0] - np.float32(self.build.midline_mm)
        y, z = points[1], points[2]
        muscles = np.hypot(x / 52, (y - 128) / 24) * 24 - 24
        yield Paint(muscles.astype(np.float32), Tissue.MUSCLE)
        body = (np.hypot(x / 19, (y - 94) / 15) - 1) * 16
        yield Paint(body.astype(np.float32), Tissue.CORTICAL_BONE)
        away = np.abs((z / VERTEBRA_MM) % 1 - 0.5) * VERTEBRA_MM
        yield Paint(np.maximum(body + 1.5, away - 9).astype(np.float32), Tissue.BONE_MARROW)
        disc = np.maximum(body + 1.5, 10.5 - away)
        yield Paint(disc.astype(np.float32), Tissue.MEDIASTINUM)
        arch = np.minimum(
            np.hypot(np.abs(x) - 15, y - 116) - 6, np.maximum(np.abs(x) - 3, np.abs(y - 136) - 13)
        )
        arch = np.maximum(arch, away - 8)
        yield Paint(arch.astype(np.float32), Tissue.CORTICAL_BONE)
        yield Paint((arch + 1.6).astype(np.float32), Tissue.BONE_MARROW)
        canal = np.hypot(x, y - 117)
        yield Paint((canal - 8.5).astype(np.float32), Tissue.SPINAL_FLUID)
        yield Paint((canal - 4.8).astype(np.float32), Tissue.SPINAL_CORD)


def great_vessels(
    midline_mm: float,
    aortic_root_mm: NDArray[np.float64],
    pulmonary_valve_mm: NDArray[np.float64],
    right_atrium_mm: NDArray[np.float64],
    left_atrium_mm: NDArray[np.float64],
) -> tuple[Tube, ...]:
    """Aorta, pulmonary arteries, caval and pulmonary veins, starting at the given places (chest, mm)."""

    def tube(start: NDArray[np.float64], steps: list[tuple[float, float, float]], radii: list[float]) -> Tube:
        return Tube([start, *(start + np.array(step) for step in steps)], radii)

    descending = [(midline_mm + 22, 76, z) for z in (95, 40, -40, -220)]
    ascending = tube(aortic_root_mm, [(-14, 1, 20), (-20, 3, 44), (-8, 16, 66)], [14, 14, 14, 13.5])
    arch = Tube(
        [ascending.nodes_mm[-1], (midline_mm + 16, 58, 112), *descending], [13.5, 12, 11.5, 11, 10.5, 10]
    )
    lungs_root = tube(pulmonary_valve_mm, [(10, 8, 16), (14, 24, 26)], [12, 12.5, 12])
    fork = lungs_root.nodes_mm[-1].astype(np.float64)
    right_branch = tube(fork, [(-30, 14, -2), (-70, 22, -6)], [11, 9, 5])
    left_branch = tube(fork, [(20, 18, 2), (48, 34, -4)], [11, 9, 5])
    upper = tube(right_atrium_mm, [(4, -2, 30), (8, -8, 70), (8, -12, 200)], [10, 9, 9, 8])
    lower = tube(right_atrium_mm, [(2, 8, -34), (8, 18, -80), (14, 24, -220)], [11, 12, 12, 11])
    veins = [
        tube(left_atrium_mm, [(side * 26, 14, high), (side * 62, 22, 2.2 * high)], [9, 7, 4])
        for side in (-1, 1)
        for high in (-8, 12)
    ]
    return (ascending, arch, lungs_root, right_branch, left_branch, upper, lower, *veins)
