"""True volumes of a phantom's chambers over the beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phantoms.cardiac_scene import CardiacScene
from phantoms.heart import GRID_MM, HeartMoment
from phantoms.heart_painting import paint_heart
from phantoms.heart_shapes import Polar
from phantoms.segments import CARDIAC_SEGMENTS
from phantoms.shapes import Distances, coverage

_FAR = np.float32(1e3)


def chamber_volumes_ml(scene: CardiacScene, beat_fractions: list[float]) -> list[dict[str, float]]:
    """Volumes in patient space at each moment, ml, by segment name.

    LV cavity and muscle come from the ellipsoid's formula times the warp's mean change of
    volume over them. RV and atria, which paint over each other, are summed on a 4 mm grid with
    soft edges: good to about 2 %.
    """
    grid, cell_mm3 = scene.heart.volume_grid()
    polar = Polar(grid)
    change = scene.volume_change(grid).astype(np.float32)
    return [_at(scene.heart.moment(fraction), polar, change, cell_mm3) for fraction in beat_fractions]


def _at(moment: HeartMoment, polar: Polar, change: NDArray[np.float32], cell_mm3: float) -> dict[str, float]:
    shares = painted_shares(moment, polar)
    volumes = {
        segment.name: float(
            sum(
                (shares[tissue] * change).sum(dtype=np.float64)
                for tissue in segment.tissues
                if tissue in shares
            )
        )
        * cell_mm3
        / 1000
        for segment in CARDIAC_SEGMENTS
    }
    endo, outside = moment.lv.distances_mm(polar)
    base = moment.lv.above_base_mm(polar)
    inside_mm3, outside_mm3 = moment.lv.volumes_mm3
    cavity = np.maximum(endo, base)
    muscle = np.maximum(np.maximum(outside, base), -endo)
    volumes["LV cavity"] = inside_mm3 / 1000 * _mean_inside(cavity, change)
    volumes["LV myocardium"] = (outside_mm3 - inside_mm3) / 1000 * _mean_inside(muscle, change)
    return volumes


def painted_shares(moment: HeartMoment, polar: Polar) -> dict[int, NDArray[np.float32]]:
    """Share of each grid cell that ends up as each tissue, later shapes over earlier ones."""
    no_texture = np.full(polar.radius.shape, -10, dtype=np.float32)
    no_vessels = np.full(polar.radius.shape, _FAR)
    shares: dict[int, NDArray[np.float32]] = {}
    for paint in paint_heart(moment, polar, no_texture, no_vessels):
        cover = coverage(paint.distance_mm, GRID_MM)
        for tissue in shares:
            shares[tissue] *= 1 - cover
        shares[paint.tissue] = shares.get(paint.tissue, np.float32(0)) + cover
    return shares


def _mean_inside(distance: Distances, change: NDArray[np.float32]) -> float:
    weight = coverage(distance, GRID_MM).astype(np.float64)
    return float((weight * change).sum() / weight.sum())
