"""True volumes of a phantom's knee, by counting points of a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phantoms.knee_scene import KneeScene
from phantoms.segmentation import segment_numbers
from phantoms.segments import KNEE_SEGMENTS
from phantoms.shapes import Points
from phantoms.tissues import Tissue

REACH_MM = 65.0
CELL_MM = 1.7
SLAB = 8
"""Layers of the grid that are painted at once."""


def knee_volumes_ml(scene: KneeScene) -> dict[str, float]:
    """Volumes in a cube that reaches `REACH_MM` from the joint's centre along the patient's axes, ml."""
    axis = np.arange(-REACH_MM + CELL_MM / 2, REACH_MM, CELL_MM)
    centre = scene.landmarks()["joint_centre"]
    counts = np.zeros(len(KNEE_SEGMENTS) + 1)
    for start in range(0, len(axis), SLAB):
        grid = np.meshgrid(axis, axis, axis[start : start + SLAB])
        points = np.stack([part.ravel() for part in grid]) + centre[:, None]
        tissue = tissue_at(scene, points.astype(np.float32))
        counts += np.bincount(segment_numbers(tissue, KNEE_SEGMENTS), minlength=len(counts))
    return {s.name: float(counts[s.number]) * CELL_MM**3 / 1000 for s in KNEE_SEGMENTS}


def tissue_at(scene: KneeScene, points: Points) -> NDArray[np.uint8]:
    """Tissue at points (3, n), shape (n,)."""
    tissue = np.full(points.shape[1], Tissue.AIR, dtype=np.uint8)
    for paint in scene.static_paints(points):
        inside = np.nonzero(paint.distance_mm < 0)[0]
        tissue[inside if paint.places is None else paint.places[inside]] = paint.tissue
    return tissue
