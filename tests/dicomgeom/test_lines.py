"""Plane intersections: properties, and every point checked with highdicom and SimpleITK."""

from __future__ import annotations

import highdicom
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomgeom.errors import GeometryError
from dicomgeom.lines import ImageLine, clip_lines, dihedral_deg, image_line, intersect, lines_between
from dicomgeom.plane import ImagePlane
from tests.dicomgeom.test_plane import highdicom_arguments, sitk_image
from tests.helpers.strategies import crossing_planes, image_planes, points_mm, rotations

Planes = tuple[ImagePlane, ImagePlane]


def clear_angle(plane: ImagePlane, partner: ImagePlane) -> bool:
    """Whether the planes meet steeply enough for positions along the line to be well conditioned."""
    return bool(dihedral_deg([plane.normal], [partner.normal])[0, 0] > 2)


def points_along(line: ImageLine, plane: ImagePlane) -> NDArray[np.float64]:
    foot = np.array([line.a, line.b]) * -line.c
    along = np.array([-line.b, line.a])
    return foot + np.linspace(-300, 300, 7)[:, None] * along


@given(crossing_planes())
def test_the_line_lies_on_both_planes(planes: Planes) -> None:
    plane, partner = planes
    assume(clear_angle(plane, partner))
    line = intersect(plane, partner)
    assert line is not None
    points = line.point_mm + np.linspace(-200, 200, 5)[:, None] * line.direction
    np.testing.assert_allclose(plane.distance_mm(points), 0, atol=1e-6)
    np.testing.assert_allclose(partner.distance_mm(points), 0, atol=1e-6)


@given(crossing_planes())
def test_the_line_is_the_same_from_either_side(planes: Planes) -> None:
    plane, partner = planes
    assume(clear_angle(plane, partner))
    one, other = intersect(plane, partner), intersect(partner, plane)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.point_mm, other.point_mm, atol=1e-6)
    np.testing.assert_allclose(one.direction, other.direction, atol=1e-9)


@given(crossing_planes())
def test_the_line_in_the_image_lies_on_the_partner_plane(planes: Planes) -> None:
    plane, partner = planes
    assume(clear_angle(plane, partner))
    line = image_line(plane, partner)
    assert line is not None
    points = plane.to_patient(points_along(line, plane))
    np.testing.assert_allclose(partner.distance_mm(points), 0, atol=1e-5)


@given(crossing_planes(), rotations(), points_mm())
def test_a_rigid_motion_of_the_patient_moves_the_line_along(
    planes: Planes, rotation: NDArray[np.float64], shift: NDArray[np.float64]
) -> None:
    plane, partner = planes
    assume(clear_angle(plane, partner))
    before = lines_between([plane], [partner])
    after = lines_between([plane.moved(rotation, shift)], [partner.moved(rotation, shift)])
    here, there = before.coefficients[0, 0], after.coefficients[0, 0]
    # In the image's own pixels nothing moves; a sign may flip only where a is nearly zero.
    there = there * np.sign(here[:2] @ there[:2])
    np.testing.assert_allclose(here, there, atol=1e-5)
    np.testing.assert_allclose(before.angle_deg, after.angle_deg, atol=1e-6)
    line = intersect(plane, partner)
    moved = intersect(plane.moved(rotation, shift), partner.moved(rotation, shift))
    assert line is not None
    assert moved is not None
    assert abs(moved.direction @ (rotation @ line.direction)) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(plane.moved(rotation, shift).distance_mm(moved.point_mm), 0, atol=1e-6)


@given(crossing_planes())
def test_clipped_points_lie_in_both_images_where_the_planes_cross(planes: Planes) -> None:
    plane, partner = planes
    assume(clear_angle(plane, partner))
    table = lines_between([plane], [partner])
    assert table.crosses[0, 0]
    line = ImageLine(*table.coefficients[0, 0].tolist())
    ends = line.clipped(plane.columns, plane.rows)
    assert ends is not None
    size = np.array([plane.columns, plane.rows]) - 0.5
    assert (ends >= -0.5 - 1e-6).all()
    assert (ends <= size + 1e-6).all()
    back = image_line(partner, plane)
    assert back is not None
    there = back.clipped(partner.columns, partner.rows)
    assert there is not None
    # The two clipped parts lie on one patient line and overlap.
    here_mm, there_mm = plane.to_patient(ends), partner.to_patient(there)
    shared = intersect(plane, partner)
    assert shared is not None
    here_along = np.sort((here_mm - shared.point_mm) @ shared.direction)
    there_along = np.sort((there_mm - shared.point_mm) @ shared.direction)
    common = max(here_along[0], there_along[0]), min(here_along[1], there_along[1])
    assert common[1] >= common[0] - 1e-4
    # What is left when both clip it lies on the pixels of both images, and so do all points between.
    points = shared.point_mm + np.linspace(*common, 5)[:, None] * shared.direction
    for image in (plane, partner):
        pixels = image.to_pixel(points)
        assert (pixels >= -0.5 - 1e-3).all()
        assert (pixels <= np.array([image.columns, image.rows]) - 0.5 + 1e-3).all()
        np.testing.assert_allclose(image.distance_mm(points), 0, atol=1e-5)


