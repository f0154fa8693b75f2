"""Means with intervals: every mark stands where its numbers say, on one scale in all panels."""

from __future__ import annotations

import math

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
    assert [end - first.zero for end in unsure.ends] == pytest.approx([-unit, 3 * unit], abs=0.3)
    assert again.x - second.zero == pytest.approx(unit, abs=0.2)
    assert again.y == unsure.y


def test_only_what_has_an_interval_on_one_side_of_zero_is_sure() -> None:
    (panel,) = chart(a={"one": WORSE, "two": UNSURE, "three": LONE}).panels
    assert [mark.sure for mark in panel.marks] == [True, False, False]
    assert panel.marks[2].ends is None


def test_a_difference_over_one_of_several_subsets_is_not_sure_and_a_mean_is_drawn_as_others() -> None:
    early = Estimate(-0.2, (-0.3, -0.1), "early", one_of_several=True)
    for differences in (True, False):
        (panel,) = chart(differences, a={"one": early, "two": WORSE}).panels
        assert [mark.sure for mark in panel.marks] == [not differences, True]


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
    assert [name.text for name in drawn.names] == ["one", "two", "three"]


def test_an_interval_far_beyond_the_others_is_cut_and_goes_on() -> None:
    vast = Estimate(0.1, (-9.0, 0.3), "vast")
    (panel,) = chart(a={"one": WORSE, "two": vast}).panels
    worse, cut = panel.marks
    assert (worse.goes_on, cut.goes_on) == ((False, False), (True, False))
    assert cut.ends is not None
    assert worse.ends is not None
    assert cut.ends[0] == panel.left
    assert worse.ends[1] - worse.ends[0] > 0.2 * (panel.right - panel.left)


def test_a_long_name_is_cut_and_told_whole() -> None:
    made = interval_chart("dice", "", ["x" * 80], {"a": {"x" * 80: WORSE}}, differences=True)
    assert made is not None
    assert (len(made.names[0].text), made.names[0].whole) == (30, "x" * 80)
    assert made.panels[0].marks[0].title == f"{'x' * 80}: worse"


def test_numbers_that_are_not_finite_are_left_out() -> None:
    (panel,) = chart(a={"one": WORSE, "two": Estimate(math.nan, None, ""), "three": LONE}).panels
    assert len(panel.marks) == 2


def test_nothing_measured_is_no_chart() -> None:
    for panels in ({}, {"a": {"one": Estimate(math.nan, None, "")}}):
        assert interval_chart("dice", "", ["one"], panels, differences=True) is None
