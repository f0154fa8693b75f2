"""Curves and bars as vectors in the page: they take the page's colours, light or dark, and print sharp."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reporting import colours

WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 14, 34
"""Margins for the numbers on the axes, in the chart's units."""


SPREAD_ROW = 30
"""Height of a row of a spread chart."""


@dataclass(frozen=True)
class Tick:
    """A number on an axis and where it stands."""

    at: float
    text: str


@dataclass(frozen=True)
class Curve:
    """One series, already in the chart's units, as an SVG path."""

    name: str
    colour: str
    path: str
    dashed: bool
    last: str
    dots: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class LineChart:
    """What the template draws: axes with ticks and curves."""

    title: str
    x_name: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class Bar:
    """One bar; `share` is its length from 0 to 1."""

    name: str
    count: int
    share: float
    colour: str = ""


@dataclass(frozen=True)
class Spread:
    """One row of a spread chart: values as dots, their mean as a stroke; heights in the chart's units."""

    name: str
    colour: str
    y: float
    dots: tuple[float, ...]
    mean: float
    told: str


@dataclass(frozen=True)
class SpreadChart:
    """One measure of several runs over the same patients."""

    title: str
    rows: tuple[Spread, ...]
    x_ticks: tuple[Tick, ...]
    height: int
    width: int = WIDTH
    left: int = LEFT
    right: int = WIDTH - RIGHT


Points = Sequence[tuple[float, float]]


def line_chart(
    title: str, x_name: str, series: Mapping[str, Points], *, dashed: frozenset[str] = frozenset()
) -> LineChart | None:
    """Lay out curves of (x, y) points; logarithmic where the values span more than two decades.

    Points that are not finite leave a gap; None when nothing is left to draw.
    """
    finite = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for name, points in series.items()
    }
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return None
    xs = [x for points in finite.values() for x, _ in points]
    ys = [y for points in finite.values() for _, y in points]
    logarithmic = min(ys) > 0 and max(ys) / min(ys) > 100
    x_low, x_high = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1
    y_low, y_high = range_of(ys, logarithmic=logarithmic)

    def place(x: float, y: float) -> tuple[float, float]:
        height = math.log10(y) if logarithmic else y
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        up = (height - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(HEIGHT - BOTTOM - up, 1)

    curves = []
    for number, (name, points) in enumerate(finite.items()):
        placed = [place(x, y) for x, y in _thinned(points)]
        path = "M" + "L".join(f"{x} {y}" for x, y in placed)
        dots = tuple(placed) if len(placed) <= 12 else ()
        colour = colours.SERIES[number % len(colours.SERIES)]
        curves.append(Curve(name, colour, path, name in dashed, f"{points[-1][1]:.4g}", dots))
    x_ticks = tuple(
        Tick(place(x, 10**y_low if logarithmic else y_low)[0], f"{x:g}") for x in round_numbers(x_low, x_high)
    )
    y_ticks = tuple(
        Tick(place(x_low, 10**y if logarithmic else y)[1], f"{10**y if logarithmic else y:.3g}")
        for y in round_numbers(y_low, y_high)
    )
    return LineChart(title, x_name, tuple(curves), x_ticks, y_ticks)


def spread_chart(title: str, values: Mapping[str, Sequence[float]]) -> SpreadChart | None:
    """Lay out values of each name on a row of its own; None when nothing finite is left to draw."""
    finite = {name: [one for one in some if math.isfinite(one)] for name, some in values.items()}
    everything = [one for some in finite.values() for one in some]
    if not everything:
        return None
    low, high = range_of(everything)
    if min(everything) >= 0 and max(everything) <= 1 < high:
        high = 1.0  # shares of a whole end there

    def place(value: float) -> float:
        return round(LEFT + (value - low) / ((high - low) or 1.0) * (WIDTH - LEFT - RIGHT), 1)

    rows = []
    for number, (name, some) in enumerate(finite.items()):
        mean = sum(some) / len(some) if some else math.nan
        rows.append(
            Spread(
                name,
                colours.SERIES[number % len(colours.SERIES)],
                TOP + SPREAD_ROW * (number + 0.5),
                tuple(place(one) for one in some),
                place(mean) if some else math.nan,
                f"mean {mean:.4g} of {len(some)}" if some else "no value",
            )
        )
    ticks = tuple(Tick(place(value), f"{value:g}") for value in round_numbers(low, high))
    return SpreadChart(title, tuple(rows), ticks, round(TOP + SPREAD_ROW * len(rows) + BOTTOM))


def bars(counts: Mapping[str, int], shades: Mapping[str, str] | None = None) -> tuple[Bar, ...]:
    """Lay out counts as bars against the largest."""
    most = max(counts.values(), default=0)
    return tuple(
        Bar(name, count, count / most if most else 0.0, (shades or {}).get(name, ""))
        for name, count in counts.items()
    )


def range_of(values: Sequence[float], *, logarithmic: bool = False) -> tuple[float, float]:
    """The two ends of an axis for these values, in decades where it is logarithmic."""
    low, high = min(values), max(values)
    if logarithmic:
        return math.log10(low), math.log10(high)
    low = min(low, 0.0) if low < 0.5 * high else low
    pad = 0.05 * (high - low) or max(abs(high), 1.0) * 0.1
    return (low if low == 0 else low - pad), high + pad


def round_numbers(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers between two ends, about `wanted` of them."""
    raw = (high - low) / wanted
    decade = 10.0 ** math.floor(math.log10(raw))
    step = next(decade * nice for nice in (1, 2, 2.5, 5, 10) if decade * nice >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step + 0.0 for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _thinned(points: Points, most: int = 400) -> Points:
    """Keep a long curve drawable: every n-th point, and the last."""
    stride = -(-len(points) // most)
    return [*points[:-1:stride], points[-1]]
