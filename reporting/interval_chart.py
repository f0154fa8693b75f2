"""Means and their intervals, a row each, in panels side by side that share their rows and their scale."""

from __future__ import annotations

import math
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

BEYOND = 0.6
"""How far intervals stretch the scale on either side of the means, in parts of what these span: the interval
of two subsets may be fifty times as wide as that of the next row."""

NAME_CHARACTERS = 30
"""Longer names are cut; a title tells them whole."""


@dataclass(frozen=True)
class Estimate:
    """A mean, the ends of its interval where it has one, and how both are spelled."""

    mean: float
    interval: tuple[float, float] | None
    spelled: str
    one_of_several: bool = False
    """Whether it rests on one subset of several: its interval says nothing of the others."""

    @property
    def numbers(self) -> tuple[float, ...]:
        """All of them."""
        return (self.mean, *(self.interval or ()))


@dataclass(frozen=True)
class Name:
    """Of a row: as it is written, and whole."""

    y: float
    text: str
    whole: str


@dataclass(frozen=True)
class Mark:
    """An estimate in the chart's units.

    It is `sure` when it has an interval; a difference when that does not hold zero, and would not rest on
    one of several subsets.
    """

    y: float
    x: float
    ends: tuple[float, float] | None
    goes_on: tuple[bool, bool]
    """Whether the interval reaches beyond the scale, to the left and to the right."""
    sure: bool
    title: str


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
    names: tuple[Name, ...]
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
    """Lay out estimates: title of a panel -> name of a row -> estimate; None when nothing finite is there.

    Parameters
    ----------
    names
        All rows, from above; one without an estimate is an empty row.
    differences
        Whether zero means that there is none: it is on the scale then, and drawn.
    """
    finite = {
        heading: {name: one for name, one in some.items() if all(map(math.isfinite, one.numbers))}
        for heading, some in panels.items()
    }
    estimates = [one for some in finite.values() for one in some.values()]
    if not estimates:
        return None
    low, high = _scale(estimates, differences)
    across = (WIDTH - NAMES - GAP * (len(finite) - 1) - 8) / len(finite)
    rows = {name: TOP + ROW * (number + 0.5) for number, name in enumerate(names)}

    def laid_out(number: int, heading: str, estimates: Mapping[str, Estimate]) -> Panel:
        left = NAMES + number * (across + GAP)

        def place(value: float) -> float:
            return round(left + (value - low) / (high - low) * across, 1)

        marks = tuple(
            Mark(
                y,
                place(one.mean),
                one.interval and (place(max(one.interval[0], low)), place(min(one.interval[1], high))),
                (min(one.numbers) < low, max(one.numbers) > high),
                _is_sure_difference(one) if differences else one.interval is not None,
                f"{name}: {one.spelled}",
            )
            for name, y in rows.items()
            if (one := estimates.get(name)) is not None
        )
        ticks = tuple(Tick(place(value), f"{value:g}") for value in round_numbers(low, high))
        zero = place(0.0) if differences else None
        return Panel(heading, round(left, 1), round(left + across, 1), zero, ticks, marks)

    drawn = tuple(laid_out(number, *panel) for number, panel in enumerate(finite.items()))
    placed = tuple(Name(y, _cut(name), name) for name, y in rows.items())
    return IntervalChart(title, note, placed, drawn, round(TOP + ROW * len(rows) + BOTTOM))


def _is_sure_difference(one: Estimate) -> bool:
    return one.interval is not None and one.interval[0] * one.interval[1] > 0 and not one.one_of_several


def _scale(estimates: Sequence[Estimate], differences: bool) -> tuple[float, float]:
    """The ends of the axis: all means, and of their intervals what is not far beyond them."""
    means = [one.mean for one in estimates] + [0.0] * differences
    beyond = BEYOND * (max(means) - min(means)) or math.inf  # one mean alone gives no measure
    least, most = min(means) - beyond, max(means) + beyond
    return range_of([*means, *(min(max(number, least), most) for one in estimates for number in one.numbers)])


def _cut(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else name[: NAME_CHARACTERS - 1] + "…"
