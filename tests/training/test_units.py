from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pretext_targets.reader import StoreReader
from training.augment import still, warp, windowed
from training.draws import mixed
from training.units import Pairs, Series, Slices, make_units, view_keys

ROWS = np.array([10, 11, 12, 13, 14, 15, 16])
SERIES = np.array([0, 0, 0, 1, 1, 1, 2])
PLACE = np.array([2, 0, 1, 0, 1, 2, 0])


def test_slices_bring_nothing_but_themselves() -> None:
    (picked,) = Slices(ROWS).pick(np.array([12, 10]), torch.tensor([5, 6]))
    assert picked.rows.tolist() == [12, 10]
    assert picked.keys.tolist() == [5, 6]
    assert picked.unit.tolist() == [0, 1]


def test_a_lone_slice_makes_no_pair() -> None:
    assert Pairs(ROWS, SERIES, PLACE).rows.tolist() == [10, 11, 12, 13, 14, 15]


def test_the_second_of_a_pair_is_any_other_slice_of_the_series() -> None:
    pairs, units = Pairs(ROWS, SERIES, PLACE), np.repeat([11, 14], 200)
    first, second = pairs.pick(units, mixed(torch.arange(400)))
    assert np.array_equal(first.rows, units)
    partners = {row: np.unique(second.rows[units == row]).tolist() for row in (11, 14)}
    assert partners == {11: [10, 12], 14: [13, 15]}
    share = (second.rows[units == 11] == 10).mean()
    assert 0.4 < share < 0.6
    assert torch.equal(first.unit, second.unit)


def test_a_series_brings_its_slices_in_order_along_the_stack() -> None:
    series = Series(ROWS, SERIES, PLACE)
    assert series.rows.tolist() == [11, 13, 16]
    (picked,) = series.pick(np.array([13, 11]), torch.tensor([1, 2]))
    assert picked.rows.tolist() == [13, 14, 15, 11, 12, 10]
    assert picked.unit.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(set(picked.keys.tolist())) == 6


def test_series_of_a_store_are_its_stacks_at_one_phase(pretext_store: Path) -> None:
    reader = StoreReader(pretext_store)
    rows = np.arange(len(reader))
    units = make_units("series", rows, reader)
    (picked,) = units.pick(units.rows, torch.arange(len(units.rows)))
    assert sorted(picked.rows.tolist()) == rows.tolist()
    keys, places = reader.column("stack_key"), reader.column("slice_index")
    for number in range(len(units.rows)):
        members = picked.rows[picked.unit.numpy() == number]
        assert len(np.unique(keys[members], axis=0)) == 1
        assert np.all(np.diff(places[members]) > 0)


def test_the_first_view_keeps_the_key_and_the_others_have_their_own() -> None:
    keys = torch.tensor([3, 4])
    assert torch.equal(view_keys(keys, 0), keys)
    assert len({*keys.tolist(), *view_keys(keys, 1).tolist(), *view_keys(keys, 2).tolist()}) == 6


def test_a_window_shows_the_pixels_of_its_place() -> None:
    image = torch.rand(40, 1, 20, 30, dtype=torch.float64)
    motion = windowed(still(40, 20, 30, torch.device("cpu")), 0.5, mixed(torch.arange(40)))
    seen = warp(image, motion)
    assert seen.shape == (40, 1, 10, 15)
    corners = -motion.matrix[:, :2, 2].long()
    assert set(corners[:, 0].tolist()) <= set(range(16))
    assert len(set(corners[:, 0].tolist())) > 8
    assert len(set(corners[:, 1].tolist())) > 6
    for one, (x, y), window in zip(image, corners.tolist(), seen, strict=True):
        assert torch.allclose(one[:, y : y + 10, x : x + 15], window, atol=1e-9)
