"""Means and their intervals, a row each, in panels side by side that share their rows and their scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reporting.charts import Tick, range_of, round_numbers

WIDTH = 1000
ROW = 24
TOP, BOTTOM = 26, 26
NAMES = 190
"""Room for the names of the rows, on the left."""

GAP = 18
"""Between two panels."""


@dataclass(frozen=True)
class Estimate:
    """A mean, the ends of its interval where it has one, and how both are told."""

    mean: float
    interval: tuple[float, float] | None
    told: str


@dataclass(frozen=True)
class Mark:
    """An estimate in the chart's units; `sure` when its interval lies on one side of zero."""

    y: float
    x: float
    ends: tuple[float, float] | None
    sure: bool
    told: str


@dataclass(frozen=True)
class Panel:
    """Estimates under one title, between two edges."""

    title: str
    left: float
    right: float
    zero: float | None
    x_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class IntervalChart:
    """What the template draws: names, and panels beside them."""

    title: str
    note: str
    names: tuple[tuple[float, str], ...]
    panels: tuple[Panel, ...]
    height: int
    width: int = WIDTH
    top: int = TOP
    bottom: int = BOTTOM
    names_end: int = NAMES - 12


def interval_chart(
    title: str,
    note: str,
    names: Sequence[str],
    panels: Mapping[str, Mapping[str, Estimate]],
    *,
    differences: bool,
) -> IntervalChart | None:
    """Lay out estimates: title of a panel -> name of a row -> estimate; None when there is none.

    Parameters
    ----------
    names
        All rows, from above; one without an estimate is an empty row.
    differences
        Whether zero means that there is none: it is on the scale then, and drawn.
    """
    reached = [
        number
        for panel in panels.values()
        for one in panel.values()
        for number in (one.mean, *(one.interval or ()))
    ]
    if not reached:
        return None
    low, high = range_of([*reached, 0.0] if differences else reached)
    across = (WIDTH - NAMES - GAP * (len(panels) - 1) - 8) / len(panels)
    rows = {name: TOP + ROW * (number + 0.5) for number, name in enumerate(names)}

    def laid_out(number: int, heading: str, estimates: Mapping[str, Estimate]) -> Panel:
        left = NAMES + number * (across + GAP)

        def place(value: float) -> float:
            return round(left + (value - low) / (high - low) * across, 1)

        marks = tuple(
            Mark(
                y,
                place(one.mean),
                one.interval and (place(one.interval[0]), place(one.interval[1])),
                not differences or one.interval is None or one.interval[0] * one.interval[1] > 0,
                one.told,
            )
            for name, y in rows.items()
            if (one := estimates.get(name)) is not None
        )
        ticks = tuple(Tick(place(value), f"{value:g}") for value in round_numbers(low, high, wanted=4))
        zero = place(0.0) if differences else None
        return Panel(heading, round(left, 1), round(left + across, 1), zero, ticks, marks)

    drawn = tuple(laid_out(number, *panel) for number, panel in enumerate(panels.items()))
    placed = tuple((y, name) for name, y in rows.items())
    return IntervalChart(title, note, placed, drawn, round(TOP + ROW * len(rows) + BOTTOM))
