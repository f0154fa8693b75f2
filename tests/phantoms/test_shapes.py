from __future__ import annotations

import numpy as np
import pytest

from dicomgeom.errors import GeometryError
from phantoms.shapes import Ellipsoid, Points, Tube, coverage, nearest_of, rotated, smooth_union


def somewhere(count: int = 500, seed: int = 0) -> Points:
    return np.random.default_rng(seed).uniform(-60, 60, (3, count)).astype(np.float32)


def test_a_sphere_knows_its_distance_exactly() -> None:
    points = somewhere()
    sphere = Ellipsoid((3.0, -2.0, 1.0), (20.0, 20.0, 20.0))
    exact = np.linalg.norm(points - np.array([[3.0], [-2.0], [1.0]]), axis=0) - 20
    np.testing.assert_allclose(sphere.distance_mm(points), exact, atol=1e-3)


def test_an_ellipsoid_is_first_order_exact_at_its_surface() -> None:
    radii = np.array([30.0, 20.0, 45.0])
    direction = np.random.default_rng(1).standard_normal((3, 200))
    direction /= np.linalg.norm(direction, axis=0)
    surface = direction * radii[:, None]
    normal = surface / radii[:, None] ** 2
    normal /= np.linalg.norm(normal, axis=0)
    shape = Ellipsoid((0.0, 0.0, 0.0), (30.0, 20.0, 45.0))
    for step in (-1.0, 0.0, 1.0):
        moved = (surface + step * normal).astype(np.float32)
        np.testing.assert_allclose(shape.distance_mm(moved), step, atol=0.08)


def test_a_tube_is_a_cylinder_with_round_ends() -> None:
    tube = Tube([(0, 0, 0), (0, 0, 100)], 5.0)
    points = np.array([[8.0, 0.0, 0.0], [0.0, 0.0, 3.0], [50.0, -10.0, 110.0]], dtype=np.float32)
    np.testing.assert_allclose(tube.distance_mm(points), [3.0, 5.0, np.sqrt(109) - 5], atol=1e-4)


def test_a_tube_narrows_from_node_to_node() -> None:
    tube = Tube([(0, 0, 0), (100, 0, 0)], [10.0, 4.0])
    np.testing.assert_allclose(tube.distance_mm(np.array([[50.0], [20.0], [0.0]], dtype=np.float32)), 13.0)


def test_the_nearest_tube_is_exact_within_reach_and_never_nearer_beyond() -> None:
    tubes = (Tube([(0, 0, 0), (30, 0, 0)], 5.0), Tube([(0, 40, 0), (0, 40, 30)], [3.0, 8.0]))
    points = somewhere(3000)
    exact = np.minimum(*(tube.distance_mm(points) for tube in tubes))
    found = nearest_of(tubes, points, 8.0)
    np.testing.assert_allclose(found, np.minimum(exact, 8.0), atol=1e-5)


def test_a_smooth_union_holds_both_parts_and_fills_the_groove_only() -> None:
    points = somewhere(2000)
    left, right = Ellipsoid((-15, 0, 0), (20, 20, 20)), Ellipsoid((15, 0, 0), (20, 20, 20))
    first, second = left.distance_mm(points), right.distance_mm(points)
    union = smooth_union(first, second, 8.0)
    assert (union <= np.minimum(first, second) + 1e-4).all()
    apart = np.abs(first - second) > 8.0
    np.testing.assert_allclose(union[apart], np.minimum(first, second)[apart], atol=1e-4)


def test_coverage_is_one_half_on_the_surface() -> None:
    np.testing.assert_allclose(
        coverage(np.array([-2.0, -0.5, 0.0, 0.5, 2.0], dtype=np.float32), 2.0), [1, 0.75, 0.5, 0.25, 0]
    )


def test_rotated_is_the_matrix_product() -> None:
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0]
    points = somewhere()
    np.testing.assert_allclose(rotated(turn, points), turn @ points, atol=1e-3)


def test_shapes_without_extent_are_refused() -> None:
    with pytest.raises(GeometryError, match="radii must be positive"):
        Ellipsoid((0, 0, 0), (1, 0, 1))
    with pytest.raises(GeometryError, match="a tube needs nodes"):
        Tube([(0, 0, 0)], 1.0)
