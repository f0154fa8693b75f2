"""Smooth random fields in space: textures, and the warp that makes patients differ.

Both are functions of position, so that every plane through a patient sees the same field.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from phantoms.shapes import Points

_GRID = 48
"""Side of the periodic volume behind a texture, in cells."""


class Texture:
    """A periodic random field of mean 0 and standard deviation 1.

    Parameters
    ----------
    rng
        Draws the field.
    grain_mm : float
        Distance over which the field changes (one cell is half of it).
    """

    def __init__(self, rng: np.random.Generator, grain_mm: float) -> None:
        noise = rng.standard_normal((_GRID, _GRID, _GRID), dtype=np.float32)
        volume = ndimage.gaussian_filter(noise, 1.0, mode="wrap")
        self._volume = ((volume - volume.mean()) / volume.std()).astype(np.float32)
        self._cell_mm = np.float32(grain_mm / 2)
        self._shift = rng.uniform(0, _GRID, (3, 1)).astype(np.float32)

    def at(self, points: Points) -> NDArray[np.float32]:
        """The field at points (3, n) mm, shape (n,)."""
        cells = points / self._cell_mm + self._shift
        values: NDArray[np.float32] = ndimage.map_coordinates(
            self._volume, cells, output=np.float32, order=1, mode="grid-wrap", prefilter=False
        )
        return values


def within(texture: Texture, points: Points, wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The texture at wanted points and 0 elsewhere, shape (n,): reading it is what takes time."""
    values = np.zeros(points.shape[1], dtype=np.float32)
    places = np.nonzero(wanted)[0]
    values[places] = texture.at(points[:, places])
    return values


class Warp:
    """A smooth displacement of space, x -> x + sum of a few long sine waves.

    Waves are so long and low that the map stays one to one: the sum of amplitude times wave
    number is below one half, and so is the norm of the displacement's derivative.

    Parameters
    ----------
    rng
        Draws directions, wavelengths and phases.
    amplitude_mm : float
        Root-mean-square size of the displacement.
    waves : int
        How many waves.
    """

    shortest_mm = 110.0

    def __init__(self, rng: np.random.Generator, amplitude_mm: float, waves: int = 5) -> None:
        directions = rng.standard_normal((waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths_mm = rng.uniform(self.shortest_mm, 2 * self.shortest_mm, waves)
        self._wave = directions * (2 * np.pi / lengths_mm)[:, None]
        self._phase = rng.uniform(0, 2 * np.pi, waves)
        self._move = rng.standard_normal((waves, 3)) * amplitude_mm * np.sqrt(2 / (3 * waves))
        steepness = float((np.linalg.norm(self._wave, axis=1) * np.linalg.norm(self._move, axis=1)).sum())
        self._move *= min(1.0, 0.5 / max(steepness, 1e-9))

    def apply(self, points: Points) -> Points:
        """Warped points, shape (3, n)."""
        warped = points.copy()
        for wave, phase, move in zip(
            self._wave.astype(np.float32),
            self._phase.astype(np.float32),
            self._move.astype(np.float32),
            strict=True,
        ):
            height = np.sin(wave[0] * points[0] + wave[1] * points[1] + wave[2] * points[2] + phase)
            for axis in range(3):
                warped[axis] += move[axis] * height
        return warped

    def undo(self, points: NDArray[np.float64], exact_mm: float = 1e-7) -> NDArray[np.float64]:
        """Inverse of `apply` by fixed-point iteration, to about `exact_mm`; shape (3, n)."""
        guess = np.array(points, dtype=np.float64)
        for _ in range(60):
            angle = self._wave @ guess + self._phase[:, None]
            step = points - self._move.T @ np.sin(angle) - guess
            guess += step
            if np.abs(step).max() < exact_mm:
                break
        return guess

    def volume_ratio(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Determinant of the derivative of `apply` at points (3, n), shape (n,)."""
        slope = np.cos(self._wave @ points + self._phase[:, None])
        derivative = np.einsum("wi,wn,wj->nij", self._move, slope, self._wave) + np.eye(3)
        ratio: NDArray[np.float64] = np.linalg.det(derivative)
        return ratio
