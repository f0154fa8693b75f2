"""An experiment for people: what each arm brought, with its uncertainty, as a picture and in numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from reporting.interval_chart import Estimate, IntervalChart, interval_chart
from reporting.sections import Fact, Section, counted
from reporting.sections import Table as Shown
from reporting.told import told
from training.experiments.tables import Entry, Ran, Table, WrittenTables, read_tables

PANELS = 6
"""Numbers of subjects beside one another; more get a chart of their own below."""

ERRORS = ("mse", "mae", "assd", "hd95", "contour distance", "line angle", "line offset")
"""How the names of measures begin of which less is better."""


def experiment_section(folder: Path, anchor: str) -> Section:
    """Gather what the page says about an experiment: the tables that were last written.

    Of several measures over the same arms the first is drawn, and all are told in numbers.

    Raises
    ------
    WrongUse
        When it has no tables yet.
    IntegrityError, WrongVersion
        When they are damaged, or of another version.
    """
    written = read_tables(folder)
    tables = written.tables
    heads = [number for number in range(len(tables)) if _is_first(number, tables)]
    return Section(
        kind="experiment",
        title=f"Experiment {told(written.grid)} ({told(written.size)})",
        anchor=anchor,
        lead=told(written.about),
        facts=tuple(_facts(tables)),
        intervals=tuple(chart for number in heads for chart in _charts(tables[number])),
        tables=tuple(_shown(table, folded=number not in heads) for number, table in enumerate(tables)),
        notes=tuple(_notes(written)),
    )


def _is_first(number: int, tables: Sequence[Table]) -> bool:
    """Whether no table before it has its title and its arms."""
    table = tables[number]
    return not any(one.title == table.title and [*one.rows] == [*table.rows] for one in tables[:number])


def _entries(tables: Sequence[Table]) -> Iterator[tuple[int, Entry]]:
    for table in tables:
        for row in table.rows.values():
            yield from row.items()


def _ran(tables: Sequence[Table]) -> Iterator[tuple[int, Ran]]:
    for table in tables:
        for row in table.ran.values():
            yield from row.items()


def _facts(tables: Sequence[Table]) -> Iterator[Fact]:
    arms = dict.fromkeys(arm for table in tables for arm in table.rows)
    yield Fact(f"{len(arms)}", "arms")
    patients = max((entry.patients for _, entry in _entries(tables)), default=0)
    if patients > 1:
        yield Fact(f"{patients}", "test patients")
    for subjects in dict.fromkeys(n for table in tables for n in table.columns):
        ran = [one for n, one in _ran(tables) if n == subjects]
        if ran:
            done, wanted = min(one.subsets for one in ran), max(one.wanted for one in ran)
            yield Fact(f"{done} of {wanted}", f"subsets of {_people(subjects)}, in every arm")


def _people(subjects: int) -> str:
    return counted(subjects, "subject") if subjects else "all subjects"


def _notes(written: WrittenTables) -> Iterator[str]:
    tables = written.tables
    if any(ran.subsets < ran.wanted for _, ran in _ran(tables)):
        yield (
            "When these tables were made not all subsets had run: entries say on how many they rest, "
            "differences on how many of both arms. The same experiment command goes on with what is left."
        )
    if any(map(_lacks_a_measure, tables)):
        yield (
            "Some arms have run and have no such measure (distances are in mm only where the spacing of "
            "images is known, else in voxels): running them again brings none."
        )
    if any(_of_one_subset(entry) for _, entry in _entries(tables)):
        yield (
            "Where a mean or a difference rests on one subset, its interval tells how test patients differ, "
            "not how other training subjects would."
        )
    if written.shared_pretraining:
        yield "One pretraining serves all subsets: no interval says how another one would have come out."


def _lacks_a_measure(table: Table) -> bool:
    """Whether an arm has run on a subset that has no value here."""
    return any(
        ran.subsets > (table.rows[arm][n].subsets if n in table.rows[arm] else 0)
        for arm in table.rows
        for n, ran in table.ran.get(arm, {}).items()
    )


def _of_one_subset(entry: Entry) -> bool:
    """Whether an interval, of the mean or of the difference, is that of the patients alone."""
    mean = entry.subsets == 1 and entry.interval is not None
    return mean or (entry.shared_subsets == 1 and entry.difference_interval is not None)


def _charts(table: Table) -> Iterator[IntervalChart]:
    """Differences from the reference arm, or means where there is none."""
    differences = any(entry.difference is not None for row in table.rows.values() for entry in row.values())
    names = [arm for arm in table.rows if not differences or arm != table.reference]
    panels: dict[int, dict[str, Estimate]] = {}
    for subjects in table.columns:
        rows = {arm: table.rows[arm][subjects] for arm in names if subjects in table.rows[arm]}
        estimates = {told(arm): _estimate(entry, differences) for arm, entry in rows.items()}
        some = {arm: one for arm, one in estimates.items() if one is not None}
        if some:
            panels[subjects] = some
    what = told(table.measure) + (f": difference from {told(table.reference)}" if differences else "")
    title = ", ".join(filter(None, (told(table.title), what)))
    for start in range(0, len(panels), PANELS):
        part = {_people(subjects): panels[subjects] for subjects in list(panels)[start : start + PANELS]}
        note = _note(table.measure, part.values(), differences)
        chart = interval_chart(title, note, list(map(told, names)), part, differences=differences)
        if chart is not None:
            yield chart


def _note(measure: str, panels: Iterable[dict[str, Estimate]], differences: bool) -> str:
    if not any(one.interval for panel in panels for one in panel.values()):
        said = "one number a subset for all patients: no interval"
    elif differences:
        said = (
            "95 % interval, taken patient by patient and subset by subset; grey where it holds 0 or rests "
            "on one of several subsets, an arrow where it goes on"
        )
    else:
        said = "mean and 95 % interval"
    return said + ("; less is better" if measure.startswith(ERRORS) else "")


def _estimate(entry: Entry, difference: bool) -> Estimate | None:
    wanted = counted(entry.wanted_subsets, "subset")
    if not difference:
        return Estimate(entry.mean, entry.interval, f"{entry.spelled_mean}, {entry.subsets} of {wanted}")
    if entry.difference is None:
        return None
    shared = entry.shared_subsets
    said = f"{entry.spelled_difference}, {shared} of {wanted}"
    return Estimate(
        entry.difference, entry.difference_interval, said, one_of_several=shared == 1 < entry.wanted_subsets
    )


def _shown(table: Table, *, folded: bool) -> Shown:
    difference = f"; difference from {told(table.reference)}" if table.reference else ""
    return Shown(
        ("arm", *(_people(subjects) for subjects in table.columns)),
        tuple((told(arm), *table.spelled(arm)) for arm in table.rows),
        caption=": ".join(filter(None, (told(table.title), told(table.measure)))),
        note=f"mean [95 % interval]{difference}",
        wide=True,
        folded=folded,
    )
