from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomgeom.lines import canonical_sign, image_line
from dicomgeom.plane import ImagePlane
from pretext_targets.lines import crossing_px, lines_on_grid
from pretext_targets.resample import grid_plane
from tests.helpers.strategies import crossing_planes, points_mm, rotations
from tests.pretext_targets.conftest import plane

Pair = tuple[ImagePlane, ImagePlane]


@given(crossing_planes(), st.floats(0.5, 3))
@settings(max_examples=50)
def test_points_of_a_line_lie_on_the_partner_by_simpleitks_reckoning(pair: Pair, spacing: float) -> None:
    grid = grid_plane(pair[0], 80, 100, spacing)
    a, b, c = lines_on_grid(grid, [pair[1]])[0]
    if np.isnan(a):
        return
    image = sitk.Image([grid.columns, grid.rows, 1], sitk.sitkUInt8)
    image.SetOrigin(grid.origin_mm.tolist())
    image.SetSpacing([spacing, spacing, 1.0])
    image.SetDirection(np.stack([grid.right, grid.down, grid.normal], axis=1).ravel().tolist())
    for along in (-50.0, 0.0, 70.0):
        x, y = np.array([-a * c, -b * c]) + along * np.array([-b, a])
        point = np.array(image.TransformContinuousIndexToPhysicalPoint([x, y, 0.0]))
        assert abs(pair[1].distance_mm(point)) < 1e-6 * max(1.0, float(np.abs(point).max()))


@given(crossing_planes(), st.integers(20, 90), st.integers(20, 90), st.floats(0.5, 3))
def test_a_line_on_the_grid_is_the_native_line_mapped_through_it(
    pair: Pair, rows: int, columns: int, spacing: float
) -> None:
    native = image_line(*pair)
    if native is None:
        return
    grid = grid_plane(pair[0], rows, columns, spacing)
    native_from_grid = (pair[0].pixel_from_patient @ grid.patient_from_pixel)[np.ix_([0, 1, 3], [0, 1, 3])]
    mapped = native_from_grid.T @ [native.a, native.b, native.c]
    mapped = canonical_sign(mapped / np.hypot(mapped[0], mapped[1]))
    found = lines_on_grid(grid, [pair[1]])[0]
    # A line at a = 0 may be told with either sign when rounding decides.
    same = np.allclose(found, mapped, atol=1e-6 * max(1, abs(mapped[2])))
    assert same or (abs(mapped[0]) < 1e-9 and np.allclose(found, -mapped, atol=1e-6 * max(1, abs(mapped[2]))))


@given(crossing_planes(), rotations(), points_mm())
def test_lines_do_not_change_when_the_patient_is_moved(
    pair: Pair, turn: np.ndarray, shift: np.ndarray
) -> None:
    before = lines_on_grid(grid_plane(pair[0], 40, 50, 2.0), [pair[1]])[0]
    moved = [one.moved(turn, shift) for one in pair]
    after = lines_on_grid(grid_plane(moved[0], 40, 50, 2.0), [moved[1]])[0]
    if np.isnan(before).any() or abs(before[0]) < 1e-6:
        return
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_absent_and_parallel_partners_have_no_line() -> None:
    image = plane()
    found = lines_on_grid(image, [None, plane((0, 0, 30)), plane(right=(0, 1, 0), down=(0, 0, 1))])
    assert np.isnan(found[:2]).all()
    np.testing.assert_allclose(found[2], [1, 0, -79.5], atol=1e-9)


def test_lines_cross_where_both_vanish_and_nearly_parallel_ones_do_not() -> None:
    first, second = np.array([0.6, 0.8, -20]), np.array([1.0, 0, -7])
    crossing = crossing_px(first, second)
    assert crossing is not None
    assert abs(first[:2] @ crossing + first[2]) < 1e-9
    assert abs(second[:2] @ crossing + second[2]) < 1e-9
    turn = np.radians(3)
    assert crossing_px(second, [np.cos(turn), np.sin(turn), 4]) is None
