from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pretext_targets.drawing import draw_boxes, draw_heatmaps
from training.augment import (
    Motion,
    draw_motion,
    motion_matrix,
    move_labels,
    move_lines,
    move_points,
    still,
    visible_fraction,
    warp,
)
from training.settings import AugmentSettings

ROWS, COLUMNS = 40, 56


def motion_of(
    angle_deg: float = 0.0,
    zoom: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    mirror: tuple[float, float] = (1.0, 1.0),
) -> Motion:
    numbers = [math.radians(angle_deg), zoom, *shift, *mirror]
    tensors = [torch.tensor([number], dtype=torch.float64) for number in numbers]
    return Motion(motion_matrix(*tensors, ROWS, COLUMNS), tensors[1], ROWS, COLUMNS)


motions = st.builds(
    motion_of,
    angle_deg=st.floats(-180, 180),
    zoom=st.floats(0.6, 1.6),
    shift=st.tuples(st.floats(-10, 10), st.floats(-10, 10)),
    mirror=st.tuples(st.sampled_from([-1.0, 1.0]), st.sampled_from([-1.0, 1.0])),
)
lines = st.builds(
    lambda angle, c: torch.tensor([[[math.cos(angle), math.sin(angle), c]]], dtype=torch.float64),
    st.floats(-math.pi, math.pi),
    st.floats(-40, 40),
)


def coordinates() -> Tensor:
    """(1, 2, rows, columns): an image whose values are its own pixel coordinates (column, row)."""
    rows, columns = torch.arange(ROWS, dtype=torch.float64), torch.arange(COLUMNS, dtype=torch.float64)
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([column, row])[None]


@given(motions)
@settings(max_examples=50)
def test_a_warped_pixel_holds_what_the_matrix_says_was_there(motion: Motion) -> None:
    # Sampling an image of coordinates tells for each augmented pixel where in the store it came from.
    came_from = warp(coordinates(), motion)[0].flatten(1).T
    inside = warp(torch.ones(1, 1, ROWS, COLUMNS, dtype=torch.float64), motion)[0, 0].flatten() > 1 - 1e-9
    pixels = coordinates()[0].flatten(1).T
    assert torch.allclose(move_points(came_from[None], motion.matrix)[0][inside], pixels[inside], atol=1e-4)


@given(motions, lines)
@settings(max_examples=100)
def test_distances_to_a_moved_line_are_the_old_ones_times_the_zoom(motion: Motion, line: Tensor) -> None:
    # Through the transformed pixel grid, not through the formula: each warped pixel knows its old
    # coordinates.
    came_from = warp(coordinates(), motion)[0]
    inside = warp(torch.ones(1, 1, ROWS, COLUMNS, dtype=torch.float64), motion)[0, 0] > 1 - 1e-9
    a, b, c = line[0, 0]
    before = (a * came_from[0] + b * came_from[1] + c).abs() * motion.zoom
    a, b, c = move_lines(line, motion.matrix)[0, 0]
    column, row = coordinates()[0]
    after = (a * column + b * row + c).abs()
    assert torch.allclose(after[inside], before[inside], atol=1e-4)
    assert abs(float(torch.hypot(a, b)) - 1.0) < 1e-9


@given(motions, lines)
def test_a_moved_line_has_its_canonical_sign(motion: Motion, line: Tensor) -> None:
    a, b, _ = move_lines(line, motion.matrix)[0, 0]
    assert a > 0 or (a == 0 and b > 0)


def test_an_absent_line_stays_absent() -> None:
    line = torch.full((1, 2, 3), torch.nan)
    assert torch.isnan(move_lines(line, motion_of(30.0, 1.1).matrix)).all()


@given(motions, lines)
@settings(max_examples=30)
def test_a_heatmap_drawn_after_the_motion_equals_the_warped_heatmap(motion: Motion, line: Tensor) -> None:
    labels = {"line": line.float(), "line_sigma_px": torch.tensor([6.0])}
    moved = move_labels(labels, motion)
    drawn = draw_heatmaps(moved["line"], moved["line_sigma_px"], ROWS, COLUMNS)
    warped = warp(draw_heatmaps(line.float(), 6.0, ROWS, COLUMNS), motion)
    inside = warp(torch.ones(1, 1, ROWS, COLUMNS), motion)[0, 0] > 1 - 1e-4
    # The warped one is interpolated linearly; sigma is 6 pixels, so that errs by 1/8 of the second
    # derivative.
    assert torch.allclose(drawn[0, 0][inside], warped[0, 0][inside], atol=0.01)