@given(crossing_planes())
def test_highdicom_and_simpleitk_agree_on_every_point_of_the_line(planes: Planes) -> None:
    plane, partner = planes
    assume(clear_angle(plane, partner))
    line = image_line(plane, partner)
    assert line is not None
    ends = line.clipped(plane.columns, plane.rows)
    assert ends is not None
    points_px = ends[0] + np.linspace(0, 1, 5)[:, None] * (ends[1] - ends[0])
    # From our pixels to the patient by highdicom, from there into the partner by SimpleITK.
    to_patient = highdicom.spatial.ImageToReferenceTransformer(**highdicom_arguments(plane))
    on_partner = sitk_image(partner)
    for point in to_patient(points_px + 0.5).tolist():
        _, _, depth_mm = on_partner.TransformPhysicalPointToContinuousIndex(point)
        assert abs(depth_mm) < 1e-5


@given(image_planes())
def test_a_plane_has_no_line_with_itself(plane: ImagePlane) -> None:
    assert intersect(plane, plane) is None
    assert image_line(plane, plane) is None


@given(image_planes(), points_mm())
def test_parallel_planes_have_no_line(plane: ImagePlane, shift: NDArray[np.float64]) -> None:
    other = plane.moved(np.eye(3), shift)
    assert intersect(plane, other) is None
    table = lines_between([plane], [other])
    assert np.isnan(table.coefficients).all()
    assert not table.crosses.any()


@given(st.lists(image_planes(), min_size=1, max_size=3), st.lists(image_planes(), min_size=1, max_size=3))
def test_all_pairs_at_once_equal_one_pair_at_a_time(
    planes: list[ImagePlane], partners: list[ImagePlane]
) -> None:
    table = lines_between(planes, partners)
    for n, plane in enumerate(planes):
        for m, partner in enumerate(partners):
            alone = lines_between([plane], [partner])
            here, there = table.coefficients[n, m], alone.coefficients[0, 0]
            np.testing.assert_allclose(here, there, rtol=1e-9, atol=1e-9)
            assert table.crosses[n, m] == alone.crosses[0, 0]


def test_planes_whose_images_lie_apart_have_a_line_that_crosses_nothing() -> None:
    axial = ImagePlane.from_dicom([0, 0, 0], [1, 0, 0, 0, 1, 0], [1, 1], columns=100, rows=50)
    far = ImagePlane.from_dicom([500, 0, 0], [0, 1, 0, 0, 0, -1], [1, 1], columns=100, rows=50)
    near = ImagePlane.from_dicom([30, 0, 20], [0, 1, 0, 0, 0, -1], [1, 1], columns=100, rows=50)
    table = lines_between([axial], [far, near])
    np.testing.assert_allclose(table.coefficients[0], [[1, 0, -500], [1, 0, -30]])
    assert table.crosses.tolist() == [[False, True]]
    assert table.angle_deg.tolist() == [[90, 90]]


def test_the_sign_is_canonical_and_the_distance_is_in_pixels() -> None:
    axial = ImagePlane.from_dicom([0, 0, 0], [1, 0, 0, 0, 1, 0], [2.0, 0.5], columns=100, rows=50)
    coronal = ImagePlane.from_dicom([0, 40, 0], [1, 0, 0, 0, 0, -1], [1, 1], columns=100, rows=50)
    line = image_line(axial, coronal)
    assert line == ImageLine(0, 1, -20)  # 40 mm down at 2 mm a row
    assert line.distance_px([7, 23]) == 3


def test_a_line_outside_the_image_is_clipped_to_nothing() -> None:
    assert ImageLine(1, 0, -200).clipped(100, 50) is None
    assert ImageLine(1, 0, -3).clipped(100, 50) == pytest.approx(np.array([[3, -0.5], [3, 49.5]]))
    assert np.isnan(clip_lines(np.full((1, 3), np.nan), 10, 10)).all()


def test_a_line_refuses_coefficients_that_are_not_normalised() -> None:
    with pytest.raises(GeometryError, match="must be 1"):
        ImageLine(1, 1, 0)
