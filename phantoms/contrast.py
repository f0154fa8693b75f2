"""From tissues to brightness: sequence, coil, off-resonance, blur and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicomgeom.plane import ImagePlane
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
    coil_mm : array, shape (2, 3)
        Two places, relative to the heart, round which the coils are most sensitive.
    off_resonance : array, shape (3,)
        Curvature of the field that puts dark bands far from the heart, turns per (100 mm)^2.
    """

    level: NDArray[np.float32]
    mottle: NDArray[np.float32]
    noise: float
    blur_px: float
    coil_mm: NDArray[np.float64]
    coil_depth: float
    off_resonance: NDArray[np.float64]
    sequence: Sequence


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
    blood = float(rng.uniform(320, 520))
    level = (signal * (blood / signal[Tissue.LV_BLOOD])).astype(np.float32)
    mottle = np.array([MOTTLE.get(tissue, 0.05) for tissue in Tissue], dtype=np.float32)
    return Contrast(
        level=level,
        mottle=mottle,
        noise=blood * float(rng.uniform(0.012, 0.03)),
        blur_px=float(rng.uniform(0.45, 0.65)),
        coil_mm=np.array([[10.0, -150.0, 0.0], [-40.0, 210.0, 0.0]]) + rng.normal(0, 25, (2, 3)),
        coil_depth=float(rng.uniform(150, 230)),
        off_resonance=np.clip(rng.normal(0, 0.12, 3), -0.24, 0.24),
        sequence=Sequence(
            flip_deg=round(flip_deg),
            echo_ms=round(float(rng.uniform(1.1, 1.7)), 2),
            repetition_ms=round(float(rng.uniform(28, 48)), 2),
        ),
    )


def shading(contrast: Contrast, plane: ImagePlane, heart_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """Coil sensitivity times banding over an image, about 1 at the heart; shape (rows, columns)."""
    column, row = np.meshgrid(np.arange(plane.columns), np.arange(plane.rows))
    place = plane.to_patient(np.stack([column, row], axis=-1)) - heart_mm
    sensitivity = sum(
        weight / (1 + (np.linalg.norm(place - coil, axis=-1) / contrast.coil_depth) ** 2)
        for weight, coil in zip((1.0, 0.6), contrast.coil_mm, strict=True)
    )
    at_heart = sum(
        weight / (1 + (np.linalg.norm(coil) / contrast.coil_depth) ** 2)
        for weight, coil in zip((1.0, 0.6), contrast.coil_mm, strict=True)
    )
    turns = ((place / 100) ** 2) @ contrast.off_resonance
    # Balanced SSFP loses its signal where spins turn by half a turn between pulses.
    offset = turns - np.round(turns - 0.5) - 0.5
    bands = 1 - 0.7 * np.exp(-((offset / 0.07) ** 2)) * (np.abs(turns) > 0.3)
    field: NDArray[np.float32] = (sensitivity / at_heart * bands).astype(np.float32)
    return field


def received(
    image: NDArray[np.float32], field: NDArray[np.float32], contrast: Contrast, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Blurred, shaded and noisy image in stored units, shape (rows, columns)."""
    blurred = ndimage.gaussian_filter(image, contrast.blur_px, mode="nearest", truncate=3.0) * field
    noise = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(contrast.noise)
    magnitude = np.hypot(blurred + noise[0], noise[1])
    stored: NDArray[np.uint16] = np.clip(np.rint(magnitude), 0, 4095).astype(np.uint16)
    return stored
