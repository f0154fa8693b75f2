from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from dicomgeom.errors import GeometryError
from dicomgeom.plane import ImagePlane
from pretext_targets.resample import axes_of, grid_plane, resample, resample_labels, sample_places
from tests.helpers.strategies import image_planes
from tests.pretext_targets.conftest import plane

offsets = st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
"""Of the grid's centre from the image's, as fractions of the image."""
grids = st.tuples(st.integers(8, 60), st.integers(8, 60), st.floats(0.4, 4))


def noise(plane: ImagePlane, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (1000 * rng.random((plane.rows, plane.columns))).astype(np.float32)


def aside(native: ImagePlane, offset: tuple[float, float]) -> np.ndarray:
    """A point off the plane whose foot lies aside of the image's centre."""
    size = np.array([native.columns, native.rows])
    return native.to_patient((size - 1) / 2 + np.array(offset) * size) + 12.0 * native.normal


@given(image_planes(), grids, offsets, st.integers(0, 99))
@settings(max_examples=25)
def test_resampling_equals_scipy(
    native: ImagePlane, size: tuple[int, int, float], offset: tuple[float, float], seed: int
) -> None:
    image = noise(native, seed)
    try:
        grid = grid_plane(native, *size, centre_mm=aside(native, offset))
        resample(image, native, grid)
    except GeometryError:
        grid = grid_plane(native, *size)
    centres = np.stack(np.meshgrid(np.arange(grid.columns), np.arange(grid.rows)), axis=-1)
    points = native.to_pixel(grid.to_patient(centres))
    expected = map_coordinates(
        image.astype(np.float64), [points[..., 1], points[..., 0]], order=3, mode="mirror"
    )
    edge = np.array([native.columns, native.rows]) - 0.5
    clear = (np.abs(points + 0.5) > 1e-6).all(-1) & (np.abs(points - edge) > 1e-6).all(-1)
    expected[~native.contains_px(points)] = 0
    found = resample(image, native, grid)
    assert found.dtype == np.float32
    assert np.abs(found - expected)[clear].max() < 1e-5 * np.ptp(image)


@given(image_planes(), grids, st.integers(0, 99))
@settings(max_examples=15)
def test_resampling_equals_simpleitk(native: ImagePlane, size: tuple[int, int, float], seed: int) -> None:
    pixels, grid = noise(native, seed), grid_plane(native, *size)
    image = sitk.GetImageFromArray(pixels.astype(np.float64)[None])
    image.SetOrigin(native.origin_mm.tolist())
    image.SetSpacing([native.column_spacing_mm, native.row_spacing_mm, 1.0])
    image.SetDirection(np.stack([native.right, native.down, native.normal], axis=1).ravel().tolist())
    # In two dimensions, since its splines need four samples along every axis.
    flat = sitk.GetImageFromArray(pixels.astype(np.float64))
    flat.SetSpacing([native.column_spacing_mm, native.row_spacing_mm])
    corner = image.TransformPhysicalPointToContinuousIndex(grid.origin_mm.tolist())[:2]
    origin = [corner[0] * native.column_spacing_mm, corner[1] * native.row_spacing_mm]
    expected = sitk.GetArrayFromImage(
        sitk.Resample(
            flat,
            [grid.columns, grid.rows],
            sitk.Transform(2, sitk.sitkIdentity),
            sitk.sitkBSpline,
            origin,
            [grid.column_spacing_mm, grid.row_spacing_mm],
            [1.0, 0.0, 0.0, 1.0],
            0.0,
        )
    )
    y, x = map(sample_places, axes_of(native, grid))
    # ITK lets go half a pixel or less beyond the last centres, by its own rounding.
    inner = np.ix_((y >= 0) & (y <= native.rows - 1), (x >= 0) & (x <= native.columns - 1))
    found = resample(pixels, native, grid)
    if found[inner].size:
        assert np.abs(found - expected)[inner].max() < 1e-5 * np.ptp(pixels)


@given(image_planes(), grids)
def test_the_grid_has_the_images_centre_and_axes(native: ImagePlane, size: tuple[int, int, float]) -> None:
    grid = grid_plane(native, *size)
    np.testing.assert_allclose(grid.centre_mm, native.centre_mm, atol=1e-9)
    np.testing.assert_array_equal(grid.right, native.right)
    np.testing.assert_array_equal(grid.down, native.down)
    assert (grid.rows, grid.columns) == size[:2]
    assert grid.row_spacing_mm == grid.column_spacing_mm == size[2]


@given(image_planes(), grids, offsets)
def test_a_grid_can_have_another_centre(
    native: ImagePlane, size: tuple[int, int, float], offset: tuple[float, float]
) -> None:
    point = aside(native, offset)
    grid = grid_plane(native, *size, centre_mm=point)
    assert abs(grid.distance_mm(native.origin_mm)) < 1e-6
    np.testing.assert_allclose(grid.centre_mm, point - 12.0 * native.normal, atol=1e-6)


def test_the_images_own_grid_gives_the_image_back() -> None:
    native = plane(column_spacing_mm=1.7, row_spacing_mm=1.7, columns=30, rows=21)
    image = noise(native, 1)
    found = resample(image, native, grid_plane(native, 21, 30, 1.7))
    np.testing.assert_allclose(found, image, atol=1e-3)


def test_what_lies_outside_the_image_is_zero() -> None:
    native = plane(columns=20, rows=30, column_spacing_mm=2, row_spacing_mm=1)
    found = resample(np.full((30, 20), 7.0), native, grid_plane(native, 50, 60, 1.0))
    assert not found[:10].any()
    assert not found[40:].any()
    assert not found[:, :10].any()
    np.testing.assert_allclose(found[10:40, 10:50], 7, rtol=1e-6)


def test_labels_take_the_pixel_they_lie_on() -> None:
    native = plane(columns=9, rows=8, column_spacing_mm=2, row_spacing_mm=3)
    labels = np.random.default_rng(0).integers(0, 6, (8, 9)).astype(np.uint8)
    grid = grid_plane(native, 30, 25, 1.0)
    found = resample_labels(labels, native, grid)
    for row in range(30):
        for column in range(25):
            x, y = np.floor(native.to_pixel(grid.to_patient([column, row])) + 0.5 + 1e-9).astype(int)
            inside = 0 <= x < 9 and 0 <= y < 8
            assert found[row, column] == (labels[y, x] if inside else 0)


def test_an_image_of_another_size_is_refused() -> None:
    native = plane()
    with pytest.raises(GeometryError, match="140 x 160"):
        resample(np.zeros((3, 3)), native, grid_plane(native, 8, 8, 1))