@given(
    zoom=st.floats(0.7, 1.4),
    shift=st.tuples(st.floats(-8, 8), st.floats(-8, 8)),
    mirror=st.sampled_from([-1.0, 1.0]),
)
@settings(max_examples=30)
def test_boxes_drawn_after_the_motion_equal_warped_boxes_but_for_their_edges(
    zoom: float, shift: tuple[float, float], mirror: float
) -> None:
    motion = motion_of(0.0, zoom, shift, (mirror, 1.0))
    centre = torch.tensor(
        [[[12.0, 10.0], [28.0, 10.0], [44.0, 10.0], [12.0, 25.0], [28.0, 25.0], [44.0, 25.0]]]
    )
    present = torch.ones(1, 6, dtype=torch.bool)
    labels = {"box_centre": centre, "box_present": present, "box_side_px": torch.tensor([9.0])}
    moved = move_labels(labels, motion)
    drawn = draw_boxes(moved["box_centre"], present, moved["box_side_px"], ROWS, COLUMNS)[0]
    store = draw_boxes(centre, present, 9.0, ROWS, COLUMNS)[:, None].float()
    warped = warp(store, motion, mode="nearest")[0, 0]
    edges = torch.nn.functional.max_pool2d(store, 3, 1, 1) != -torch.nn.functional.max_pool2d(-store, 3, 1, 1)
    near_edge = warp(edges.float(), motion)[0, 0] > 0
    assert torch.equal(drawn.float()[~near_edge], warped[~near_edge])


def test_a_rotation_moves_the_centres_and_leaves_the_boxes_upright() -> None:
    motion = motion_of(90.0)
    labels = {
        "box_centre": torch.tensor([[[37.5, 19.5]]]),
        "box_present": torch.ones(1, 1, dtype=torch.bool),
        "box_side_px": torch.tensor([6.0]),
    }
    moved = move_labels(labels, motion)
    # 10 pixels right of the middle turn to 10 pixels below it: positive angles turn right to down.
    assert torch.allclose(moved["box_centre"], torch.tensor([[[27.5, 29.5]]]), atol=1e-5)
    assert float(moved["box_side_px"]) == 6.0


def test_a_box_under_half_visible_counts_as_absent_and_an_absent_one_does_not_come_back() -> None:
    labels = {
        "box_centre": torch.tensor([[[5.0, 20.0], [30.0, 20.0], [-3.0, 20.0], [torch.nan, torch.nan]]]),
        "box_present": torch.tensor([[True, True, False, False]]),
        "box_side_px": torch.tensor([8.0]),
    }
    present = [
        move_labels(labels, motion_of(shift=(shift, 0.0)))["box_present"][0].tolist()
        for shift in (-5.4, -5.6, 10.0)
    ]
    assert present == [[True, True, False, False], [False, True, False, False], [True, True, False, False]]


def test_the_visible_part_of_a_box_is_the_share_of_its_area() -> None:
    centre = torch.tensor([[[-0.5, 20.0], [-0.5, -0.5], [20.0, 20.0], [100.0, 20.0]]])
    found = visible_fraction(centre, torch.tensor([8.0]), ROWS, COLUMNS)
    assert found[0].tolist() == [0.5, 0.25, 1.0, 0.0]


def test_a_segmentation_keeps_whole_classes_and_is_background_outside() -> None:
    classes = torch.full((1, ROWS, COLUMNS), 255)
    classes[:, 10:30, 10:40] = 2
    moved = move_labels({"segmentation": classes}, motion_of(17.0, 0.7))["segmentation"][0]
    assert set(moved.unique().tolist()) == {0, 2, 255}
    assert int(moved[0, 0]) == 0
    assert moved.dtype == torch.int64


def test_draws_depend_on_their_key_alone_and_stay_in_range() -> None:
    augment = AugmentSettings(
        rotation_deg=20, scale_min=0.8, scale_max=1.2, shift_fraction=0.1, flip_left_right=0.5
    )
    keys = torch.arange(200) * 7919
    all_at_once = draw_motion(augment, keys, ROWS, COLUMNS)
    alone = draw_motion(augment, keys[33:34], ROWS, COLUMNS)
    assert torch.equal(all_at_once.matrix[33], alone.matrix[0])
    assert 0.8 <= float(all_at_once.zoom.min()) < 0.83
    assert 1.17 < float(all_at_once.zoom.max()) <= 1.2
    turned = torch.rad2deg(torch.atan2(-all_at_once.matrix[:, 0, 1], all_at_once.matrix[:, 1, 1]))
    assert 18 < float(turned.abs().max()) <= 20
    flipped = torch.linalg.det(all_at_once.matrix) < 0
    assert 70 < int(flipped.sum()) < 130


@pytest.mark.parametrize("side", [(ROWS, COLUMNS), (33, 32)])
def test_no_motion_changes_no_pixel(side: tuple[int, int]) -> None:
    image = torch.rand(1, 1, *side, dtype=torch.float64)
    assert torch.allclose(warp(image, still(1, *side, torch.device("cpu"))), image, atol=1e-9)
