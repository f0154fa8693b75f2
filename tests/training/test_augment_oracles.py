"""Labels after augmentation against the geometry engine, and moved masks against SimpleITK.

The plane of an augmented image is a plane of the patient like any other: its pixel grid is the store's,
turned, mirrored and zoomed. So the lines and boxes of the moved labels have to be what the geometry engine
says of that plane, without any matrix of the augmentation.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomgeom.plane import ImagePlane
from pretext_targets.lines import lines_on_grid
from tests.helpers.strategies import crossing_planes
from training.augment import Motion, inverted, motion_matrix, move_classes, move_labels, warp

ROWS, COLUMNS, SPACING_MM = 40, 56, 1.3


def motion_of(angle_rad: float, zoom: float, shift: tuple[float, float], mirror: float) -> Motion:
    numbers = [angle_rad, zoom, *shift, mirror, 1.0]
    tensors = [torch.tensor([number], dtype=torch.float64) for number in numbers]
    return Motion(motion_matrix(*tensors, ROWS, COLUMNS), tensors[1], ROWS, COLUMNS)


angles, zooms = st.floats(-np.pi, np.pi), st.floats(0.6, 1.6)
shifts = st.tuples(st.floats(-10, 10), st.floats(-10, 10))
mirrors = st.sampled_from([-1.0, 1.0])


def on_a_grid(plane: ImagePlane) -> ImagePlane:
    """The same plane with square pixels, as every store has them."""
    return ImagePlane(plane.origin_mm, plane.right, plane.down, SPACING_MM, SPACING_MM, COLUMNS, ROWS)


def moved_plane(
    grid: ImagePlane, angle: float, zoom: float, shift: tuple[float, float], mirror: float
) -> ImagePlane:
    """The grid of the augmented image, in the patient: mirrored, turned, zoomed about its middle, shifted."""
    right, down = mirror * grid.right, grid.down
    # What was to the right turns towards below, so the grid itself turns the other way.
    turned_right = np.cos(angle) * right - np.sin(angle) * down
    turned_down = np.sin(angle) * right + np.cos(angle) * down
    spacing_mm = SPACING_MM / zoom
    middle_px = np.array([(COLUMNS - 1) / 2, (ROWS - 1) / 2])
    middle_mm = grid.origin_mm + SPACING_MM * (middle_px[0] * grid.right + middle_px[1] * grid.down)
    back_px = middle_px + np.array(shift)
    origin_mm = middle_mm - spacing_mm * (back_px[0] * turned_right + back_px[1] * turned_down)
    return ImagePlane(origin_mm, turned_right, turned_down, spacing_mm, spacing_mm, COLUMNS, ROWS)


@given(crossing_planes(), angles, zooms, shifts, mirrors)
@settings(max_examples=60)
def test_moved_lines_and_boxes_are_those_of_the_moved_plane(
    planes: tuple[ImagePlane, ImagePlane],
    angle: float,
    zoom: float,
    shift: tuple[float, float],
    mirror: float,
) -> None:
    grid, partner = on_a_grid(planes[0]), planes[1]
    after = moved_plane(grid, angle, zoom, shift, mirror)
    boxes_px = np.array([[3.0, 5.0], [30.5, 11.25], [50.0, 38.0]])
    labels = {
        "line": torch.from_numpy(lines_on_grid(grid, [partner, None]))[None],
        "line_sigma_px": torch.tensor([5.0]),
        "box_centre": torch.from_numpy(boxes_px)[None],
        "box_present": torch.ones(1, 3, dtype=torch.bool),
        "box_side_px": torch.tensor([6.0]),
    }
    moved = move_labels(labels, motion_of(angle, zoom, shift, mirror))
    said, expected = moved["line"][0].numpy(), lines_on_grid(after, [partner, None])
    # The sign of a line across whose normal is all but along an axis is a matter of rounding.
    said *= np.sign((said * expected)[:, :2].sum(axis=1, keepdims=True))
    near = np.abs(expected[0]).max() < 1e3  # a line kilometres away has no meaning in pixels
    assert not near or np.allclose(said, expected, atol=1e-4, equal_nan=True)
    in_patient = (
        np.concatenate([boxes_px, np.zeros((3, 1)), np.ones((3, 1))], axis=1) @ grid.patient_from_pixel.T
    )
    expected_px = (in_patient @ np.linalg.inv(after.patient_from_pixel).T)[:, :2]
    assert np.allclose(moved["box_centre"][0].numpy(), expected_px, atol=1e-4)
    assert np.isclose(float(moved["line_sigma_px"]) * after.row_spacing_mm, 5.0 * SPACING_MM, rtol=1e-6)
    assert np.isclose(float(moved["box_side_px"]) * after.row_spacing_mm, 6.0 * SPACING_MM, rtol=1e-6)


def resampled(
    values: NDArray[np.float32], matrix: NDArray[np.float64], interpolator: int
) -> NDArray[np.float32]:
    """An image of one slice on the grid of the augmented one, by SimpleITK; 0 outside."""
    back = np.linalg.inv(matrix)
    transform = sitk.AffineTransform(2)
    transform.SetMatrix(back[:2, :2].ravel().tolist())
    transform.SetTranslation(back[:2, 2].tolist())
    image = sitk.GetImageFromArray(values)
    found = sitk.Resample(image, image, transform, interpolator, 0.0, sitk.sitkFloat32)
    return np.asarray(sitk.GetArrayFromImage(found))


def discs() -> NDArray[np.float32]:
    """Three classes, one of them a ring."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    away = np.hypot(x - 25.3, y - 18.1)
    classes = np.zeros((ROWS, COLUMNS), np.float32)
    classes[away < 13] = 2
    classes[away < 7] = 1
    classes[np.hypot(x - 45, y - 20) < 6] = 3
    return classes


