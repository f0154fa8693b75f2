"""The sampling knows no anatomy: here it meets a ball that grows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomgeom.plane import ImagePlane
from phantoms.contrast import draw_contrast
from phantoms.sampling import SampledPlane, plane_points
from phantoms.scene import Paint
from phantoms.shapes import Ellipsoid, Points
from phantoms.tissues import Tissue

CONTRAST = draw_contrast(np.random.default_rng(0))
CONTRAST = replace(CONTRAST, mottle=np.zeros_like(CONTRAST.mottle))


class BallPoints:
    def __init__(self, points: Points) -> None:
        self._points = points

    def paints(self, beat_fraction: float) -> Iterator[Paint]:
        radius = 10.0 + 10.0 * beat_fraction
        yield Paint(Ellipsoid((0, 0, 0), (radius, radius, radius)).distance_mm(self._points), Tissue.LV_BLOOD)


class BallScene:
    """Muscle everywhere, and a ball of blood whose radius grows from 10 to 20 mm."""

    def static_paints(self, points: Points) -> Iterator[Paint]:
        yield Paint(np.full(points.shape[1], -100, np.float32), Tissue.MUSCLE)

    def moves(self, points: Points) -> NDArray[np.bool_]:
        near: NDArray[np.bool_] = np.linalg.norm(points, axis=0) < 22
        return near

    def moving_points(self, points: Points) -> BallPoints:
        return BallPoints(points)

    def texture(self, points: Points) -> NDArray[np.float32]:
        return np.zeros(points.shape[1], np.float32)


def oblique(height_mm: float = 0.0) -> ImagePlane:
    right = np.array([0.8, 0.0, 0.6])
    down = np.array([0.36, 0.8, -0.48])
    normal = np.cross(right, down)
    return ImagePlane(
        origin_mm=-30 * right * 1.3 - 25 * down * 1.7 + height_mm * normal,
        right=right,
        down=down,
        column_spacing_mm=1.3,
        row_spacing_mm=1.7,
        columns=61,
        rows=51,
    )


def test_points_of_a_plane_are_its_pixels_and_blocks_of_them_beside_it() -> None:
    plane = oblique()
    points = plane_points(plane).T.reshape(51, 61, 3)
    np.testing.assert_allclose(points[7, 11], plane.to_patient([11, 7]), atol=1e-4)
    beside = plane_points(plane, 2.0, step=2).T.reshape(26, 31, 3)
    np.testing.assert_allclose(plane.distance_mm(beside), 2.0, atol=1e-4)
    np.testing.assert_allclose(beside[3, 4], plane.to_patient([8.5, 6.5]) + 2.0 * plane.normal, atol=1e-4)


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_the_tissue_image_is_the_cut_through_the_middle(fraction: float) -> None:
    plane, radius = oblique(6.0), 10 + 10 * fraction
    _, tissue = SampledPlane(BallScene(), plane, 8.0, CONTRAST).at(fraction)
    area = float((tissue == Tissue.LV_BLOOD).sum()) * 1.3 * 1.7
    assert area == pytest.approx(np.pi * (radius**2 - 36), rel=0.03)


def test_a_slice_averages_over_its_thickness() -> None:
    level = CONTRAST.level
    outside = SampledPlane(BallScene(), oblique(11.5), 6.0, CONTRAST)
    image, tissue = outside.at(0.0)  # the middle misses the ball of 10 mm, the lower part does not
    assert (tissue == Tissue.MUSCLE).all()
    assert level[Tissue.MUSCLE] * 1.02 < image.max() < 0.5 * (level[Tissue.MUSCLE] + level[Tissue.LV_BLOOD])


def test_one_phase_leaves_no_trace_in_the_next() -> None:
    sampled = SampledPlane(BallScene(), oblique(), 8.0, CONTRAST)
    first = sampled.at(0.0)
    sampled.at(0.9)
    again = sampled.at(0.0)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
