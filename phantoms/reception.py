"""From brightness to stored pixels: coils, banding, k-space, noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from dicomgeom.plane import ImagePlane
from phantoms.acquisition import VENC_CM_S
from phantoms.contrast import BLOOD, Contrast
from phantoms.sampling import plane_points
from phantoms.shapes import Points
from phantoms.tissues import Tissue

HIGHEST = 4095
"""Scanners store twelve bits."""


def shading(contrast: Contrast, plane: ImagePlane, centre_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """Coil sensitivity times banding over an image, about 1 at the centre; shape (rows, columns)."""
    away = plane_points(plane) - np.asarray(centre_mm, dtype=np.float32)[:, None]
    depth = np.float32(contrast.coil_depth)
    sensitivity, at_centre = np.zeros(away.shape[1], np.float32), 0.0
    for weight, coil in zip((1.0, 0.6), contrast.coil_mm, strict=True):
        far = sum((away[axis] - np.float32(coil[axis])) ** 2 for axis in range(3)) / depth**2
        sensitivity += np.float32(weight) / (1 + far)
        at_centre += weight / (1 + float(coil @ coil) / contrast.coil_depth**2)
    field = sensitivity / np.float32(at_centre)
    if contrast.off_resonance.any():
        field *= _bands(away, contrast.off_resonance)
    return field.reshape(plane.rows, plane.columns)


def _bands(away_mm: Points, off_resonance: NDArray[np.float64]) -> NDArray[np.float32]:
    """What balanced SSFP loses where spins turn by half a turn between pulses, shape (n,)."""
    turns = sum((away_mm[axis] / 100) ** 2 * np.float32(off_resonance[axis]) for axis in range(3))
    offset = turns - np.round(turns - np.float32(0.5)) - np.float32(0.5)
    bands: NDArray[np.float32] = 1 - np.float32(0.7) * np.exp(-((offset / np.float32(0.07)) ** 2)) * (
        np.abs(turns) > 0.3
    )
    return bands


@lru_cache(maxsize=16)
def _window(
    rows: int, columns: int, acquired: tuple[float, float], roll_off: float, blur_px: float
) -> NDArray[np.float32]:
    """What of k-space is kept, in the order of the FFT; shape (rows, columns)."""

    def along(count: int, share: float) -> NDArray[np.float64]:
        frequency = np.abs(np.fft.fftfreq(count)) * 2  # 1 at the edge
        edge = 1.0 if share >= 0.999 else 0.5 * (1 - np.tanh((frequency - share) / (0.5 * roll_off)))
        blurred: NDArray[np.float64] = edge * np.exp(-0.5 * (np.pi * frequency * blur_px) ** 2)
        return blurred

    window = along(rows, acquired[1])[:, None] * along(columns, acquired[0])[None, :]
    return window.astype(np.float32)


def received(
    image: NDArray[np.float32], field: NDArray[np.float32], contrast: Contrast, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Shaded image with noise, cut out of k-space, in stored units; shape (rows, columns).

    Cutting k-space rings at edges (Gibbs) and makes the noise of neighbouring pixels alike;
    its standard deviation in each channel is `contrast.noise` afterwards.
    """
    window = _window(*image.shape, contrast.acquired, contrast.roll_off, contrast.blur_px)
    kept = float(np.sqrt(np.mean(np.square(window, dtype=np.float64))))
    noise = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(contrast.noise / kept)
    signal = (image * field + noise[0]) + 1j * noise[1]
    magnitude = np.abs(fft.ifft2(fft.fft2(signal.astype(np.complex64), overwrite_x=True) * window))
    stored: NDArray[np.uint16] = np.clip(np.rint(magnitude), 0, HIGHEST).astype(np.uint16)
    return stored


def velocity_image(
    image: NDArray[np.float32],
    tissue: NDArray[np.uint8],
    beat_fraction: float,
    contrast: Contrast,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Phase of a flow image: 2048 stands for rest, 0 and 4095 for the velocity at which it wraps."""
    pulse = np.exp(-(((beat_fraction - 0.16) / 0.09) ** 2)) - 0.08
    table = np.zeros(len(Tissue), dtype=np.float32)
    table[list(BLOOD)] = 25.0
    table[Tissue.VESSEL_BLOOD] = 95.0
    velocity = table[tissue] * np.float32(pulse)
    # The phase is as uncertain as the noise is large beside the signal; in air it is anything.
    spread = np.minimum(np.float32(contrast.noise) / np.maximum(image, 1), 3).astype(np.float32)
    turns = velocity / np.float32(2 * VENC_CM_S) + spread * rng.standard_normal(
        image.shape, dtype=np.float32
    ) / np.float32(2 * np.pi)
    wrapped = turns - np.round(turns)
    stored: NDArray[np.uint16] = np.clip(np.rint(2048 + 4095 * wrapped), 0, HIGHEST).astype(np.uint16)
    return stored
