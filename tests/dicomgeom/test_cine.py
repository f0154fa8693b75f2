"""Order in time: ranked evidence, nothing invented; moments as fractions of the beat."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomgeom.cine import is_one_beat, order_phases, rr_fraction

NOTHING = {
    "trigger_time_ms": None,
    "temporal_position": None,
    "acquired_at": None,
    "content_time": "",
    "instance_number": None,
    "nominal_interval_ms": None,
    "cardiac_images": None,
    "frame": 0,
}


def images(count: int, **columns: list[Any]) -> list[dict[str, Any]]:
    """Header rows with one value a column and image; the other columns are empty."""
    return [
        {**NOTHING, "sop_instance_uid": f"1.{i}", **{name: values[i] for name, values in columns.items()}}
        for i in range(count)
    ]


@given(st.permutations(range(8)))
def test_files_in_any_order_are_sorted_by_trigger_time(order: list[int]) -> None:
    rows = images(8, trigger_time_ms=[40.0 * n for n in order], instance_number=list(range(8)))
    found = order_phases(rows, [list(range(8))])
    assert found.source == "trigger-time"
    assert [order[i] for i in found.planes[0]] == list(range(8))


def test_a_constant_trigger_time_tells_nothing_and_the_next_evidence_decides() -> None:
    rows = images(4, trigger_time_ms=[600.0] * 4, temporal_position=[3, 1, 4, 2])
    assert order_phases(rows, [[0, 1, 2, 3]]).source == "temporal-position"


def test_a_constant_temporal_position_is_passed_over_too() -> None:
    rows = images(3, temporal_position=[1, 1, 1], instance_number=[12, 11, 10])
    found = order_phases(rows, [[0, 1, 2]])
    assert (found.source, found.planes) == ("instance-number", [[2, 1, 0]])


def test_one_image_without_a_trigger_time_makes_the_stack_use_other_evidence() -> None:
    rows = images(4, trigger_time_ms=[0.0, 40.0, 0.0, None], instance_number=[1, 2, 3, 4])
    assert order_phases(rows, [[0, 1], [2, 3]]).source == "instance-number"


def test_slices_may_hold_different_numbers_of_phases() -> None:
    rows = images(5, trigger_time_ms=[80.0, 0.0, 40.0, 450.0, 0.0])
    assert order_phases(rows, [[0, 1, 2], [3, 4]]).planes == [[1, 2, 0], [4, 3]]


def test_no_order_is_invented_where_nothing_tells_the_phases_apart() -> None:
    rows = images(3, trigger_time_ms=[5.0, 5.0, 5.0])
    assert order_phases(rows, [[0, 1, 2]]).source == ""


def test_moments_of_slices_with_other_beats_are_compared_as_a_fraction_of_their_r_r() -> None:
    fast = images(1, trigger_time_ms=[300.0], nominal_interval_ms=[600.0])[0]
    slow = images(1, trigger_time_ms=[500.0], nominal_interval_ms=[1000.0])[0]
    assert rr_fraction(fast, "trigger-time") == rr_fraction(slow, "single+trigger-time") == 0.5


@pytest.mark.parametrize(
    ("trigger", "interval", "source"),
    [
        (None, 900.0, "trigger-time"),
        (300.0, None, "trigger-time"),
        (300.0, 0.0, "trigger-time"),
        (300.0, 900.0, "instance-number"),
        (3000.0, 900.0, "trigger-time"),
        (-30.0, 900.0, "trigger-time"),
    ],
)
def test_an_unknown_moment_stays_unknown(trigger: float | None, interval: float | None, source: str) -> None:
    row = images(1, trigger_time_ms=[trigger], nominal_interval_ms=[interval])[0]
    assert rr_fraction(row, source) is None


@pytest.mark.parametrize(
    ("delays_ms", "interval_ms", "one_beat"),
    [
        ([0.0, 40.0, 80.0, 120.0], 900.0, True),
        ([0.0, 40.0, 80.0, 120.0], None, True),
        ([0.0, 900.0, 1800.0, 2700.0], 900.0, False),
        ([0.0, 900.0, 1800.0, 2700.0], None, False),
        ([120.0, 121.0, 121.5, 122.5], 900.0, False),
        ([120.0, 121.0, 121.5, 122.5], None, False),
    ],
)
def test_trigger_times_step_through_one_beat_or_the_images_are_no_cine(
    delays_ms: list[float], interval_ms: float | None, one_beat: bool
) -> None:
    rows = images(4, trigger_time_ms=delays_ms, nominal_interval_ms=[interval_ms] * 4)
    assert is_one_beat(rows, order_phases(rows, [[0, 1, 2, 3]])) is one_beat
