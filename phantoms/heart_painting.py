"""How a heart is painted: all inside the pericardial fat, in painting order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from phantoms.heart import ATRIAL_WALL_MM, RV_WALL_MM, HeartMoment
from phantoms.heart_shapes import Polar
from phantoms.scene import Paint
from phantoms.shapes import Distances
from phantoms.tissues import Tissue


def paint_heart(
    moment: HeartMoment, polar: Polar, texture: NDArray[np.float32], vessels: Distances
) -> Iterator[Paint]:
    """Everything inside the pericardial fat, in painting order.

    Parameters
    ----------
    texture : array, shape (n,)
        Decides where trabeculae are.
    vessels : array, shape (n,)
        Distance from the great vessels, which do not move.
    """
    points, lv = polar.points, moment.lv
    endo, outside = lv.distances_mm(polar)
    base = lv.above_base_mm(polar)
    la, ra = moment.la.distance_mm(points), moment.ra.distance_mm(points)
    root = moment.root.distance_mm(points)
    yield Paint(np.minimum(vessels, root) - np.float32(1.5), Tissue.VESSEL_WALL)
    yield Paint(np.minimum(la, ra) - np.float32(ATRIAL_WALL_MM), Tissue.ATRIAL_WALL)
    yield Paint(vessels, Tissue.VESSEL_BLOOD)
    yield Paint(ra, Tissue.RA_BLOOD)
    yield Paint(np.maximum(la, -base - 3), Tissue.LA_BLOOD)
    free, valve = moment.rv.distance_mm(polar), moment.rv.above_base_mm(polar)
    outflow = moment.outflow.distance_mm(points)
    wall = np.minimum(np.maximum(free - np.float32(RV_WALL_MM), valve), outflow - np.float32(2.5))
    yield Paint(wall, Tissue.RV_WALL)
    rv = np.minimum(np.maximum(free, valve), outflow)
    yield Paint(rv, Tissue.RV_BLOOD)
    edge = np.maximum(rv, -rv - 8)
    rough = np.float32(1.3 - 0.7 * moment.trabeculation)
    yield Paint(np.maximum(edge, (rough - texture) * 3), Tissue.TRABECULAE)
    yield Paint(root - np.float32(1.5), Tissue.VESSEL_WALL)
    yield Paint(root, Tissue.VESSEL_BLOOD)
    yield Paint(np.maximum(outside, base), Tissue.LV_MYOCARDIUM)
    if moment.scar_rad is not None:
        yield Paint(_scar_mm(moment, moment.scar_rad, polar, endo, outside), Tissue.SCAR)
    cavity = np.maximum(endo, base)
    yield Paint(cavity, Tissue.LV_BLOOD)
    if moment.jet is not None:
        yield Paint(np.maximum(moment.jet.distance_mm(points), cavity), Tissue.LV_FLOW_VOID)
    muscle = np.minimum(moment.papillary[0].distance_mm(points), moment.papillary[1].distance_mm(points))
    deep = np.float32(3 + 3 * moment.trabeculation)
    strands = np.maximum(-endo - deep, (np.float32(1.6 - 0.8 * moment.trabeculation) - texture) * 3)
    strands = np.maximum(strands, lv.equator_mm - polar.s)
    yield Paint(np.maximum(np.minimum(muscle, strands), cavity), Tissue.PAPILLARY)
    yield Paint(np.maximum(_mitral_leaflets(moment, polar), cavity), Tissue.VALVE)


def _scar_mm(
    moment: HeartMoment, angle_rad: float, polar: Polar, endo: Distances, outside: Distances
) -> Distances:
    """The scar of an infarct: the inner two thirds of a sector of the wall, from the middle to the apex."""
    lv = moment.lv
    polar = lv.untwisted(polar)
    wall_mm = lv.wall_mm * (1 + lv.uneven * np.cos(angle_rad - lv.uneven_angle_rad))
    beside = (np.float32(0.55) - polar.cosine_from(angle_rad)) * np.float32(0.8 * lv.radius_mm)
    above = np.float32(lv.equator_mm - 10) - polar.s
    inside = np.maximum(endo - np.float32(0.66 * wall_mm), outside)
    scar: Distances = np.maximum(np.maximum(inside, beside), above)
    return scar


def _mitral_leaflets(moment: HeartMoment, polar: Polar) -> Distances:
    """A thin funnel under the valve plane: nearly a tube when open, a flat cone when closed."""
    lv = moment.lv
    depth_mm = 10.0 + 9.0 * moment.valve_open
    ring_mm = 0.66 * lv.radius_mm if moment.valve_open else 0.8 * lv.radius_mm
    tip_mm = 0.62 * ring_mm * moment.valve_open
    below = polar.s - np.float32(lv.base_mm)
    across = np.hypot(polar.a - 3, polar.b + 4)
    funnel = ring_mm + (tip_mm - ring_mm) * below / np.float32(depth_mm)
    sheet = np.abs(across - funnel) * np.float32(depth_mm / np.hypot(depth_mm, ring_mm - tip_mm)) - 0.7
    distance: Distances = np.maximum(sheet, below - depth_mm).astype(np.float32)
    return distance
