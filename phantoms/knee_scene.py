"""A knee in its leg: what is painted where. Nothing of it moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from phantoms import knee_bones as bones
from phantoms.knee_patient import KneePatient, draw_knee
from phantoms.knee_soft import (
    COLLATERALS,
    MUSCLES,
    TENDONS,
    VESSELS,
    anterior_ligament,
    leg_mm,
    meniscus_mm,
    posterior_ligament,
    tear_mm,
)
from phantoms.scene import MovingPoints, Paint
from phantoms.shapes import Distances, Ellipsoid, Points, rotated
from phantoms.smooth_random import Texture, Warp, within
from phantoms.tissues import Tissue

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

SKIN_MM = 1.4

JOINT_MM = (np.array([-48, -64, -52], np.float32), np.array([48, 48, 90], np.float32))
"""Box round everything that only a joint has; beyond it bones are shafts."""


class _Still:
    """Points over which nothing moves."""

    def paints(self, beat_fraction: float) -> Iterator[Paint]:
        return iter(())


class KneeScene:
    """One knee in patient coordinates.

    Parameters
    ----------
    rng
        Draws the patient.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.patient: KneePatient = draw_knee(rng)
        self._warp = Warp(rng, self.patient.warp_mm)
        self._fine, self._coarse = Texture(rng, 4.0), Texture(rng, 16.0)
        self._trabeculae = Texture(rng, 2.4)
        self._shift = self._warp.undo(np.zeros((3, 1)))[:, 0]

    def knee_points(self, points: Points) -> Points:
        """LPS mm to knee coordinates of size 1, shape (3, n)."""
        centre = self.patient.centre_mm.astype(np.float32)[:, None]
        turned = rotated(self.patient.patient_from_knee.T, points - centre) / np.float32(self.patient.size)
        return self._warp.apply(turned + self._shift[:, None].astype(np.float32))

    def to_patient(self, knee_points: Floats) -> Floats:
        """Knee coordinates, shape (n, 3), to LPS mm, shape (n, 3)."""
        turned = self._warp.undo(np.asarray(knee_points, dtype=np.float64).T) - self._shift[:, None]
        return self.patient.size * (self.patient.patient_from_knee @ turned).T + self.patient.centre_mm

    def moves(self, points: Points) -> NDArray[np.bool_]:
        """Nothing does."""
        return np.zeros(points.shape[1], dtype=np.bool_)

    def moving_points(self, points: Points) -> MovingPoints:
        """Nothing to paint."""
        return _Still()

    def texture(self, points: Points) -> NDArray[np.float32]:
        """Mottle of all tissues: grains of bone and strands of muscle; 0 outside the leg."""
        inside = leg_mm(self.knee_points(points), self.patient.fat_mm) < 0
        return within(self._trabeculae, points, inside)

    def static_paints(self, points: Points) -> Iterator[Paint]:
        """Everything, at LPS points (3, n); distances in mm of a knee of size 1, good enough for edges."""
        knee = self.knee_points(points)
        leg = leg_mm(knee, self.patient.fat_mm)
        yield Paint(leg, Tissue.SKIN)
        inside = np.nonzero(leg < 0)[0]
        knee, leg = knee[:, inside], leg[inside]
        for paint in self._leg(knee, leg):
            yield _placed(paint, inside)

    def _leg(self, knee: Points, leg: Distances) -> Iterator[Paint]:
        """All inside the skin, in painting order."""
        patient = self.patient
        fine, coarse = self._fine.at(knee * np.float32(0.4)), self._coarse.at(knee)
        yield Paint(leg + np.float32(SKIN_MM), Tissue.LEG_FAT)
        # Strands of connective tissue run through fat.
        strand = np.abs(fine + np.float32(0.5) * coarse) * np.float32(6) - np.float32(0.3)
        yield Paint(np.maximum(strand, leg + 3), Tissue.FASCIA)
        inner = leg + np.float32(patient.fat_mm) * (1 + np.float32(0.25) * coarse)
        for tube in MUSCLES:
            at = places_in(knee, *tube.box(9))
            grown_mm = np.float32(4 * (patient.muscle - 1))
            whole = np.maximum(tube.distance_mm(knee[:, at]) - grown_mm, inner[at])
            yield Paint(whole, Tissue.FASCIA, at)
            yield Paint(whole + np.float32(0.6), Tissue.LEG_MUSCLE, at)
        for tube in VESSELS:
            at = places_in(knee, *tube.box(3))
            yield Paint(tube.distance_mm(knee[:, at]), Tissue.LEG_VESSEL, at)
        at = places_in(knee, *JOINT_MM)
        if len(at):
            for paint in self._joint(knee[:, at], fine[at], coarse[at]):
                yield _placed(paint, at)
        yield from self._shafts(knee)

    def _shafts(self, knee: Points) -> Iterator[Paint]:
        """Bones beyond the joint's box: the same shapes, painted where the box ended."""
        far = (knee[2] <= JOINT_MM[0][2]) | (knee[2] >= JOINT_MM[1][2])
        places = np.nonzero(far)[0]
        if len(places):
            for paint in self._bones(knee[:, places]):
                yield _placed(paint, places)

    def _bones(self, q: Points) -> Iterator[Paint]:
        for bone, cortex, marrow in _BONES:
            distance = bone(q)
            yield Paint(distance, cortex)
            yield Paint(distance + bones.cortex_mm(q), marrow)

    def _joint(self, q: Points, fine: Distances, coarse: Distances) -> Iterator[Paint]:
        """Fluid, ligaments, menisci, bones and cartilage."""
        patient = self.patient
        femur, tibia, patella = bones.femur_mm(q), bones.tibia_mm(q), bones.patella_mm(q)
        yield from self._fluid(q, femur, fine)
        for tendon, tissue in TENDONS:
            yield Paint(tendon(q), tissue)
        yield from self._ligaments(q, fine)
        yield from self._menisci(q)
        yield from self._cartilage(q, femur, tibia, patella)
        thin = bones.cortex_mm(q)
        fibula = bones.fibula_mm(q)
        for distance, cortex, marrow in (
            (fibula, Tissue.FIBULA_CORTEX, Tissue.FIBULA_MARROW),
            (patella, Tissue.PATELLA_CORTEX, Tissue.PATELLA_MARROW),
            (tibia, Tissue.TIBIA_CORTEX, Tissue.TIBIA_MARROW),
            (femur, Tissue.FEMUR_CORTEX, Tissue.FEMUR_MARROW),
        ):
            yield Paint(distance, cortex)
            yield Paint(distance + thin, marrow)
        # The scar of the growth plate stays visible for life.
        for bone, height, tissue in ((femur, 33.0, Tissue.FEMUR_CORTEX), (tibia, -19.0, Tissue.TIBIA_CORTEX)):
            wavy = np.abs(q[2] - np.float32(height) + 2 * coarse) - np.float32(0.35)
            yield Paint(np.maximum(wavy, bone + 2), tissue)
        if patient.bruise:
            yield from self._bruises(q, femur, tibia, fine)

    def _fluid(self, q: Points, femur: Distances, fine: Distances) -> Iterator[Paint]:
        """Synovium in the notch, fluid over the cartilage and in the pouch above the patella."""
        effusion = np.float32(self.patient.effusion_mm)
        notch = Ellipsoid((0, 18, 12), (10, 24, 16)).distance_mm(q)
        yield Paint(np.maximum(notch, (np.float32(-0.2) - fine) * 4), Tissue.SYNOVIUM)
        yield Paint(np.maximum(notch, (np.float32(0.9) - fine) * 4), Tissue.SYNOVIAL_FLUID)
        film = femur - np.float32(self.patient.cartilage_mm + 0.5) - effusion * np.float32(0.18)
        yield Paint(np.maximum(film, beyond_joint_mm(q) - 1), Tissue.SYNOVIAL_FLUID)
        deep = max(1.2, 0.8 * self.patient.effusion_mm)
        pouch = Ellipsoid((-2, -35 - 0.5 * deep, 60), (22, deep, 24)).distance_mm(q)
        yield Paint(pouch - np.float32(0.8), Tissue.SYNOVIUM)
        yield Paint(pouch, Tissue.SYNOVIAL_FLUID)

    def _ligaments(self, q: Points, fine: Distances) -> Iterator[Paint]:
        torn = self.patient.acl_tear
        anterior = anterior_ligament(torn).distance_mm(q)
        if torn:
            yield Paint(anterior + np.float32(1.2) * fine, Tissue.ACL_TEAR)
        else:
            yield Paint(anterior, Tissue.ACL)
        yield Paint(posterior_ligament().distance_mm(q), Tissue.PCL)
        for tube in COLLATERALS:
            yield Paint(tube(q), Tissue.TENDON)

    def _menisci(self, q: Points) -> Iterator[Paint]:
        patient = self.patient
        for side, whole, part, torn in (
            (1, Tissue.MEDIAL_MENISCUS, Tissue.MEDIAL_MENISCUS_TEAR, patient.medial_tear),
            (-1, Tissue.LATERAL_MENISCUS, Tissue.LATERAL_MENISCUS_TEAR, patient.lateral_tear),
        ):
            meniscus = meniscus_mm(q, side)
            yield Paint(meniscus, whole)
            if torn:
                yield Paint(np.maximum(meniscus + 0.2, tear_mm(q, patient.tear_height_mm)), part)

    def _cartilage(
        self, q: Points, femur: Distances, tibia: Distances, patella: Distances
    ) -> Iterator[Paint]:
        thick, (m, y, z) = np.float32(self.patient.cartilage_mm), q
        cover = np.maximum(femur - thick, beyond_joint_mm(q))
        yield Paint(cover, Tissue.FEMUR_CARTILAGE)
        if self.patient.cartilage_defect:
            hole = Ellipsoid((24, 0, 2), (7, 9, 6)).distance_mm(q)
            yield Paint(np.maximum(cover, hole), Tissue.SYNOVIAL_FLUID)
        level = bones.level_mm(q)
        beside = (np.hypot((np.abs(m) - 20) / 15, (y - 5) / 21) - 1) * 15
        plate = np.maximum(np.maximum(level - np.float32(0.1), tibia - thick), -level - np.float32(4))
        plate = np.maximum(plate, beside).astype(np.float32)
        yield Paint(plate, Tissue.TIBIA_CARTILAGE)
        facing = np.maximum(np.float32(-42) - y, np.abs(z - 40) - 15)
        yield Paint(np.maximum(patella - thick * np.float32(1.25), facing), Tissue.PATELLA_CARTILAGE)

    def _bruises(self, q: Points, femur: Distances, tibia: Distances, fine: Distances) -> Iterator[Paint]:
        """Where lateral femur and tibia hit each other when the ligament tore."""
        lump = np.float32(2.5) * fine
        front = Ellipsoid((-22, -8, 8), (13, 13, 10)).distance_mm(q) + lump
        back = Ellipsoid((-22, 20, -8), (13, 12, 9)).distance_mm(q) + lump
        yield Paint(np.maximum(front, femur + 1), Tissue.FEMUR_EDEMA)
        yield Paint(np.maximum(back, tibia + 1), Tissue.TIBIA_EDEMA)

    def landmarks(self) -> Mapping[str, Floats]:
        """Named points, LPS mm."""
        anterior, posterior = anterior_ligament(False), posterior_ligament()
        points = {
            "joint_centre": (0.0, 4.0, 0.0),
            "medial_condyle": (22.5, 7.0, 26.6),
            "lateral_condyle": (-22.5, 5.0, 26.2),
            "medial_spine": (5.0, 3.0, 5.0),
            "patella_centre": (-2.0, -46.5, 38.0),
            "fibula_head": (-35.0, 22.5, -20.0),
            "tibial_tubercle": (0.0, -26.0, -42.0),
            "acl_femur": tuple(float(v) for v in anterior.nodes_mm[0]),
            "acl_tibia": tuple(float(v) for v in anterior.nodes_mm[-1]),
            "pcl_femur": tuple(float(v) for v in posterior.nodes_mm[0]),
            "pcl_tibia": tuple(float(v) for v in posterior.nodes_mm[-1]),
        }
        placed = self.to_patient(np.array(list(points.values()), dtype=np.float64))
        return dict(zip(points, placed, strict=True))


