"""How bright tissues are in each sequence, and what else makes the look of one exam."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phantoms.tissues import RELAXATION, RelaxationTimes, Tissue

MOTTLE = {
    Tissue.LUNG: 0.45,
    Tissue.FAT: 0.05,
    Tissue.MUSCLE: 0.12,
    Tissue.BONE_MARROW: 0.12,
    Tissue.LIVER: 0.07,
    Tissue.STOMACH: 0.5,
    Tissue.MEDIASTINUM: 0.25,
    Tissue.EPICARDIAL_FAT: 0.15,
    Tissue.LV_MYOCARDIUM: 0.06,
}
"""Standard deviation of a tissue's brightness from place to place; 0.05 where not named."""

INFLOW = {
    Tissue.LV_BLOOD: 1.10,
    Tissue.RV_BLOOD: 1.06,
    Tissue.LA_BLOOD: 1.12,
    Tissue.RA_BLOOD: 1.06,
    Tissue.VESSEL_BLOOD: 1.08,
}
"""Fresh blood entering the slice is brighter than the steady state."""


def balanced_signal(tissue: RelaxationTimes, flip_deg: float) -> float:
    """Steady-state signal of balanced SSFP for TR << T1, T2 (Scheffler and Lehnhardt 2003)."""
    flip = np.deg2rad(flip_deg)
    ratio = tissue.t1_ms / tissue.t2_ms
    return float(tissue.density * np.sin(flip) / (1 + np.cos(flip) + (1 - np.cos(flip)) * ratio))


@dataclass(frozen=True)
class Sequence:
    """What the header says of the acquisition."""

    flip_deg: float
    echo_ms: float
    repetition_ms: float


@dataclass(frozen=True)
class Contrast:
    """How one exam looks.

    Parameters
    ----------
    level, mottle : array, shape (tissues,)
        Mean brightness in stored units, and its relative variation from place to place.
    noise : float
        Standard deviation of the noise in each of the two channels, stored units.
    blur_px : float
        Width of the point spread, pixels.
    acquired : (float, float)
        Share of k-space that is acquired along columns and rows; the rest is filled with zeros.
    roll_off : float
        Width of the edge of the acquired part, as a share of k-space: a sharp one rings.
    coil_mm : array, shape (2, 3)
        Two places, relative to the heart, round which the coils are most sensitive.
    off_resonance : array, shape (3,)
        Curvature of the field that puts dark bands far from the heart, turns per (100 mm)^2.
    """

    level: NDArray[np.float32]
    mottle: NDArray[np.float32]
    noise: float
    blur_px: float
    acquired: tuple[float, float]
    roll_off: float
    coil_mm: NDArray[np.float64]
    coil_depth: float
    off_resonance: NDArray[np.float64]
    sequence: Sequence


def _off_resonance(rng: np.random.Generator) -> NDArray[np.float64]:
    """Usually bands stay off the heart; in one exam of seven they cross it."""
    if rng.random() < 0.15:
        return np.clip(rng.normal(0, 0.35, 3), -0.7, 0.7)
    return np.clip(rng.normal(0, 0.12, 3), -0.24, 0.24)


def draw_contrast(rng: np.random.Generator) -> Contrast:
    """Draw the look of one exam."""
    flip_deg = float(rng.uniform(45, 65))
    signal = np.array([balanced_signal(RELAXATION[tissue], flip_deg) for tissue in Tissue])
    for tissue, gain in INFLOW.items():
        signal[tissue] *= gain * rng.normal(1, 0.03)
    variation = rng.normal(0, 0.07, len(signal))
    variation[list(INFLOW)] *= 0.4
    signal *= np.exp(variation)
    signal[Tissue.PAPILLARY] = signal[Tissue.LV_MYOCARDIUM] * 1.1
    signal[Tissue.SCAR] = signal[Tissue.LV_MYOCARDIUM] * 1.03
    blood = float(rng.uniform(320, 520))
    # Scanners differ in how dark muscle is beside blood, more than one sequence's theory allows.
    relative = (signal / signal[Tissue.LV_BLOOD]) ** float(rng.uniform(1.0, 1.55))
    level = (relative * blood).astype(np.float32)
    mottle = np.array([MOTTLE.get(tissue, 0.05) for tissue in Tissue], dtype=np.float32)
    return Contrast(
        level=level,
        mottle=mottle,
        noise=blood * float(rng.uniform(0.012, 0.03)),
        blur_px=float(rng.uniform(0.25, 0.45)),
        acquired=(float(rng.uniform(0.85, 1.0)), float(rng.uniform(0.65, 0.95))),
        roll_off=float(rng.uniform(0.02, 0.10)),
        coil_mm=np.array([[10.0, -150.0, 0.0], [-40.0, 210.0, 0.0]]) + rng.normal(0, 25, (2, 3)),
        coil_depth=float(rng.uniform(150, 230)),
        off_resonance=_off_resonance(rng),
        sequence=Sequence(
            flip_deg=round(flip_deg),
            echo_ms=round(float(rng.uniform(1.1, 1.7)), 2),
            repetition_ms=round(float(rng.uniform(28, 48)), 2),
        ),
    )


ENHANCED_T1 = {"blood": 1 / 480, "scar": 1 / 360, "rest": 1 / 800}
"""What contrast medium adds to 1/T1 some ten minutes after it was given, 1/ms."""

