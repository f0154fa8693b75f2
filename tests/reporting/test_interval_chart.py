"""Means with intervals: every mark stands where its numbers say, on one scale in all panels."""

from __future__ import annotations

import pytest

from reporting.interval_chart import NAMES, WIDTH, Estimate, IntervalChart, interval_chart


def chart(differences: bool = True, **panels: dict[str, Estimate]) -> IntervalChart:
    made = interval_chart("dice mean", "", ["one", "two", "three"], panels, differences=differences)
    assert made is not None
    return made


WORSE = Estimate(-0.2, (-0.3, -0.1), "worse")
UNSURE = Estimate(0.1, (-0.1, 0.3), "unsure")
LONE = Estimate(0.2, None, "one patient")


def test_marks_keep_their_distances_on_the_scale_that_all_panels_share() -> None:
    first, second = chart(a={"one": WORSE, "two": UNSURE}, b={"two": UNSURE}).panels
    assert first.zero is not None
    assert second.zero is not None
    (worse, unsure), (again,) = first.marks, second.marks
    assert worse.ends is not None
    assert unsure.ends is not None
    unit = unsure.x - first.zero
    assert first.zero - worse.x == pytest.approx(2 * unit, abs=0.2)
    assert [round(end - first.zero) for end in unsure.ends] == [round(-unit), round(3 * unit)]
    assert again.x - second.zero == pytest.approx(unit, abs=0.2)
    assert again.y == unsure.y


def test_only_intervals_on_one_side_of_zero_are_sure() -> None:
    (panel,) = chart(a={"one": WORSE, "two": UNSURE, "three": LONE}).panels
    assert [mark.sure for mark in panel.marks] == [True, False, True]
    assert panel.marks[2].ends is None


def test_means_need_no_zero() -> None:
    (panel,) = chart(False, a={"one": Estimate(0.8, (0.7, 0.9), "")}).panels
    assert panel.zero is None
    assert float(panel.x_ticks[0].text) >= 0.6


def test_all_stays_inside_and_beside_the_names() -> None:
    drawn = chart(a={"one": WORSE}, b={"two": UNSURE}, c={"three": LONE})
    for panel in drawn.panels:
        assert NAMES <= panel.left < panel.right <= WIDTH
        for mark in panel.marks:
            assert all(panel.left <= x <= panel.right for x in (mark.x, *(mark.ends or ())))
            assert 0 < mark.y < drawn.height
    assert [name for _, name in drawn.names] == ["one", "two", "three"]


def test_nothing_measured_is_no_chart() -> None:
    assert interval_chart("dice", "", ["one"], {}, differences=True) is None
