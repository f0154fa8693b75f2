"""What a body is made of, and what of it counts as a segment of the truth."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Tissue(IntEnum):
    """Values of a `tissue` image. Numbers are written to files: append, never renumber."""

    AIR = 0
    LUNG = 1
    FAT = 2
    MUSCLE = 3
    BONE_MARROW = 4
    CORTICAL_BONE = 5
    SPINAL_FLUID = 6
    SPINAL_CORD = 7
    LIVER = 8
    SPLEEN = 9
    STOMACH = 10
    MEDIASTINUM = 11
    VESSEL_BLOOD = 12
    VESSEL_WALL = 13
    LV_BLOOD = 14
    LV_MYOCARDIUM = 15
    PAPILLARY = 16
    RV_BLOOD = 17
    RV_WALL = 18
    LA_BLOOD = 19
    RA_BLOOD = 20
    ATRIAL_WALL = 21
    EPICARDIAL_FAT = 22
    VALVE = 23
    PERICARDIUM = 24
    TRABECULAE = 25


@dataclass(frozen=True)
class RelaxationTimes:
    """What decides a tissue's brightness: proton density (0 to 1), T1 and T2 in ms."""

    density: float
    t1_ms: float
    t2_ms: float


RELAXATION = {
    Tissue.AIR: RelaxationTimes(0.0, 1000, 50),
    Tissue.LUNG: RelaxationTimes(0.16, 1200, 30),
    Tissue.FAT: RelaxationTimes(0.90, 260, 84),
    Tissue.MUSCLE: RelaxationTimes(0.76, 1000, 38),
    Tissue.BONE_MARROW: RelaxationTimes(0.60, 550, 50),
    Tissue.CORTICAL_BONE: RelaxationTimes(0.10, 800, 5),
    Tissue.SPINAL_FLUID: RelaxationTimes(1.0, 4000, 1800),
    Tissue.SPINAL_CORD: RelaxationTimes(0.75, 900, 80),
    Tissue.LIVER: RelaxationTimes(0.70, 586, 40),
    Tissue.SPLEEN: RelaxationTimes(0.75, 1050, 65),
    Tissue.STOMACH: RelaxationTimes(0.80, 900, 60),
    Tissue.MEDIASTINUM: RelaxationTimes(0.80, 700, 50),
    Tissue.VESSEL_BLOOD: RelaxationTimes(0.95, 1480, 250),
    Tissue.VESSEL_WALL: RelaxationTimes(0.70, 1000, 40),
    Tissue.LV_BLOOD: RelaxationTimes(0.98, 1480, 270),
    Tissue.LV_MYOCARDIUM: RelaxationTimes(0.80, 1030, 47),
    Tissue.PAPILLARY: RelaxationTimes(0.80, 1030, 47),
    Tissue.RV_BLOOD: RelaxationTimes(0.95, 1500, 230),
    Tissue.RV_WALL: RelaxationTimes(0.78, 1030, 48),
    Tissue.LA_BLOOD: RelaxationTimes(0.96, 1480, 255),
    Tissue.RA_BLOOD: RelaxationTimes(0.94, 1500, 220),
    Tissue.ATRIAL_WALL: RelaxationTimes(0.75, 1000, 48),
    Tissue.EPICARDIAL_FAT: RelaxationTimes(0.82, 280, 78),
    Tissue.VALVE: RelaxationTimes(0.85, 1100, 110),
    Tissue.PERICARDIUM: RelaxationTimes(0.50, 1000, 35),
    Tissue.TRABECULAE: RelaxationTimes(0.85, 1200, 90),
}
"""Round textbook values at 1.5 T (Stanisz 2005 and de Bazelaire 2004, where they have them)."""


@dataclass(frozen=True)
class Segment:
    """One segment of the truth: its number, name, code (SNOMED CT) and what it is made of."""

    number: int
    name: str
    code: str
    meaning: str
    tissues: tuple[Tissue, ...]


CARDIAC_SEGMENTS = (
    Segment(
        1,
        "LV cavity",
        "87878005",
        "Left ventricle",
        (Tissue.LV_BLOOD, Tissue.PAPILLARY, Tissue.VALVE),
    ),
    Segment(2, "LV myocardium", "74281007", "Myocardium", (Tissue.LV_MYOCARDIUM,)),
    Segment(3, "RV cavity", "53085002", "Right ventricle", (Tissue.RV_BLOOD, Tissue.TRABECULAE)),
    Segment(4, "LA cavity", "82471001", "Left atrium", (Tissue.LA_BLOOD,)),
    Segment(5, "RA cavity", "73829009", "Right atrium", (Tissue.RA_BLOOD,)),
)
"""Papillary muscles count as LV cavity and trabeculae as RV cavity, as in ACDC."""
