"""What of a tissue image counts as a segment of the truth."""

from __future__ import annotations

from dataclasses import dataclass

from phantoms.tissues import Tissue


@dataclass(frozen=True)
class Segment:
    """One segment of the truth: its number, name, code (SNOMED CT unless said) and what it is made of."""

    number: int
    name: str
    code: str
    meaning: str
    tissues: tuple[Tissue, ...]
    scheme: str = "SCT"


CARDIAC_SEGMENTS = (
    Segment(
        1,
        "LV cavity",
        "87878005",
        "Left ventricle",
        (Tissue.LV_BLOOD, Tissue.PAPILLARY, Tissue.VALVE, Tissue.LV_FLOW_VOID),
    ),
    Segment(2, "LV myocardium", "74281007", "Myocardium", (Tissue.LV_MYOCARDIUM, Tissue.SCAR)),
    Segment(3, "RV cavity", "53085002", "Right ventricle", (Tissue.RV_BLOOD, Tissue.TRABECULAE)),
    Segment(4, "LA cavity", "82471001", "Left atrium", (Tissue.LA_BLOOD,)),
    Segment(5, "RA cavity", "73829009", "Right atrium", (Tissue.RA_BLOOD,)),
)
"""Papillary muscles count as LV cavity and trabeculae as RV cavity, as in ACDC."""

KNEE_SEGMENTS = (
    Segment(1, "femur", "71341001", "Femur", (Tissue.FEMUR_MARROW, Tissue.FEMUR_CORTEX, Tissue.FEMUR_EDEMA)),
    Segment(2, "tibia", "12611008", "Tibia", (Tissue.TIBIA_MARROW, Tissue.TIBIA_CORTEX, Tissue.TIBIA_EDEMA)),
    Segment(3, "fibula", "87342007", "Fibula", (Tissue.FIBULA_MARROW, Tissue.FIBULA_CORTEX)),
    Segment(4, "patella", "64234005", "Patella", (Tissue.PATELLA_MARROW, Tissue.PATELLA_CORTEX)),
    Segment(5, "femoral cartilage", "61496007", "Cartilage", (Tissue.FEMUR_CARTILAGE,)),
    Segment(6, "tibial cartilage", "61496007", "Cartilage", (Tissue.TIBIA_CARTILAGE,)),
    Segment(7, "patellar cartilage", "61496007", "Cartilage", (Tissue.PATELLA_CARTILAGE,)),
    Segment(
        8, "medial meniscus", "72470008", "Meniscus", (Tissue.MEDIAL_MENISCUS, Tissue.MEDIAL_MENISCUS_TEAR)
    ),
    Segment(
        9, "lateral meniscus", "72470008", "Meniscus", (Tissue.LATERAL_MENISCUS, Tissue.LATERAL_MENISCUS_TEAR)
    ),
    Segment(
        10,
        "anterior cruciate ligament",
        "24142002",
        "Anterior cruciate ligament",
        (Tissue.ACL, Tissue.ACL_TEAR),
    ),
    Segment(11, "posterior cruciate ligament", "15046008", "Posterior cruciate ligament", (Tissue.PCL,)),
    Segment(12, "muscle", "71616004", "Skeletal muscle", (Tissue.LEG_MUSCLE,)),
    Segment(13, "fat", "55603005", "Adipose tissue", (Tissue.LEG_FAT,)),
)
"""Cartilage, menisci and ligaments include what is torn of them."""
