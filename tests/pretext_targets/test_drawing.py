from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pretext_targets.drawing import draw_boxes, draw_heatmaps, heatmap_codes

ROWS, COLUMNS = 30, 41

centres = hnp.arrays(np.float32, (3, 9, 2), elements=st.floats(-20, 60, width=32))
presences = hnp.arrays(np.bool_, (3, 9))
sides = st.floats(0.5, 25)


def random_lines(seed: int, count: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0, 2 * np.pi, (count, 2))
    lines = np.stack([np.cos(turn), np.sin(turn), rng.uniform(-40, 40, (count, 2))], axis=-1)
    lines[rng.random((count, 2)) < 0.2] = np.nan
    return lines.astype(np.float32)


def test_a_box_holds_its_low_edge_and_not_its_high_one() -> None:
    mask = draw_boxes(np.array([[5.0, 3.0]]), np.array([True]), 4.0, ROWS, COLUMNS)
    rows, columns = np.nonzero(mask)
    assert (columns.min(), columns.max()) == (3, 6)
    assert (rows.min(), rows.max()) == (1, 4)
    assert mask.dtype == np.uint8


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5, 0.99])
def test_a_box_of_whole_side_has_that_many_pixels_wherever_it_lies(shift: float) -> None:
    mask = draw_boxes(np.array([[12 + shift, 9 - shift]]), np.array([True]), 7.0, ROWS, COLUMNS)
    assert (mask > 0).sum() == 49


def test_boxes_are_classes_in_order_and_absent_ones_are_not_drawn() -> None:
    centre = np.stack([np.arange(9) * 4.0 + 3, np.full(9, 10.0)], axis=1)
    present = np.arange(9) != 4
    mask = draw_boxes(centre, present, 2.0, ROWS, COLUMNS)
    assert [int(mask[10, 3 + 4 * place]) for place in range(9)] == [1, 2, 3, 4, 0, 6, 7, 8, 9]


def test_where_boxes_overlap_the_lower_class_wins() -> None:
    mask = draw_boxes(np.array([[10.0, 10.0], [12.0, 10.0]]), np.array([True, True]), 6.0, ROWS, COLUMNS)
    assert mask[10, 10] == 1
    assert mask[10, 14] == 2


def test_boxes_of_unknown_place_draw_nothing() -> None:
    assert not draw_boxes(np.full((9, 2), np.nan), np.zeros(9, bool), 5.0, ROWS, COLUMNS).any()


@given(centres, presences, sides)
@settings(max_examples=40)
def test_torch_draws_exactly_the_boxes_that_numpy_draws(
    centre: np.ndarray, present: np.ndarray, side: float
) -> None:
    torch = pytest.importorskip("torch")
    drawn = draw_boxes(centre, present, side, ROWS, COLUMNS)
    of_torch = draw_boxes(torch.from_numpy(centre), torch.from_numpy(present), side, ROWS, COLUMNS)
    one_each = torch.full((3,), side, dtype=torch.float64)
    again = draw_boxes(torch.from_numpy(centre), torch.from_numpy(present), one_each, ROWS, COLUMNS)
    assert of_torch.dtype == torch.uint8
    np.testing.assert_array_equal(of_torch.numpy(), drawn)
    np.testing.assert_array_equal(again.numpy(), drawn)


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 20))
@settings(max_examples=40)
def test_torch_draws_the_heatmaps_that_numpy_draws_to_one_code(seed: int, sigma: float) -> None:
    torch = pytest.importorskip("torch")
    lines = random_lines(seed)
    drawn = draw_heatmaps(lines, sigma, ROWS, COLUMNS)
    of_torch = draw_heatmaps(torch.from_numpy(lines), sigma, ROWS, COLUMNS).numpy()
    assert drawn.dtype == of_torch.dtype == np.float32
    assert np.abs(heatmap_codes(drawn).astype(int) - heatmap_codes(of_torch)).max() <= 1


def test_a_heatmap_is_the_gaussian_of_the_distance_to_the_line() -> None:
    line = np.array([[0.6, 0.8, -20.0]])
    drawn = draw_heatmaps(line, 3.0, ROWS, COLUMNS)[0]
    for row, column in ((0, 0), (20, 7), (29, 40)):
        distance = abs(0.6 * column + 0.8 * row - 20)
        assert drawn[row, column] == pytest.approx(np.exp(-(distance**2) / 18), abs=1e-6)


def test_an_absent_line_draws_zeros_and_leaves_no_nan_in_the_gradient() -> None:
    torch = pytest.importorskip("torch")
    lines = torch.tensor([[[0.6, 0.8, -20.0], [float("nan")] * 3]], requires_grad=True)
    drawn = draw_heatmaps(lines, 3.0, ROWS, COLUMNS)
    assert not drawn[0, 1].any()
    drawn.sum().backward()
    assert torch.isfinite(lines.grad).all()


def test_sizes_may_differ_within_a_batch() -> None:
    lines = random_lines(3, count=2)
    lines[np.isnan(lines)] = 0.6
    both = draw_heatmaps(lines, np.array([2.0, 5.0]), ROWS, COLUMNS)
    np.testing.assert_array_equal(both[1], draw_heatmaps(lines[1], 5.0, ROWS, COLUMNS))
