"""What a page is made of, as plain data: the sources fill it in, the template lays it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from reporting.charts import Bar, LineChart
from reporting.pictures import Picture


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
    """Rows under columns; cells are text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    numeric: frozenset[int] = frozenset()


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


@dataclass(frozen=True)
class Exam:
    """One exam of a catalogue, or one stack of a store, with its pictures."""

    key: str
    title: str
    stacks: tuple[StackRow, ...] = ()
    strips: tuple[Strip, ...] = ()


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
    tables: tuple[Table, ...] = ()
    strips: tuple[Strip, ...] = ()
    exams: tuple[Exam, ...] = ()
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


def counted(number: int, one: str, many: str = "") -> str:
    """Spell a count with its noun: "1 exam", "3 exams"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
