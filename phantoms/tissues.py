"""What bodies are made of, and how that answers to radio waves."""

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
    SCAR = 26
    LV_FLOW_VOID = 27
    SKIN = 28
    LEG_FAT = 29
    LEG_MUSCLE = 30
    FASCIA = 31
    TENDON = 32
    FEMUR_MARROW = 33
    FEMUR_CORTEX = 34
    FEMUR_EDEMA = 35
    TIBIA_MARROW = 36
    TIBIA_CORTEX = 37
    TIBIA_EDEMA = 38
    FIBULA_MARROW = 39
    FIBULA_CORTEX = 40
    PATELLA_MARROW = 41
    PATELLA_CORTEX = 42
    FEMUR_CARTILAGE = 43
    TIBIA_CARTILAGE = 44
    PATELLA_CARTILAGE = 45
    MEDIAL_MENISCUS = 46
    MEDIAL_MENISCUS_TEAR = 47
    LATERAL_MENISCUS = 48
    LATERAL_MENISCUS_TEAR = 49
    ACL = 50
    ACL_TEAR = 51
    PCL = 52
    SYNOVIAL_FLUID = 53
    LEG_VESSEL = 54
    SYNOVIUM = 55


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
    Tissue.SCAR: RelaxationTimes(0.80, 1060, 50),
    Tissue.LV_FLOW_VOID: RelaxationTimes(0.30, 1480, 120),
    Tissue.SKIN: RelaxationTimes(0.70, 900, 30),
    Tissue.LEG_FAT: RelaxationTimes(0.90, 290, 80),
    Tissue.LEG_MUSCLE: RelaxationTimes(0.78, 1010, 38),
    Tissue.FASCIA: RelaxationTimes(0.55, 900, 14),
    Tissue.TENDON: RelaxationTimes(0.40, 600, 6),
    **dict.fromkeys(
        (Tissue.FEMUR_MARROW, Tissue.TIBIA_MARROW, Tissue.FIBULA_MARROW, Tissue.PATELLA_MARROW),
        RelaxationTimes(0.86, 300, 75),
    ),
    **dict.fromkeys(
        (Tissue.FEMUR_CORTEX, Tissue.TIBIA_CORTEX, Tissue.FIBULA_CORTEX, Tissue.PATELLA_CORTEX),
        RelaxationTimes(0.15, 800, 3),
    ),
    **dict.fromkeys((Tissue.FEMUR_EDEMA, Tissue.TIBIA_EDEMA), RelaxationTimes(0.90, 900, 90)),
    **dict.fromkeys(
        (Tissue.FEMUR_CARTILAGE, Tissue.TIBIA_CARTILAGE, Tissue.PATELLA_CARTILAGE),
        RelaxationTimes(0.85, 1060, 42),
    ),
    **dict.fromkeys((Tissue.MEDIAL_MENISCUS, Tissue.LATERAL_MENISCUS), RelaxationTimes(0.55, 800, 9)),
    **dict.fromkeys(
        (Tissue.MEDIAL_MENISCUS_TEAR, Tissue.LATERAL_MENISCUS_TEAR), RelaxationTimes(0.90, 1800, 120)
    ),
    Tissue.ACL: RelaxationTimes(0.65, 900, 20),
    Tissue.ACL_TEAR: RelaxationTimes(0.88, 1300, 80),
    Tissue.PCL: RelaxationTimes(0.50, 800, 9),
    Tissue.SYNOVIAL_FLUID: RelaxationTimes(1.0, 3600, 750),
    Tissue.LEG_VESSEL: RelaxationTimes(0.90, 1500, 180),
    Tissue.SYNOVIUM: RelaxationTimes(0.80, 900, 60),
}
"""Round textbook values at 1.5 T (Stanisz 2005, de Bazelaire 2004 and Gold 2004, where they have them)."""
