"""Who the knee belongs to, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantoms.cardiac_groups import Spread


@dataclass(frozen=True)
class KneePatient:
    """Numbers that make one knee; lengths in mm.

    Knee coordinates: medial, back, head, from the middle of the tibial plateau, for a knee of size 1.
    """

    side: str
    sex: str
    height_m: float
    weight_kg: float
    size: float
    centre_mm: NDArray[np.float64]
    patient_from_knee: NDArray[np.float64]
    fat_mm: float
    muscle: float
    cartilage_mm: float
    effusion_mm: float
    acl_tear: bool
    medial_tear: bool
    lateral_tear: bool
    cartilage_defect: bool
    bruise: bool
    tear_height_mm: float
    warp_mm: float

    @property
    def meniscus_tear(self) -> bool:
        """Either meniscus."""
        return self.medial_tear or self.lateral_tear

    @property
    def abnormal(self) -> bool:
        """Anything a report would mention."""
        return (
            self.acl_tear
            or self.meniscus_tear
            or self.cartilage_defect
            or self.bruise
            or self.effusion_mm > 3.0
        )


def _turn(axis: int, angle_rad: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    turn = np.eye(3)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    turn[i, i] = turn[j, j] = cosine
    turn[i, j], turn[j, i] = -sine, sine
    return turn


def draw_knee(rng: np.random.Generator) -> KneePatient:
    """Draw one patient; two in three have something, as in a hospital's archive."""
    side, sex = ("R", "L")[int(rng.integers(2))], "M" if rng.random() < 0.55 else "F"
    usual = Spread(1.77, 0.07, 1.55, 2.0) if sex == "M" else Spread(1.64, 0.065, 1.45, 1.85)
    height_m = usual.draw(rng)
    index = Spread(26, 4, 18.5, 38).draw(rng)
    ill = bool(rng.random() < 0.67)
    acl = ill and bool(rng.random() < 0.35)
    mirror = np.diag([1.0 if side == "R" else -1.0, 1.0, 1.0])
    angles = np.deg2rad(np.clip(rng.normal(0, 1, 3), -2, 2) * [4, 3, 8])
    pose = _turn(0, angles[0]) @ _turn(1, angles[1]) @ _turn(2, angles[2])
    beside = -90.0 if side == "R" else 90.0
    return KneePatient(
        side=side,
        sex=sex,
        height_m=height_m,
        weight_kg=index * height_m**2,
        size=float(np.clip(height_m / 1.72 * rng.normal(1.0, 0.025), 0.86, 1.15)),
        centre_mm=np.array([beside, -40.0, 0.0]) + rng.uniform([-25, -25, -25], [25, 25, 25]),
        patient_from_knee=pose @ mirror,
        fat_mm=float(np.clip(rng.normal(7, 2.5) * (index / 26) ** 1.5, 3.5, 17)),
        muscle=float(rng.normal(1.0, 0.05)),
        cartilage_mm=float(rng.uniform(1.7, 2.5)),
        effusion_mm=float(
            rng.uniform(3.2, 8.0) if acl or (ill and rng.random() < 0.4) else rng.uniform(0.3, 1.8)
        ),
        acl_tear=acl,
        medial_tear=ill and bool(rng.random() < 0.4),
        lateral_tear=ill and bool(rng.random() < 0.2),
        cartilage_defect=ill and bool(rng.random() < 0.2),
        bruise=(acl and bool(rng.random() < 0.8)) or (ill and bool(rng.random() < 0.1)),
        tear_height_mm=float(rng.uniform(1.2, 2.6)),
        warp_mm=float(rng.uniform(0.6, 1.6)),
    )
