"""Planes against highdicom and SimpleITK, which we did not write."""

from __future__ import annotations

import highdicom
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomgeom.errors import GeometryError
from dicomgeom.plane import ImagePlane, orthonormal_axes
from tests.helpers.strategies import image_planes, numbers, points_mm, rotations

POINTS_PX = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [17.25, 3.5], [-0.5, 30.0]])


def sitk_image(plane: ImagePlane) -> SimpleITK.Image:
    image = SimpleITK.Image(plane.columns, plane.rows, 1, SimpleITK.sitkUInt8)
    image.SetOrigin(plane.origin_mm.tolist())
    image.SetSpacing([plane.column_spacing_mm, plane.row_spacing_mm, 1.0])
    image.SetDirection(np.stack([plane.right, plane.down, plane.normal], axis=1).ravel().tolist())
    return image


def highdicom_arguments(plane: ImagePlane) -> dict[str, list[float]]:
    return {
        "image_position": plane.origin_mm.tolist(),
        "image_orientation": [*plane.right.tolist(), *plane.down.tolist()],
        "pixel_spacing": [plane.row_spacing_mm, plane.column_spacing_mm],
    }


@given(image_planes())
def test_pixels_lie_in_the_patient_where_highdicom_says(plane: ImagePlane) -> None:
    transformer = highdicom.spatial.ImageToReferenceTransformer(**highdicom_arguments(plane))
    # highdicom's image coordinates start at the corner of the first pixel, ours at its centre.
    expected = transformer(POINTS_PX + 0.5)
    np.testing.assert_allclose(plane.to_patient(POINTS_PX), expected, atol=1e-6)


@given(image_planes())
def test_pixels_lie_in_the_patient_where_simpleitk_says(plane: ImagePlane) -> None:
    image = sitk_image(plane)
    expected = [image.TransformContinuousIndexToPhysicalPoint([*point, 0.0]) for point in POINTS_PX.tolist()]
    np.testing.assert_allclose(plane.to_patient(POINTS_PX), expected, atol=1e-6)


@given(image_planes(), points_mm())
def test_patient_points_fall_on_the_pixels_simpleitk_says(
    plane: ImagePlane, point: NDArray[np.float64]
) -> None:
    column, row, depth = sitk_image(plane).TransformPhysicalPointToContinuousIndex(point.tolist())
    np.testing.assert_allclose(plane.to_pixel(point), [column, row], atol=1e-6)
    np.testing.assert_allclose(plane.distance_mm(point), depth, atol=1e-6)


@given(image_planes(), st.integers(-50, 50), st.integers(-50, 50))
def test_whole_pixels_agree_with_highdicoms_pixel_transformer(
    plane: ImagePlane, column: int, row: int
) -> None:
    transformer = highdicom.spatial.PixelToReferenceTransformer(**highdicom_arguments(plane))
    expected = transformer(np.array([[column, row]]))
    np.testing.assert_allclose(plane.to_patient([[column, row]]), expected, atol=1e-6)


@given(image_planes())
def test_the_two_matrices_are_inverse(plane: ImagePlane) -> None:
    product = plane.pixel_from_patient @ plane.patient_from_pixel
    np.testing.assert_allclose(product, np.eye(4), atol=1e-6)


@given(image_planes(), rotations(), points_mm())
def test_a_moved_patient_carries_the_plane_along(
    plane: ImagePlane, rotation: NDArray[np.float64], shift: NDArray[np.float64]
) -> None:
    moved = plane.moved(rotation, shift)
    expected = plane.to_patient(POINTS_PX) @ rotation.T + shift
    np.testing.assert_allclose(moved.to_patient(POINTS_PX), expected, atol=1e-6)


def test_pixel_spacing_is_row_distance_first() -> None:
    plane = ImagePlane.from_dicom([0, 0, 0], [1, 0, 0, 0, 1, 0], [2.0, 0.5], columns=10, rows=10)
    assert plane.row_spacing_mm == 2.0
    assert plane.column_spacing_mm == 0.5
    np.testing.assert_allclose(plane.to_patient([[3, 1]]), [[1.5, 2.0, 0.0]])


@given(rotations())
def test_cosines_rounded_to_four_decimals_are_mended(rotation: NDArray[np.float64]) -> None:
    rounded = np.round(rotation, 4)
    right, down, residual = orthonormal_axes(rounded[0], rounded[1])
    axes = np.array([right, down])
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)
    assert residual < 4e-4
    assert np.abs(axes - rotation[:2]).max() < 2e-4


@given(numbers(0.01, 1))
def test_cosines_that_are_more_than_rounded_are_refused(error: float) -> None:
    with pytest.raises(GeometryError, match="orthonormality"):
        orthonormal_axes([1 + error, 0, 0], [0, 1, 0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("column_spacing_mm", 0.0),
        ("row_spacing_mm", -1.0),
        ("row_spacing_mm", float("nan")),
        ("columns", 0),
        ("origin_mm", np.array([0, 0, np.nan])),
        ("right", np.array([0.0, 1.0, 0.0])),
        ("down", np.array([0.0, 2.0, 0.0])),
    ],
)
def test_a_plane_refuses_nonsense_when_it_is_made(name: str, value: object) -> None:
    sound = {
        "origin_mm": np.zeros(3),
        "right": np.array([1.0, 0.0, 0.0]),
        "down": np.array([0.0, 1.0, 0.0]),
        "column_spacing_mm": 1.0,
        "row_spacing_mm": 1.0,
        "columns": 4,
        "rows": 4,
    }
    with pytest.raises(GeometryError):
        ImagePlane(**(sound | {name: value}))


def test_a_planes_arrays_cannot_be_changed() -> None:
    plane = ImagePlane.from_dicom([0, 0, 0], [1, 0, 0, 0, 1, 0], [1, 1], columns=4, rows=4)
    with pytest.raises(ValueError, match="read-only"):
        plane.origin_mm[0] = 1
