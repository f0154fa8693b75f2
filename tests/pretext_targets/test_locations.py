from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomgeom.errors import GeometryError
from pretext_targets.locations import linear_locations, middle_slice, sine_locations

gaps = st.lists(st.floats(0.5, 20), min_size=1, max_size=20)


@given(gaps, st.floats(-500, 500))
def test_locations_go_from_zero_to_one_by_distance(steps: list[float], start: float) -> None:
    positions = start + np.concatenate([[0], np.cumsum(steps)])
    found = linear_locations(positions, direction_known=True)
    assert (found[0], found[-1]) == (0, 1)
    np.testing.assert_allclose(np.diff(found), np.array(steps) / sum(steps), atol=1e-9)


@given(gaps, st.floats(-500, 500))
def test_the_sine_is_the_same_from_either_end_and_zero_at_both(steps: list[float], start: float) -> None:
    positions = start + np.concatenate([[0], np.cumsum(steps)])
    forward, backward = sine_locations(positions), sine_locations(-positions[::-1])
    assert forward[0] == forward[-1] == 0
    np.testing.assert_allclose(forward, backward[::-1], atol=1e-9)
    np.testing.assert_allclose(
        forward, np.sin(np.pi * linear_locations(positions, direction_known=True)), atol=1e-9
    )


def test_uneven_stacks_count_by_distance_not_by_index() -> None:
    np.testing.assert_allclose(linear_locations([0, 10, 40], direction_known=True), [0, 0.25, 1])


def test_a_lone_slice_and_slices_at_one_place_have_no_location() -> None:
    assert np.isnan(linear_locations([3.0], direction_known=True)).all()
    assert np.isnan(sine_locations([3.0])).all()
    assert np.isnan(sine_locations([3.0, 3.0])).all()


def test_an_unknown_direction_leaves_only_the_sine() -> None:
    assert np.isnan(linear_locations([0, 1, 2], direction_known=False)).all()
    np.testing.assert_allclose(sine_locations([0, 1, 2]), [0, 1, 0])


def test_slices_out_of_order_are_refused() -> None:
    with pytest.raises(GeometryError, match="ascend"):
        linear_locations([0, 2, 1], direction_known=True)


def test_the_middle_slice_is_nearest_the_median_and_of_two_the_basal_one() -> None:
    assert middle_slice([0, 10, 20]) == 1
    assert middle_slice([0, 10, 20, 30]) == 1
    assert middle_slice([0, 10, 20, 30], "second") == 2
    assert middle_slice([0, 1, 2, 30, 60]) == 2
    assert middle_slice([5.0]) == 0


@given(st.floats(-300, 300), st.floats(1, 20))
def test_rounding_never_decides_between_two_middle_slices(start: float, step: float) -> None:
    assert middle_slice(start + step * np.arange(6)) == 2
