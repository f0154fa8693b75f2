"""Planes in space: crossings lie in both images, and the eye sees left, back and head where they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dicomgeom.plane import ImagePlane
from reporting.space import (
    ELEVATIONS_DEG,
    MOST_PLANES,
    RADIUS,
    TURNS_DEG,
    Look,
    Space,
    StackPlanes,
    best_look,
    crossing_ends,
    projected,
    space_of,
)


def plane(
    angle_deg: float, origin: tuple[float, float, float], columns: int = 40, rows: int = 25
) -> ImagePlane:
    """An oblique plane that is neither square nor isotropic."""
    turn = np.radians(angle_deg)
    right = np.array([np.cos(turn), np.sin(turn), 0.0])
    down = np.cross([0.6, 0.0, 0.8], right)
    down -= right * (down @ right)
    return ImagePlane(np.array(origin), right, down / np.linalg.norm(down), 2.0, 3.5, columns, rows, "1.2.3")


def stack(name: str, *planes: ImagePlane, view: str = "SAX", png: str = "") -> StackPlanes:
    return StackPlanes(name, view, "#123456", f"stack {name}: {view}", planes, len(planes) // 2, png)


def drawn(*stacks: StackPlanes) -> Space:
    space = space_of(stacks)
    assert space is not None
    return space


def test_the_ends_of_a_crossing_lie_in_both_images_and_on_an_edge() -> None:
    one, other = plane(10, (-30.0, -20.0, 5.0)), plane(75, (0.0, -45.0, -12.0), columns=30, rows=50)
    ends = crossing_ends(one, other)
    assert ends is not None
    for image in (one, other):
        np.testing.assert_allclose(image.distance_mm(ends), 0, atol=1e-9)
        pixels = image.to_pixel(ends)
        assert (pixels >= -0.5 - 1e-6).all()
        assert (pixels <= np.array([image.columns, image.rows]) - 0.5 + 1e-6).all()
    on_edge = [
        np.isclose(image.to_pixel(end), -0.5).any()
        or np.isclose(image.to_pixel(end), np.array([image.columns, image.rows]) - 0.5).any()
        for end in ends
        for image in (one, other)
    ]
    assert on_edge[0] or on_edge[1]
    assert on_edge[2] or on_edge[3]


def test_a_crossing_is_as_long_as_dense_samples_of_it() -> None:
    one, other = plane(10, (-30.0, -20.0, 5.0)), plane(75, (0.0, -45.0, -12.0), columns=30, rows=50)
    ends = crossing_ends(one, other)
    assert ends is not None
    middle, along = ends.mean(axis=0), (ends[1] - ends[0]) / 2
    samples = middle + np.linspace(-3, 3, 6001)[:, None] * along
    inside = one.contains_px(one.to_pixel(samples)) & other.contains_px(other.to_pixel(samples))
    length = inside.sum() * 6 / 6000 * np.linalg.norm(along)
    assert length == pytest.approx(np.linalg.norm(ends[1] - ends[0]), rel=2e-3)


def test_parallel_and_distant_planes_do_not_cross() -> None:
    one = plane(10, (0.0, 0.0, 0.0))
    assert crossing_ends(one, plane(10, (5.0, 5.0, 5.0))) is None
    assert crossing_ends(one, plane(75, (900.0, 900.0, 0.0))) is None


@pytest.mark.parametrize(
    ("look", "point", "expected"),
    [
        (Look(0, 0), (1, 0, 0), (1, 0, 0)),  # the patient's left is at the right of the screen
        (Look(0, 0), (0, 0, 1), (0, -1, 0)),  # the head is up; SVG counts downward
        (Look(0, 0), (0, -1, 0), (0, 0, 1)),  # the chest is near
        (Look(90, 0), (1, 0, 0), (0, 0, 1)),  # from the left: the left is near
        (Look(90, 0), (0, 1, 0), (1, 0, 0)),  # and the back at the right
        (Look(0, -90), (0, 0, -1), (0, 0, 1)),  # from the feet: the feet are near
        (Look(0, -90), (0, -1, 0), (0, -1, 0)),  # and the chest up
    ],
)
def test_looks_are_those_of_radiology(look: Look, point: object, expected: object) -> None:
    np.testing.assert_allclose(projected(np.array(point, dtype=float), look), expected, atol=1e-12)


def test_turning_the_eye_keeps_lengths() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    turned = projected(points, Look(33, -21))
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(points, axis=1))


def test_the_first_look_sees_no_plane_edge_on_where_that_can_be_avoided() -> None:
    normals = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    seen = np.abs(projected(normals, best_look(normals))[:, 2])
    assert seen.min() > 0.4
    tried = [
        np.abs(projected(normals, Look(turn, up))[:, 2]).min() for turn in TURNS_DEG for up in ELEVATIONS_DEG
    ]
    assert seen.min() == max(tried)


def test_every_central_plane_is_drawn_inside_the_frame() -> None:
    space = drawn(stack("1", plane(10, (-30.0, -20.0, 5.0))), stack("2", plane(75, (0.0, -45.0, -12.0))))
    for sheet in space.sheets:
        points = np.array([float(value) for value in sheet.points.split()]).reshape(4, 2)
        assert (np.abs(points) <= RADIUS + 0.02).all()
    assert space.width_mm > 60


def test_an_image_is_laid_on_its_plane() -> None:
    space = drawn(stack("1", plane(10, (-30.0, -20.0, 5.0)), png="data:"))
    a, b, c, d, e, f = (float(value) for value in space.patches[0].matrix.split())
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    laid = unit @ np.array([[a, b], [c, d]]) + [e, f]
    corners = np.array([float(value) for value in space.sheets[0].points.split()]).reshape(4, 2)
    np.testing.assert_allclose(laid, corners, atol=0.03)
    assert space.patches[0].outline == ""


def test_images_that_cross_are_cut_where_they_do() -> None:
    first, second = plane(10, (-30.0, -20.0, 5.0)), plane(75, (0.0, -45.0, -12.0))
    space = drawn(stack("1", first), stack("2", second, view="4CH"))
    assert [patch.stack for patch in space.patches].count("2") == 2
    assert sorted(patch.number for patch in space.patches) == list(range(len(space.patches)))
    assert json.loads(space.tree)[0] == first.normal.round(4).tolist()


def test_only_planes_of_different_views_are_crossed() -> None:
    first, second = plane(10, (-30.0, -20.0, 5.0)), plane(75, (0.0, -45.0, -12.0))
    assert len(drawn(stack("1", first), stack("2", second, view="4CH")).crossings) == 1
    assert drawn(stack("1", first), stack("2", second)).crossings == ()


def test_of_a_large_exam_the_outer_and_central_planes_are_drawn_and_that_is_said() -> None:
    many = [plane(10, (0.0, 0.0, float(place))) for place in range(MOST_PLANES + 1)]
    space = drawn(stack("1", *many))
    assert len(space.sheets) == 3
    assert [sheet.central for sheet in space.sheets].count(True) == 1
    assert "first, the central and the last" in space.note


def test_nothing_to_draw_is_no_drawing() -> None:
    assert space_of([]) is None
