from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from training.tasks.positions import exact, micrometres_from_base, near, stored_at


def stack(slices: int) -> torch.Tensor:
    return torch.stack([torch.arange(slices), torch.full((slices,), slices)], dim=1)


def test_a_threshold_is_the_fraction_it_was_written_as() -> None:
    assert exact(0.1) == Fraction(1, 10)
    assert exact(0.25) == Fraction(1, 4)
    assert exact(1e-3) == Fraction(1, 1000)


@pytest.mark.parametrize("slices", range(2, 11))
def test_up_to_ten_slices_no_two_neighbours_are_near(slices: int) -> None:
    assert torch.equal(near(stack(slices), stack(slices), exact(0.1)), torch.eye(slices, dtype=torch.bool))


def test_floating_point_numbers_would_call_some_neighbours_of_ten_near() -> None:
    called = [abs((n + 1) / 10 - n / 10) < 0.1 for n in range(9)]
    assert any(called)
    assert not all(called)


def test_of_eleven_slices_neighbours_are_near_and_no_others() -> None:
    apart = (torch.arange(11)[:, None] - torch.arange(11)[None]).abs()
    assert torch.equal(near(stack(11), stack(11), exact(0.1)), apart <= 1)


def test_slices_of_two_stacks_are_compared_exactly() -> None:
    found = near(stack(9), stack(12), exact(0.1))
    expected = [
        [abs(Fraction(i, 9) - Fraction(j, 12)) < Fraction(1, 10) for j in range(12)] for i in range(9)
    ]
    assert found.tolist() == expected


def oblique(count: int, step_mm: float, seed: int) -> np.ndarray:
    """Grids (count, 4, 4) along an oblique normal, `step_mm` apart, shifted in their planes at random."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    grids = np.tile(np.eye(4), (count, 1, 1))
    grids[:, :3, :3] = axes * [1.3, 0.9, 1.0]
    start, within = rng.normal(size=3) * 50, rng.normal(size=(count, 2)) * 5
    grids[:, :3, 3] = start + np.arange(count)[:, None] * step_mm * axes[:, 2] + within @ axes[:, :2].T
    return grids


def columns_of(*stacks: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    keys = [np.full((len(one), 16), number, np.uint8) for number, (one, _) in enumerate(stacks)]
    return {
        "patient_from_pixel": np.concatenate([grids for grids, _ in stacks]),
        "location": np.concatenate([location for _, location in stacks]).astype(np.float32),
        "stack_key": np.concatenate(keys),
    }


def test_distances_from_the_base_are_measured_along_the_normal() -> None:
    forward = oblique(6, 9.6, 1), np.linspace(0, 1, 6)
    backward = oblique(4, 10.0, 2), np.linspace(1, 0, 4)
    found = micrometres_from_base(columns_of(forward, backward))
    assert found.tolist() == [0, 9600, 19200, 28800, 38400, 48000, 30000, 20000, 10000, 0]


def test_a_base_that_could_not_be_read_does_not_move_the_others() -> None:
    grids, location = oblique(6, 8.0, 3), np.linspace(0, 1, 6)
    found = micrometres_from_base(columns_of((grids[2:5], location[2:5])))
    assert found.tolist() == [16000, 24000, 32000]


def test_without_geometry_or_a_second_slice_distances_are_unknown() -> None:
    nowhere = np.full((3, 4, 4), np.nan), np.linspace(0, 1, 3)
    alone = oblique(1, 8.0, 4), np.array([0.5])
    unlabelled = oblique(2, 8.0, 5), np.full(2, np.nan)
    assert micrometres_from_base(columns_of(nowhere, alone, unlabelled)).tolist() == [-1] * 6


def test_a_table_by_row_keeps_what_it_held() -> None:
    table = stored_at(np.array([4, 1]), np.array([40, 10]), torch.full((0,), -1))
    assert table.tolist() == [-1, 10, -1, -1, 40]
    assert stored_at(np.array([2]), np.array([20]), table).tolist() == [-1, 10, 20, -1, 40]