BLOOD = frozenset({*INFLOW, Tissue.LV_FLOW_VOID})


def late_enhancement_contrast(contrast: Contrast) -> Contrast:
    """Inversion recovery at the moment at which healthy muscle is black; scar and blood are bright."""
    times = {tissue: _enhanced_t1_ms(tissue) for tissue in Tissue}
    inversion_ms = np.log(2) * times[Tissue.LV_MYOCARDIUM] * 0.96
    signal = [RELAXATION[t].density * abs(1 - 2 * np.exp(-inversion_ms / times[t])) for t in Tissue]
    level = np.array(signal, dtype=np.float32)
    level *= contrast.level[Tissue.LV_BLOOD] * 0.9 / level[Tissue.LV_BLOOD]
    return replace(contrast, level=level, noise=contrast.noise * 1.6, off_resonance=np.zeros(3))


def _enhanced_t1_ms(tissue: Tissue) -> float:
    gain = "blood" if tissue in BLOOD else "scar" if tissue == Tissue.SCAR else "rest"
    return 1 / (1 / RELAXATION[tissue].t1_ms + ENHANCED_T1[gain])


def flow_contrast(contrast: Contrast) -> Contrast:
    """Spoiled gradient echo: still tissue is saturated and grey, blood is fresh and bright."""
    signal = [
        RELAXATION[tissue].density * (1.0 if tissue in BLOOD else 0.30 + 90 / RELAXATION[tissue].t1_ms)
        for tissue in Tissue
    ]
    level = np.array(signal, dtype=np.float32)
    level *= contrast.level[Tissue.LV_BLOOD] / level[Tissue.LV_BLOOD]
    return replace(contrast, level=level, noise=contrast.noise * 1.3, off_resonance=np.zeros(3))


def spin_echo_contrast(
    rng: np.random.Generator, sequence: Sequence, fat_suppressed: bool, variation: NDArray[np.float64]
) -> Contrast:
    """Turbo spin echo: density times exp(-TE/T2) (1 - exp(-TR/T1)); fat suppression leaves a share of fat.

    Parameters
    ----------
    variation : array, shape (tissues,)
        What tissues of this patient differ by from the textbook (logarithm).
    """
    echo_ms, repetition_ms = sequence.echo_ms, sequence.repetition_ms
    signal = np.array(
        [
            r.density * np.exp(-echo_ms / r.t2_ms) * (1 - np.exp(-repetition_ms / r.t1_ms))
            for r in (RELAXATION[tissue] for tissue in Tissue)
        ]
    )
    # Trains of echoes keep the signal of fat up, by undoing its coupling.
    signal[list(FATTY)] *= 1.25
    # Pulses that drive magnetisation back up at the end of a train help what relaxes slowly.
    signal[Tissue.SYNOVIAL_FLUID] *= 1.45
    if fat_suppressed:
        signal[list(FATTY)] *= float(rng.uniform(0.08, 0.13))
        signal[list(MARROW)] *= float(rng.uniform(0.6, 0.9))
        signal[Tissue.LEG_VESSEL] *= float(rng.uniform(0.5, 1.6))
    else:
        signal[Tissue.LEG_VESSEL] *= 0.25
    signal *= np.exp(variation)
    reference = Tissue.FEMUR_CARTILAGE if fat_suppressed else Tissue.LEG_FAT
    bright = float(rng.uniform(380, 520)) if fat_suppressed else float(rng.uniform(600, 800))
    mottle = np.array([KNEE_MOTTLE.get(tissue, 0.06) for tissue in Tissue], dtype=np.float32)
    return Contrast(
        level=(signal * (bright / signal[reference])).astype(np.float32),
        mottle=mottle,
        noise=bright * float(rng.uniform(0.012, 0.028)),
        blur_px=float(rng.uniform(0.3, 0.5)),
        acquired=(float(rng.uniform(0.85, 1.0)), float(rng.uniform(0.7, 0.95))),
        roll_off=float(rng.uniform(0.03, 0.10)),
        coil_mm=np.array([[0.0, -75.0, 20.0], [0.0, 85.0, -10.0]]) + rng.normal(0, 12, (2, 3)),
        coil_depth=float(rng.uniform(85, 130)),
        off_resonance=np.zeros(3),
        sequence=sequence,
    )


MARROW = (
    Tissue.FEMUR_MARROW,
    Tissue.TIBIA_MARROW,
    Tissue.FIBULA_MARROW,
    Tissue.PATELLA_MARROW,
)
FATTY = (Tissue.FAT, Tissue.LEG_FAT, Tissue.EPICARDIAL_FAT, *MARROW)
"""What fat suppression takes the signal of; of marrow it takes more than of loose fat."""

KNEE_MOTTLE = {
    **dict.fromkeys(MARROW, 0.05),
    Tissue.LEG_FAT: 0.05,
    Tissue.LEG_MUSCLE: 0.05,
    Tissue.FEMUR_EDEMA: 0.3,
    Tissue.TIBIA_EDEMA: 0.3,
    Tissue.SYNOVIUM: 0.3,
    Tissue.ACL: 0.3,
    Tissue.ACL_TEAR: 0.35,
    Tissue.SYNOVIAL_FLUID: 0.12,
}
"""As MOTTLE, of the leg."""
