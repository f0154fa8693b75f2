"""How full the heart is in each image of a cine, without any mask: bright blood near the ventricle.

In balanced cine images blood is brighter than muscle. Within a disc round the left
ventricle the bright area shrinks from end-diastole to end-systole, whether the right
ventricle is caught by the disc or not, since both beat together. A second opinion uses no
threshold: the first principal component of the disc's pixels over time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicomgeom.plane import Floats

Movie = NDArray[np.float32]
"""Images of one slice in time, shape (phases, rows, columns)."""

VENTRICLE_MM: Final = 25.0
"""Radius within which pixels count most (a normal cavity has 22 to 28 mm)."""

DISC_MM: Final = 40.0
"""Radius beyond which pixels do not count."""

MOTION_BLUR_MM: Final = 8.0
"""Motion is looked for in patches of this size."""

HISTOGRAM_BINS: Final = 256


@dataclass(frozen=True)
class Filling:
    """Of one slice: bright area in mm^2, and first component of the pixels, both shape (phases,)."""

    area_mm2: Floats
    component: Floats

    @property
    def emptied(self) -> float:
        """Share of the bright area that goes, 0 to 1."""
        smooth = smoothed(self.area_mm2)
        return float(1 - smooth.min() / smooth.max()) if smooth.max() > 0 else 0.0


def filling_of(
    movie: Movie, spacing_mm: tuple[float, float], centre_px: tuple[float, float] | None = None
) -> Filling:
    """Measure one slice.

    Parameters
    ----------
    movie : array, shape (phases, rows, columns)
    spacing_mm
        Between columns, and between rows.
    centre_px
        (column, row) of the ventricle; default: where the images move most with the beat.
    """
    column, row = centre_px or moving_most_px(movie, spacing_mm)
    y, x = np.mgrid[: movie.shape[1], : movie.shape[2]]
    distance_mm = np.hypot((x - column) * spacing_mm[0], (y - row) * spacing_mm[1])
    disc = distance_mm < DISC_MM
    weight = np.exp(-0.5 * (distance_mm[disc] / VENTRICLE_MM) ** 2)
    pixels = ndimage.gaussian_filter(movie.astype(np.float64), (0, 1, 1))[:, disc]
    bright = pixels > otsu(pixels.ravel())
    area = (bright * weight).sum(axis=1) * spacing_mm[0] * spacing_mm[1]
    changes = (pixels - pixels.mean(axis=0)) * np.sqrt(weight)
    times, sizes, _ = np.linalg.svd(changes, full_matrices=False)
    component = times[:, 0] * sizes[0]
    sense = np.sign((component - component.mean()) @ (area - area.mean())) or 1.0
    return Filling(area, np.asarray(component * sense))


def moving_most_px(movie: Movie, spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """(column, row) about which pixels change most at the rhythm of the beat."""
    beat = np.abs(np.fft.rfft(movie.astype(np.float64), axis=0)[1])
    blurred = ndimage.gaussian_filter(beat, (MOTION_BLUR_MM / spacing_mm[1], MOTION_BLUR_MM / spacing_mm[0]))
    row, column = np.unravel_index(int(blurred.argmax()), blurred.shape)
    return float(column), float(row)


def otsu(values: Floats) -> float:
    """The threshold that parts values best into two classes (Otsu 1979)."""
    counts, edges = np.histogram(values, HISTOGRAM_BINS)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * middles)
    apart = (below > 0) & (above > 0)
    if not apart.any():
        return float(middles[0])
    gap = np.zeros(len(below))
    gap[apart] = sums[:-1][apart] / below[apart] - (sums[-1] - sums[:-1][apart]) / above[apart]
    score = below * above * gap**2
    best = np.flatnonzero(score >= score.max() * (1 - 1e-9))  # an empty gap between the classes is a plateau
    return float(middles[(best[0] + best[-1] + 1) // 2])


def smoothed(curve: Floats) -> Floats:
    """A curve over one beat, smoothed with weights 1-4-6-4-1; the beat is a circle."""
    result = curve
    for _ in range(2):
        result = (np.roll(result, 1) + 2 * result + np.roll(result, -1)) / 4
    return np.asarray(result)
