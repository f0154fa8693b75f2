"""A chest with a beating heart in it: the cardiac scene, its landmarks and its volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from phantoms.cardiac_groups import draw_patient
from phantoms.cardiac_patient import CardiacPatient
from phantoms.chest import Chest, draw_chest, great_vessels
from phantoms.heart import BeatingHeart
from phantoms.heart_painting import paint_heart
from phantoms.heart_shapes import Polar
from phantoms.organs import draw_organs
from phantoms.scene import Paint
from phantoms.shapes import Distances, Points, rotated
from phantoms.smooth_random import Texture, Warp, within
from phantoms.tissues import Tissue

Floats = NDArray[np.float64]

MARGIN_MM = 9.0
"""How far beyond the heart's outline at both ends of the beat anything moving can reach."""

HEART_BALL_MM = 150.0
"""Nothing of a heart of size 1 lies farther from the LV's centre."""

STILL_SHARE = 0.45
"""How much of the pericardium's motion the lungs and the diaphragm keep back."""


class CardiacScene:
    """One patient in patient coordinates.

    Heart coordinates follow from LPS by a shift to the LV centre, a rotation and a smooth
    warp; chest coordinates by the shift and the patient's size.

    Parameters
    ----------
    rng
        Draws the patient, and the chest.
    patient
        The heart's numbers, where they are not to be drawn.
    organs
        Whether regions of other tissues lie under the diaphragm.
    """

    def __init__(
        self, rng: np.random.Generator, patient: CardiacPatient | None = None, *, organs: bool = True
    ) -> None:
        self.patient: CardiacPatient = draw_patient(rng) if patient is None else patient
        self._warp = Warp(rng, self.patient.warp_mm)
        self.heart = BeatingHeart(self._unwarped(self.patient))
        self._fine, self._coarse = Texture(rng, 9.0), Texture(rng, 34.0)
        # The LV centre is where the warp has carried the origin of heart coordinates.
        self._shift = self._warp.undo(np.zeros((3, 1)))[:, 0]
        self._ends = self.heart.moment(0.0), self.heart.moment(self.patient.end_systole)
        size = self.patient.size
        build = draw_chest(rng, self._heart_front_mm() / size)
        places = {name: self._chest_from_heart(name) for name in ("root", "outflow", "ra", "la")}
        vessels = great_vessels(
            build.midline_mm, places["root"], places["outflow"], places["ra"], places["la"]
        )
        self.chest = Chest(build, vessels, self._fine, self._coarse, draw_organs(rng) if organs else ())

    def _unwarped(self, patient: CardiacPatient) -> CardiacPatient:
        """The patient whose heart has the volumes that were drawn once the warp has changed them."""

        def change(a_mm: float, radius_mm: float) -> float:
            axis = np.linspace(-radius_mm, radius_mm, 5)
            ball = np.stack(np.meshgrid(axis, axis, axis)).reshape(3, -1)
            ball = ball[:, np.linalg.norm(ball, axis=0) <= radius_mm] + np.array([[a_mm], [0], [0]])
            return float(self.volume_change(ball.astype(np.float32)).mean())

        left, right = change(0.0, 38.0), change(-48.0, 34.0)
        return replace(
            patient,
            lv_end_diastole_mm3=patient.lv_end_diastole_mm3 / left,
            lv_end_systole_mm3=patient.lv_end_systole_mm3 / left,
            muscle_mm3=patient.muscle_mm3 / left,
            rv_end_diastole_mm3=patient.rv_end_diastole_mm3 / right,
            rv_end_systole_mm3=patient.rv_end_systole_mm3 / right,
        )

    @property
    def chest_centre_mm(self) -> Floats:
        """Middle of the chest at the height of the heart, LPS mm."""
        build = self.chest.build
        middle = np.array([build.midline_mm, (build.front_mm + build.back_mm) / 2, 0.0])
        return self.patient.heart_centre_mm + self.patient.size * middle

    def _heart_front_mm(self) -> float:
        grid, _ = self.heart.volume_grid()
        inside = self._ends[0].outside_mm(Polar(grid)) < 0
        lps = self.patient.patient_from_heart @ grid[:, inside]
        return float(np.percentile(lps[1], 0.2))

    def _chest_from_heart(self, name: str) -> Floats:
        moment = self._ends[0]
        place = {
            "root": moment.root.nodes_mm[-1],
            "outflow": moment.outflow.nodes_mm[-1],
            "ra": np.array(moment.ra.centre_mm),
            "la": np.array(moment.la.centre_mm),
        }[name]
        chest: Floats = self.patient.patient_from_heart @ place.astype(np.float64) / self.patient.size
        return chest

    def right_ventricle_mm(self) -> Floats:
        """Middle of the RV's outer surface at the height of the LV's centre, LPS mm."""
        a, b, _ = self._ends[0].rv.centre_mm
        middle: Floats = self.to_patient(np.array([[a, b, 0.0]]))[0]
        return middle

    def heart_points(self, points: Points) -> Points:
        """LPS mm to heart coordinates, shape (3, n)."""
        centre = self.patient.heart_centre_mm.astype(np.float32)[:, None]
        turned = rotated(self.patient.patient_from_heart.T, points - centre)
        return self._warp.apply(turned + self._shift[:, None].astype(np.float32))

    def to_patient(self, heart_points: Floats) -> Floats:
        """Heart coordinates, shape (n, 3), to LPS mm, shape (n, 3)."""
        turned = self._warp.undo(np.asarray(heart_points, dtype=np.float64).T) - self._shift[:, None]
        return (self.patient.patient_from_heart @ turned).T + self.patient.heart_centre_mm

    def chest_points(self, points: Points) -> Points:
        """LPS mm to chest coordinates, shape (3, n)."""
        centre = self.patient.heart_centre_mm.astype(np.float32)[:, None]
        return (points - centre) / np.float32(self.patient.size)

    def static_paints(self, points: Points) -> Iterator[Paint]:
        """The chest, at LPS points (3, n)."""
        size = np.float32(self.patient.size)
        for paint in self.chest.paints(self.chest_points(points)):
            yield Paint(paint.distance_mm * size, paint.tissue)

    def moves(self, points: Points) -> NDArray[np.bool_]:
        """Where the heart can ever be, shape (n,)."""
        away = points - self.patient.heart_centre_mm.astype(np.float32)[:, None]
        close: NDArray[np.bool_] = (away * away).sum(axis=0) < np.float32(
            HEART_BALL_MM * self.patient.size
        ) ** 2
        near = np.nonzero(close)[0]
        polar = Polar(self.heart_points(points[:, near]))
        reach = np.minimum(self._ends[0].outside_mm(polar), self._ends[1].outside_mm(polar))
        close[near] = reach < self.patient.fat_mm + MARGIN_MM
        return close

    def moving_points(self, points: Points) -> CardiacPoints:
        """Points made ready for painting the heart at many moments."""
        return CardiacPoints(self, points)

    def texture(self, points: Points) -> NDArray[np.float32]:
        """Mottle of all tissues, 0 outside the body."""
        return within(self._fine, points, self.chest.body_mm(self.chest_points(points)) < 0)

    def fat_lumps(self, points: Points) -> NDArray[np.float32]:
        """How uneven the fat round the heart is: mean 0, standard deviation 1."""
        return self._coarse.at(points)

    def landmarks(self) -> Mapping[str, Floats]:
        """Named points at end-diastole, LPS mm."""
        moment = self._ends[0]
        lv, rv = moment.lv, moment.rv
        septum_mm = lv.radius_mm + lv.wall_mm
        points = {
            "lv_centre": (0.0, 0.0, 0.0),
            "apex": (0.0, 0.0, lv.apex_mm),
            "apex_outside": (0.0, 0.0, self.heart.outer_apex_mm),
            "base_centre": (0.0, 0.0, lv.base_mm),
            "mitral_valve": (3.0, -4.0, lv.base_mm),
            "aortic_valve": tuple(moment.root.nodes_mm[1]),
            "pulmonary_valve": tuple(moment.outflow.nodes_mm[-1]),
            "tricuspid_valve": (rv.centre_mm[0] - 10, rv.centre_mm[1] - 12, rv.base_mm - 3),
            "la_centre": moment.la.centre_mm,
            "ra_centre": moment.ra.centre_mm,
            **self._insertions(septum_mm),
        }
        heart = np.array(list(points.values()), dtype=np.float64)
        return dict(zip(points, self.to_patient(heart), strict=True))

    def _insertions(self, septum_mm: float) -> dict[str, tuple[float, float, float]]:
        """Where the RV's free wall meets the LV in the middle short axis (angles from the RV's outline)."""
        moment = self._ends[0]
        angle = np.linspace(np.deg2rad(60), np.deg2rad(290), 921)
        ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)]) * septum_mm
        polar = Polar(ring.astype(np.float32))
        on_wall = ring - ring / septum_mm * moment.lv.distances_mm(polar)[1]
        inside = np.nonzero(moment.rv.distance_mm(Polar(on_wall.astype(np.float32))) < 0)[0]
        if len(inside) == 0:
            return {}
        front, back = on_wall[:, inside[0]], on_wall[:, inside[-1]]
        return {
            "rv_insertion_anterior": (front[0], front[1], 0.0),
            "rv_insertion_inferior": (back[0], back[1], 0.0),
        }

    def volume_change(self, heart_points: Points) -> Floats:
        """Patient volume of a unit of heart volume at heart points (3, n), shape (n,)."""
        turned = self._warp.undo(heart_points.astype(np.float64), exact_mm=0.1)
        change: Floats = 1.0 / self._warp.volume_ratio(turned)
        return change


