"""What a page is made of, as plain data: the sources fill it in, the template lays it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from reporting.charts import Bar, LineChart, SpreadChart
from reporting.facets import Facets
from reporting.interval_chart import IntervalChart
from reporting.pictures import Picture
from reporting.space import Space


@dataclass(frozen=True)
class Fact:
    """A number worth a large type, and what it counts."""

    value: str
    name: str


@dataclass(frozen=True)
class Legend:
    """What a colour means."""

    name: str
    colour: str


@dataclass(frozen=True)
class Table:
    """Rows under columns; cells are text. With `facets`, one a row, the rows can be filtered."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    numeric: frozenset[int] = frozenset()
    facets: tuple[Facets, ...] = ()
    note: str = ""
    wide: bool = False
    """Whether it takes the width of the page."""
    folded: bool = False
    """Whether it is opened by its caption."""


@dataclass(frozen=True)
class BarGroup:
    """Counts under a title; `empty` is what to say when there are none."""

    title: str
    bars: tuple[Bar, ...]
    empty: str = ""


@dataclass(frozen=True)
class Strip:
    """Pictures in a row with one sentence over them."""

    title: str
    pictures: tuple[Picture, ...]
    legend: tuple[Legend, ...] = ()
    note: str = ""
    in_half: bool = False
    """Whether two strips may stand beside each other."""

    @property
    def across(self) -> int:
        """How many pictures stand beside each other, so that the last row is nearly full."""
        count = len(self.pictures)
        if self.in_half:
            return min(max(count, 3), 5)
        if count <= 4:
            return max(count, 4)
        return next((width for width in (6, 5) if count % width == 0), 5 if count == 9 else 6)

    @property
    def across_narrow(self) -> int:
        """The same where the window is narrow."""
        return 4 if len(self.pictures) in (4, 7, 8) else 3


@dataclass(frozen=True)
class Evidence:
    """One thing measured about a view, its limit and what followed."""

    what: str
    value: str
    limit: str
    says: str


@dataclass(frozen=True)
class StackRow:
    """One stack of an exam in the catalogue's table."""

    name: str
    view: str
    colour: str
    confidence: float | None
    kind: str
    size: str
    spacing: str
    notes: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    facets: Facets = field(default_factory=Facets)


@dataclass(frozen=True)
class Exam:
    """One exam of a catalogue, or one stack of a store, with its pictures."""

    key: str
    title: str
    patient: str = ""
    stacks: tuple[StackRow, ...] = ()
    strips: tuple[Strip, ...] = ()
    space: Space | None = None
    notes: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """Everything about one source."""

    kind: str
    title: str
    anchor: str
    lead: str
    facts: tuple[Fact, ...] = ()
    bar_groups: tuple[BarGroup, ...] = ()
    charts: tuple[LineChart, ...] = ()
    spreads: tuple[SpreadChart, ...] = ()
    intervals: tuple[IntervalChart, ...] = ()
    tables: tuple[Table, ...] = ()
    strips: tuple[Strip, ...] = ()
    exams: tuple[Exam, ...] = ()
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def pictured(self) -> bool:
        """Whether labels may be drawn over pictures in it."""
        return bool(self.strips or self.exams)

    @property
    def filters(self) -> bool:
        """Whether anything in it can be filtered."""
        pictures = any(one.facets for exam in self.exams for strip in exam.strips for one in strip.pictures)
        stacks = any(exam.stacks for exam in self.exams)
        return pictures or stacks or any(table.facets for table in self.tables)


def counted(number: int, one: str, many: str = "") -> str:
    """Spell a count with its noun: "1 exam", "3 exams"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def short_key(key: str) -> str:
    """Shorten a salted hash to what people can compare: its first ten hexadecimal digits."""
    return key[:10]


def listed(words: Sequence[str]) -> str:
    """Spell a list: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