@given(angles, zooms, shifts, mirrors)
@settings(max_examples=40)
def test_moved_masks_are_those_of_simpleitk_but_where_rounding_decides(
    angle: float, zoom: float, shift: tuple[float, float], mirror: float
) -> None:
    motion, classes = motion_of(angle, zoom, shift, mirror), discs()
    said = move_classes(torch.from_numpy(classes)[None], motion)[0].numpy()
    expected = resampled(classes, motion.matrix[0].numpy(), sitk.sitkNearestNeighbor)
    # Where two pixels are equally near, and at the store's rim, it is rounding that decides.
    row, column = np.mgrid[0:ROWS, 0:COLUMNS]
    pixels = np.stack([column, row, np.ones_like(row)]).reshape(3, -1)
    from_px = (np.linalg.inv(motion.matrix[0].numpy()) @ pixels)[:2].reshape(2, ROWS, COLUMNS)
    decided = (np.abs(from_px - np.floor(from_px) - 0.5) > 1e-3).all(axis=0)
    assert np.array_equal(said[decided], expected[decided])


@given(angles, zooms, shifts, mirrors)
@settings(max_examples=20)
def test_moved_images_are_those_of_simpleitk_inside(
    angle: float, zoom: float, shift: tuple[float, float], mirror: float
) -> None:
    motion = motion_of(angle, zoom, shift, mirror)
    image = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    said = warp(torch.from_numpy(image)[None, None], motion)[0, 0].numpy()
    expected = resampled(image, motion.matrix[0].numpy(), sitk.sitkLinear)
    whole = resampled(np.ones_like(image), motion.matrix[0].numpy(), sitk.sitkLinear)
    faded = warp(torch.ones(1, 1, ROWS, COLUMNS), motion)[0, 0].numpy()
    inside = (whole > 1 - 1e-5) & (faded > 1 - 1e-5)
    assert np.allclose(said[inside], expected[inside], atol=2e-4)


@given(angles, zooms, shifts, mirrors)
@settings(max_examples=30)
def test_the_inverse_in_closed_form_is_the_inverse(
    angle: float, zoom: float, shift: tuple[float, float], mirror: float
) -> None:
    matrix = motion_of(angle, zoom, shift, mirror).matrix
    assert np.allclose(inverted(matrix)[0].numpy(), np.linalg.inv(matrix[0].numpy()), atol=1e-12)
