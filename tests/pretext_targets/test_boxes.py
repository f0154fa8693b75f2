from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomgeom.plane import ImagePlane
from pretext_targets.boxes import lay_boxes, visible_rectangle
from pretext_targets.lines import lines_on_grid
from pretext_targets.resample import grid_plane
from tests.helpers.strategies import points_mm, rotations
from tests.pretext_targets.conftest import plane

SIZES = {"side_px": 10.0, "step_px": 27.0}
AXIAL_WAYS = (np.array([1.0, 0, 0]), np.array([0, -1.0, 0]))


def exam(turn_deg: float = 0.0) -> tuple[ImagePlane, ImagePlane, ImagePlane]:
    """An axial image and two planes that cut it: along x (turned), and along y."""
    turn = np.radians(turn_deg)
    image = plane((10, -5, 3))
    first = plane((14, -9, 0), right=(np.cos(turn), np.sin(turn), 0), down=(0, 0, 1))
    second = plane((14, -9, 0), right=(0, 1, 0), down=(0.1, 0, 1))
    return image, first, second


def laid(image: ImagePlane, first: ImagePlane, second: ImagePlane, ways=AXIAL_WAYS, size=(150, 150, 2.0)):
    grid = grid_plane(image, *size)
    return grid, lay_boxes(grid, image, lines_on_grid(grid, [first, second]), ways, **SIZES)


def test_boxes_lie_at_their_steps_in_the_named_directions() -> None:
    grid, boxes = laid(*exam())
    assert boxes.reason == ""
    assert boxes.present.all()
    mm = grid.to_patient(boxes.centre_px)
    second_x = 14 + 0.1 * 3
    np.testing.assert_allclose(mm[0], [second_x, -9, 3], atol=1e-6)
    np.testing.assert_allclose(mm[1:5, 0] - mm[0, 0], [54, 108, -54, -108], atol=1e-6)
    np.testing.assert_allclose(mm[5:, 1] - mm[0, 1], [-54, -108, 54, 108], atol=1e-6)
    np.testing.assert_allclose(mm[1:5, 1], -9, atol=1e-6)


@pytest.mark.parametrize("flip", ["right", "down", "both", "transposed"])
def test_names_follow_the_patient_however_the_image_is_turned(flip: str) -> None:
    image, first, second = exam(12)
    right, down = image.right, image.down
    axes = {
        "right": (-right, down),
        "down": (right, -down),
        "both": (-right, -down),
        "transposed": (down, right),
    }[flip]
    centre = tuple(image.centre_mm)
    turned = plane(centre, tuple(axes[0]), tuple(axes[1]), columns=200, rows=200)
    straight = plane(centre, columns=200, rows=200)
    grid, boxes = laid(turned, first, second)
    straight_grid, expected = laid(straight, first, second)
    np.testing.assert_allclose(
        grid.to_patient(boxes.centre_px), straight_grid.to_patient(expected.centre_px), atol=1e-6
    )
    np.testing.assert_array_equal(boxes.present, expected.present)


@given(rotations(), points_mm(), st.floats(-40, 40))
def test_boxes_do_not_change_when_the_patient_is_moved(
    turn: np.ndarray, shift: np.ndarray, angle_deg: float
) -> None:
    planes = exam(angle_deg)
    _, before = laid(*planes)
    moved = [one.moved(turn, shift) for one in planes]
    _, after = laid(*moved, ways=tuple(turn @ way for way in AXIAL_WAYS))
    np.testing.assert_allclose(after.centre_px, before.centre_px, atol=1e-6)
    np.testing.assert_array_equal(after.present, before.present)


def test_the_padding_of_a_small_image_is_outside_it() -> None:
    image, first, second = exam()
    small = plane(tuple(image.centre_mm), columns=70, rows=140)
    grid, boxes = laid(small, first, second)
    low, high = visible_rectangle(small, grid)
    np.testing.assert_allclose(high - low, [70 * 1.8 / 2, 140 * 2.1 / 2], atol=1e-9)
    names = ["centre", "left", "far left", "right", "far right", *["along y"] * 4]
    absent = [name for name, present in zip(names, boxes.present, strict=True) if not present]
    assert absent == ["far left", "far right"]


def test_a_box_counts_when_half_of_it_is_visible() -> None:
    image = plane(columns=100, rows=100, column_spacing_mm=1, row_spacing_mm=1)
    second = plane((0, 0, 0), right=(0, 1, 0), down=(0, 0, 1))
    for row, present in ((49.6, True), (49.4, True), (50.1, False)):
        # A box centred on the last row's edge is half visible.
        first = plane((0, row - 27, 0), right=(1, 0, 0), down=(0, 0, 1))
        grid = grid_plane(image, 100, 100, 1.0)
        lines = lines_on_grid(grid, [first, second])
        boxes = lay_boxes(grid, image, lines, AXIAL_WAYS, **SIZES)
        assert boxes.present[7] == present


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("absent", "partner-absent"),
        ("parallel", "lines-nearly-parallel"),
        ("far", "crossing-outside-image"),
        ("unknown", "base-unknown"),
        ("across", "direction-unclear"),
    ],
)
def test_a_slice_without_boxes_says_why(change: str, reason: str) -> None:
    image, first, second = exam()
    ways = AXIAL_WAYS
    grid = grid_plane(image, 150, 150, 2.0)
    if change == "parallel":
        second = first.moved(np.eye(3), [0, 9, 0])
    if change == "far":
        second = second.moved(np.eye(3), [400, 0, 0])
    if change == "unknown":
        ways = (AXIAL_WAYS[0], None)
    if change == "across":
        ways = (np.array([0, 0, 1.0]), AXIAL_WAYS[1])
    lines = lines_on_grid(grid, [first, None if change == "absent" else second])
    boxes = lay_boxes(grid, image, lines, ways, **SIZES)
    assert boxes.reason == reason
    assert not boxes.present.any()
    assert np.isnan(boxes.centre_px).all()