class CardiacPoints:
    """Points near the heart, with everything that is the same in all phases."""

    def __init__(self, scene: CardiacScene, points: Points) -> None:
        self._scene = scene
        self._polar = Polar(scene.heart_points(points))
        chest = scene.chest_points(points)
        self._vessels = scene.chest.vessels_mm(chest) * np.float32(scene.patient.size)
        self._texture = scene.texture(points)
        filled = scene.heart.moment(0.0).outside_mm(self._polar)
        lumps = np.float32(scene.patient.fat_mm) * self._fat_share(scene.fat_lumps(points))
        self._filled_sac = filled - lumps
        self._lumps = lumps

    def _fat_share(self, lumps: NDArray[np.float32]) -> NDArray[np.float32]:
        """How thick the fat is beside its mean: lumpy, and thin or none over the LV's free wall."""
        toward_lung = np.clip((self._polar.a + 10) / 30, 0, 1) * np.clip((self._polar.s + 40) / 20, 0, 1)
        bare = np.float32(self._scene.patient.bare_wall) * toward_lung
        share: NDArray[np.float32] = np.clip(
            np.float32(0.7) + np.float32(0.9) * lumps - np.float32(1.4) * bare, 0.05, None
        )
        return share

    def paints(self, beat_fraction: float) -> Iterator[Paint]:
        """Pericardium, fat and chambers at a moment of the beat."""
        moment = self._scene.heart.moment(beat_fraction)
        now = moment.outside_mm(self._polar) - self._lumps
        still = np.float32(STILL_SHARE)
        sac: Distances = now + still * (self._filled_sac - now)
        yield Paint(sac - np.float32(1.4), Tissue.PERICARDIUM)
        yield Paint(sac, Tissue.EPICARDIAL_FAT)
        yield from paint_heart(moment, self._polar, self._texture, self._vessels)
