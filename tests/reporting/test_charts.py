"""Curves and bars: they stand where their numbers say, and odd numbers don't break the page."""

from __future__ import annotations

import math

import pytest

from reporting.charts import HEIGHT, WIDTH, bars, line_chart


def test_a_higher_value_stands_higher_on_the_page() -> None:
    chart = line_chart("loss", "step", {"total": [(0, 4.0), (10, 1.0)]})
    assert chart is not None
    (x1, y1), (x2, y2) = chart.curves[0].dots
    assert x1 < x2
    assert y1 < y2  # SVG counts downward


def test_every_curve_stays_inside_the_chart() -> None:
    series = {"a": [(float(x), math.exp(-x / 3)) for x in range(60)], "b": [(5.0, 40.0), (7.0, 0.001)]}
    chart = line_chart("loss", "step", series)
    assert chart is not None
    for curve in chart.curves:
        for point in curve.path.removeprefix("M").split("L"):
            x, y = map(float, point.split())
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT


def test_values_over_many_decades_get_a_logarithmic_axis() -> None:
    chart = line_chart("loss", "step", {"total": [(0, 1000.0), (10, 1.0), (20, 0.001)]})
    assert chart is not None
    heights = [y for _, y in chart.curves[0].dots]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.2)


def test_numbers_that_are_not_finite_are_left_out() -> None:
    chart = line_chart("loss", "step", {"total": [(0, 1.0), (1, math.nan), (2, math.inf), (3, 0.5)]})
    assert chart is not None
    assert len(chart.curves[0].dots) == 2


@pytest.mark.parametrize("series", [{}, {"total": []}, {"total": [(0.0, math.nan)]}])
def test_nothing_to_draw_is_no_chart(series: dict[str, list[tuple[float, float]]]) -> None:
    assert line_chart("loss", "step", series) is None


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e-12])
def test_one_lone_point_can_be_drawn(value: float) -> None:
    chart = line_chart("loss", "step", {"total": [(7, value)]})
    assert chart is not None
    assert chart.y_ticks


def test_long_curves_keep_their_last_point() -> None:
    points = [(float(x), float(x % 7 + 1)) for x in range(5000)]
    chart = line_chart("loss", "step", {"total": points})
    assert chart is not None
    assert chart.curves[0].path.count("L") <= 400
    assert chart.curves[0].path.split("L")[-1].startswith(f"{WIDTH - 14:.1f}")


def test_bars_are_measured_against_the_largest() -> None:
    assert [bar.share for bar in bars({"a": 4, "b": 1, "c": 0})] == [1.0, 0.25, 0.0]
    assert bars({}) == ()
    assert [bar.share for bar in bars({"a": 0})] == [0.0]