_BONES = (
    (bones.fibula_mm, Tissue.FIBULA_CORTEX, Tissue.FIBULA_MARROW),
    (bones.tibia_mm, Tissue.TIBIA_CORTEX, Tissue.TIBIA_MARROW),
    (bones.femur_mm, Tissue.FEMUR_CORTEX, Tissue.FEMUR_MARROW),
)


def _placed(paint: Paint, places: Places) -> Paint:
    """A paint over some of the points, as one over all of them."""
    inner = places if paint.places is None else places[paint.places]
    return Paint(paint.distance_mm, paint.tissue, inner)


def beyond_joint_mm(q: Points) -> Distances:
    """How far a point of the femur's surface lies outside what bears cartilage.

    That is the groove of the patella in front, high up, and the condyles below and behind; their
    sides and the notch between them are bare.
    """
    m, y, z = q
    wide = np.abs(m)
    groove = np.maximum(np.maximum(z - 53, y + 12), wide - 24)
    condyles = np.maximum(np.maximum(z - 31, wide - 35), np.where(y > -8, 9 - wide, -9))
    beyond: Distances = np.minimum(groove, condyles).astype(np.float32)
    return beyond


def places_in(knee: Points, low: NDArray[np.float32], high: NDArray[np.float32]) -> Places:
    """Which points lie in a box: painting those alone is most of the speed."""
    inside = np.ones(knee.shape[1], dtype=np.bool_)
    for axis in range(3):
        inside &= (knee[axis] > low[axis]) & (knee[axis] < high[axis])
    return np.nonzero(inside)[0]
