"""An experiment for people: what each arm brought, with its uncertainty, as a picture and in numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dicomgeom.errors import IntegrityError
from dicomgeom.folder_marks import EXPERIMENT_MARK
from reporting.interval_chart import Estimate, IntervalChart, interval_chart
from reporting.sections import Fact, Section, counted
from reporting.sections import Table as Shown
from reporting.told import told
from training.experiments.tables import Entry, Table, read_tables


def experiment_section(folder: Path, anchor: str) -> Section:
    """Gather what the page says about an experiment: the tables that were last written.

    Raises
    ------
    WrongUse
        When it has no tables yet.
    IntegrityError
        When its files are damaged.
    """
    grid, size = _described(folder)
    tables = read_tables(folder)
    heads = [table for number, table in enumerate(tables) if _is_first(number, tables)]
    return Section(
        kind="experiment",
        title=f"Experiment {told(grid['name'])} ({told(size)})",
        anchor=anchor,
        lead=told(grid.get("about") or ""),
        facts=tuple(_facts(tables)),
        intervals=tuple(filter(None, map(_chart, heads))),
        tables=tuple(_shown(table, folded=table not in heads) for table in tables),
        notes=tuple(_notes(tables)),
    )


def _described(folder: Path) -> tuple[Mapping[str, Any], str]:
    path = folder / EXPERIMENT_MARK
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"name": found["grid"]["name"], "about": found["grid"].get("about")}, str(found["size"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{path} is damaged; run the experiment again into the same folder") from error


def _is_first(number: int, tables: Sequence[Table]) -> bool:
    """Whether a table is the first of its title: the others are parts of it, told in numbers only."""
    return tables[number].title not in [table.title for table in tables[:number]]


def _entries(tables: Sequence[Table]) -> Iterator[tuple[int, Entry]]:
    for table in tables:
        for row in table.rows.values():
            yield from row.items()


def _facts(tables: Sequence[Table]) -> Iterator[Fact]:
    arms = dict.fromkeys(arm for table in tables for arm in table.rows)
    yield Fact(f"{len(arms)}", "arms")
    patients = max((entry.patients for _, entry in _entries(tables)), default=0)
    if patients > 1:
        yield Fact(f"{patients}", "test patients")
    for subjects in dict.fromkeys(n for table in tables for n in table.columns):
        run = [
            row[subjects].subsets if subjects in row else 0 for table in tables for row in table.rows.values()
        ]
        wanted = max((entry.wanted_subsets for n, entry in _entries(tables) if n == subjects), default=0)
        if wanted:
            yield Fact(f"{min(run)} of {wanted}", f"subsets of {_people(subjects)}, in every arm")


def _people(subjects: int) -> str:
    return counted(subjects, "subject") if subjects else "all subjects"


def _notes(tables: Sequence[Table]) -> Iterator[str]:
    missing = any(len(row) < len(table.columns) for table in tables for row in table.rows.values())
    if missing or any(entry.subsets < entry.wanted_subsets for _, entry in _entries(tables)):
        yield (
            "Not all of it has run: entries rest on the subsets that had when the tables were made. "
            "The same experiment command goes on."
        )
    if any(entry.subsets == 1 < entry.wanted_subsets for _, entry in _entries(tables)):
        yield (
            "Where one subset has run, an interval tells how test patients differ, "
            "not how other training subjects would."
        )


def _chart(table: Table) -> IntervalChart | None:
    """Differences from the reference arm, or means where there is none."""
    differences = any(entry.difference is not None for row in table.rows.values() for entry in row.values())
    names = [arm for arm in table.rows if not differences or arm != table.reference]
    panels: dict[str, dict[str, Estimate]] = {}
    for subjects in table.columns:
        rows = {arm: table.rows[arm][subjects] for arm in names if subjects in table.rows[arm]}
        estimates = {told(arm): _estimate(entry, differences) for arm, entry in rows.items()}
        some = {arm: one for arm, one in estimates.items() if one is not None}
        if some:
            panels[_people(subjects)] = some
    if differences:
        title = f"{told(table.measure)}: difference from {told(table.reference)}"
        note = "95 % interval, taken patient by patient and subset by subset; grey where it holds 0"
    else:
        title, note = told(table.measure), "mean and 95 % interval"
    heading = f"{told(table.title)}, {title}" if table.title else title
    return interval_chart(heading, note, list(map(told, names)), panels, differences=differences)


def _estimate(entry: Entry, difference: bool) -> Estimate | None:
    subsets = f"{entry.subsets} of {entry.wanted_subsets} subsets"
    if not difference:
        return Estimate(entry.mean, entry.interval, f"{entry.mean:.3f}, {subsets}")
    if entry.difference is None:
        return None
    return Estimate(entry.difference, entry.difference_interval, f"{entry.spelled_difference}, {subsets}")


def _shown(table: Table, *, folded: bool) -> Shown:
    return Shown(
        ("arm", *(_people(subjects) for subjects in table.columns)),
        tuple((told(arm), *table.spelled(arm)) for arm in table.rows),
        caption=f"{told(table.title)}: {told(table.measure)}",
        note="mean [95 % interval]" + (f"; difference from {told(table.reference)}" * bool(table.reference)),
        wide=True,
        folded=folded,
    )
