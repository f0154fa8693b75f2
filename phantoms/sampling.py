"""A scene sampled on an oblique plane: brightness with partial volume, and the tissue at its middle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomgeom.plane import ImagePlane
from phantoms.contrast import Contrast
from phantoms.scene import Paint, Scene
from phantoms.shapes import Points, coverage

SUBPLANES = 3
"""Planes over the slice's thickness that are averaged; odd, so that one is the middle."""


@dataclass
class _Canvas:
    """Brightness and tissue of n points while shapes are painted over each other."""

    value: NDArray[np.float32]
    tissue: NDArray[np.uint8]

    def paint(self, paint: Paint, contrast: Contrast, mottle: NDArray[np.float32], pixel_mm: float) -> None:
        """Paint one shape, its edge spread over a pixel."""
        near = np.nonzero(paint.distance_mm < np.float32(0.5 * pixel_mm))[0]
        if len(near) == 0:
            return
        distance = paint.distance_mm[near]
        share = coverage(distance, pixel_mm)
        bright = contrast.level[paint.tissue] * (1 + contrast.mottle[paint.tissue] * mottle[near])
        old = self.value[near]
        self.value[near] = old + share * (np.maximum(bright, 0) - old)
        self.tissue[near[distance < 0]] = paint.tissue


def plane_points(plane: ImagePlane, thickness_mm: float, subplanes: int) -> Points:
    """LPS points of all pixels on each subplane, shape (3, subplanes * rows * columns)."""
    column, row = np.meshgrid(np.arange(plane.columns), np.arange(plane.rows))
    flat = plane.to_patient(np.stack([column.ravel(), row.ravel()], axis=-1))
    heights = (np.arange(subplanes) - (subplanes - 1) / 2) * (thickness_mm / subplanes)
    points = flat[None] + heights[:, None, None] * plane.normal
    return np.ascontiguousarray(points.reshape(-1, 3).T, dtype=np.float32)


class SampledPlane:
    """One plane of a scene, ready to be imaged at any moment.

    What does not move is painted once, here. Only points that something may reach are painted
    again for every phase.
    """

    def __init__(
        self,
        scene: Scene,
        plane: ImagePlane,
        thickness_mm: float,
        contrast: Contrast,
        subplanes: int = SUBPLANES,
    ) -> None:
        self.plane, self._contrast, self._subplanes = plane, contrast, subplanes
        self._pixel_mm = float(np.sqrt(plane.column_spacing_mm * plane.row_spacing_mm))
        points = plane_points(plane, thickness_mm, subplanes)
        mottle = scene.texture(points)
        self._still = _Canvas(np.zeros(points.shape[1], np.float32), np.zeros(points.shape[1], np.uint8))
        for paint in scene.static_paints(points):
            self._still.paint(paint, contrast, mottle, self._pixel_mm)
        self._moving = np.nonzero(scene.moves(points))[0]
        self._mottle = mottle[self._moving]
        self._ready = scene.moving_points(points[:, self._moving])

    def at(self, beat_fraction: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Brightness averaged over the thickness, and tissue on the middle plane; (rows, columns) each."""
        canvas = _Canvas(self._still.value[self._moving], self._still.tissue[self._moving])
        for paint in self._ready.paints(beat_fraction):
            canvas.paint(paint, self._contrast, self._mottle, self._pixel_mm)
        value, tissue = self._still.value.copy(), self._still.tissue.copy()
        value[self._moving], tissue[self._moving] = canvas.value, canvas.tissue
        shape = (self._subplanes, self.plane.rows, self.plane.columns)
        image: NDArray[np.float32] = value.reshape(shape).mean(axis=0)
        return image, tissue.reshape(shape)[self._subplanes // 2]


def phases_of(count: int) -> Iterator[float]:
    """Moments of `count` phases spread over one beat, the first at end-diastole."""
    return (phase / count for phase in range(count))
