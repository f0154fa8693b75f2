"""A scene sampled on an oblique plane: brightness with partial volume, and the tissue at its middle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicomgeom.plane import ImagePlane
from phantoms.contrast import Contrast
from phantoms.scene import Paint, Scene
from phantoms.shapes import Points, coverage

COARSE = 2
"""Pixels a point stands for beside the middle of a slice, along columns and rows."""


@dataclass
class _Canvas:
    """Brightness (contrasts, n) and tissue (n,) of points while shapes are painted over each other."""

    value: NDArray[np.float32]
    tissue: NDArray[np.uint8]

    def paint(
        self, paint: Paint, contrasts: Sequence[Contrast], mottle: NDArray[np.float32], pixel_mm: float
    ) -> None:
        """Paint one shape, its edge spread over a pixel."""
        near = np.nonzero(paint.distance_mm < np.float32(0.5 * pixel_mm))[0]
        if len(near) == 0:
            return
        distance = paint.distance_mm[near]
        near = near if paint.places is None else paint.places[near]
        share = coverage(distance, pixel_mm)
        grain = mottle[near]
        for value, contrast in zip(self.value, contrasts, strict=True):
            bright = contrast.level[paint.tissue] * (1 + contrast.mottle[paint.tissue] * grain)
            old = value[near]
            value[near] = old + share * (np.maximum(bright, 0) - old)
        self.tissue[near[distance < 0]] = paint.tissue


def plane_points(plane: ImagePlane, height_mm: float = 0.0, step: int = 1) -> Points:
    """LPS points of the pixels of a plane moved along its normal, shape (3, n), row by row.

    With a `step` of 2 points are the middles of blocks of 2 x 2 pixels (the last may reach over the edge).
    """
    column = np.arange(0, plane.columns, step) + (step - 1) / 2
    row = np.arange(0, plane.rows, step) + (step - 1) / 2
    start = plane.origin_mm + height_mm * plane.normal
    right, down = plane.right * plane.column_spacing_mm, plane.down * plane.row_spacing_mm
    points = np.empty((3, len(row), len(column)), dtype=np.float32)
    for axis in range(3):  # plain sums: a matrix product would wake threads for so little
        points[axis] = (start[axis] + row * down[axis])[:, None] + (column * right[axis])[None, :]
    return points.reshape(3, -1)


class SampledPlane:
    """One plane of a scene, ready to be imaged at any moment and in several contrasts.

    The middle of the slice is sampled pixel by pixel, one plane on either side of it at half
    the resolution: what they add is blurred anyway. What does not move is painted once, here.
    Only points that something may reach are painted again for every phase.
    """

    def __init__(
        self,
        scene: Scene,
        plane: ImagePlane,
        thickness_mm: float,
        *contrasts: Contrast,
        middle_only: bool = False,
    ) -> None:
        self.plane, self._contrasts, self._middle_only = plane, contrasts, middle_only
        self._pixel_mm = float(np.sqrt(plane.column_spacing_mm * plane.row_spacing_mm))
        middle = plane_points(plane)
        mottle = scene.texture(middle)
        self._middle = middle.shape[1]
        points = [middle]
        if not middle_only:
            away_mm = thickness_mm / 3
            points += [plane_points(plane, height, COARSE) for height in (-away_mm, away_mm)]
            # Texture is sampled in the middle alone: reading it is what takes time.
            coarse = mottle.reshape(plane.rows, plane.columns)[::COARSE, ::COARSE].ravel()
            mottle = np.concatenate([mottle, coarse, coarse])
        gathered = np.concatenate(points, axis=1)
        count = gathered.shape[1]
        self._still = _Canvas(np.zeros((len(contrasts), count), np.float32), np.zeros(count, np.uint8))
        for paint in scene.static_paints(gathered):
            self._still.paint(paint, contrasts, mottle, self._pixel_mm)
        self._moving = np.nonzero(scene.moves(gathered))[0]
        self._mottle = mottle[self._moving]
        self._ready = scene.moving_points(gathered[:, self._moving])

    def at(self, beat_fraction: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Brightness averaged over the thickness in the first contrast, and tissue on the middle plane."""
        images, tissue = self.all_at(beat_fraction)
        return images[0], tissue

    def all_at(self, beat_fraction: float) -> tuple[list[NDArray[np.float32]], NDArray[np.uint8]]:
        """As `at`, with an image for each contrast; (rows, columns) each."""
        canvas = _Canvas(self._still.value[:, self._moving], self._still.tissue[self._moving])
        for paint in self._ready.paints(beat_fraction):
            canvas.paint(paint, self._contrasts, self._mottle, self._pixel_mm)
        value, tissue = self._still.value, self._still.tissue
        if len(self._moving):
            value, tissue = value.copy(), tissue.copy()
            value[:, self._moving], tissue[self._moving] = canvas.value, canvas.tissue
        shape = self.plane.rows, self.plane.columns
        images = [self._averaged(values) for values in value]
        return images, tissue[: self._middle].reshape(shape)

    def _averaged(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Middle and sides of the slice, each a third."""
        shape = self.plane.rows, self.plane.columns
        middle = values[: self._middle].reshape(shape)
        if self._middle_only:
            return middle.copy()
        rows, columns = -(-shape[0] // COARSE), -(-shape[1] // COARSE)
        sides = values[self._middle :].reshape(2, rows, columns).sum(axis=0)
        fine = np.repeat(np.repeat(sides, COARSE, axis=0), COARSE, axis=1)
        smooth: NDArray[np.float32] = ndimage.uniform_filter(fine, COARSE + 1, mode="nearest")
        averaged: NDArray[np.float32] = (middle + smooth[: shape[0], : shape[1]]) / np.float32(3)
        return averaged


def phases_of(count: int) -> Iterator[float]:
    """Moments of `count` phases spread over one beat, the first at end-diastole."""
    return (phase / count for phase in range(count))
