"""The tables of an experiment, as they are written, read back and spelled for people.

What stands in them is worked out in `averages.py`. ``tables.json``::

    format, version       "anatprep-tables", 2
    grid, about, size     of which experiment they are; one folder may serve several
    shared_pretraining    whether one pretraining stands behind all subsets of an arm
    tables                title, measure, reference, columns, arms in their order, rows; ran: on how many
                          subsets each arm has run, whether or not it has this measure
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from dicomgeom.errors import IntegrityError, WrongUse, WrongVersion

TABLES_FILE: Final = "tables.json"
TABLES_FORMAT: Final = "anatprep-tables"
TABLES_VERSION: Final = 2


@dataclass(frozen=True)
class Entry:
    """One entry of a table.

    Attributes
    ----------
    subsets, wanted_subsets
        How many of the subsets have run and have this measure.
    patients
        Test patients with a value.
    interval
        95 % interval of the mean; None with fewer than two patients.
    difference, difference_interval
        From the reference arm over what both have; None without one.
    shared_subsets
        How many subsets the difference rests on.
    """

    mean: float
    sd_over_subsets: float | None
    interval: tuple[float, float] | None
    subsets: int
    wanted_subsets: int
    patients: int
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    shared_subsets: int = 0

    def as_json(self) -> dict[str, Any]:
        """As plain numbers and lists."""
        return asdict(self)

    @property
    def spelled_mean(self) -> str:
        """The mean and its interval, or how subsets scatter where all patients are one number."""
        if self.interval is not None:
            return f"{self.mean:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"
        if self.sd_over_subsets is not None:
            return f"{self.mean:.3f} (sd {self.sd_over_subsets:.3f} over {self.subsets} subsets)"
        return f"{self.mean:.3f}"

    @property
    def spelled_difference(self) -> str:
        """The difference from the reference arm and its interval; empty without one."""
        if self.difference is None:
            return ""
        if self.difference_interval is None:
            return f"{self.difference:+.3f}"
        low, high = self.difference_interval
        return f"{self.difference:+.3f} [{low:+.3f}, {high:+.3f}]"


@dataclass(frozen=True)
class Ran:
    """On how many subsets an arm has run, and on how many it has to."""

    subsets: int
    wanted: int


@dataclass(frozen=True)
class Table:
    """One measure: arm -> number of subjects -> entry; those without any value are absent.

    `ran` tells why: arm -> number of subjects -> what has run, of the reference arm, too.
    """

    title: str
    measure: str
    reference: str
    columns: tuple[int, ...]
    rows: dict[str, dict[int, Entry]]
    ran: dict[str, dict[int, Ran]]

    @property
    def heads(self) -> tuple[str, ...]:
        """What stands above the columns."""
        return ("arm", *(f"n = {n}" if n else "all subjects" for n in self.columns))

    def spelled(self, arm: str) -> list[str]:
        """The entries of a row as people read them: mean [interval]; difference [interval]."""
        row, ran = self.rows[arm], self.ran.get(arm, {})
        return [_spelled(row[n]) if n in row else _spelled_without(ran.get(n)) for n in self.columns]

    def as_json(self) -> dict[str, Any]:
        """As plain values; numbers of subjects become words."""
        rows = {arm: {str(n): entry.as_json() for n, entry in row.items()} for arm, row in self.rows.items()}
        ran = {arm: {str(n): asdict(one) for n, one in row.items()} for arm, row in self.ran.items()}
        # JSON is written with its keys sorted: the order of the arms is told apart.
        apart = {"columns": list(self.columns), "arms": list(self.rows), "rows": rows, "ran": ran}
        return {**self.__dict__, **apart}


@dataclass(frozen=True)
class WrittenTables:
    """The tables of an experiment, and of which one they are."""

    grid: str
    about: str
    size: str
    shared_pretraining: bool
    tables: tuple[Table, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        tables = [table.as_json() for table in self.tables]
        return {"format": TABLES_FORMAT, "version": TABLES_VERSION, **self.__dict__, "tables": tables}


def read_tables(folder: Path) -> WrittenTables:
    """The tables of an experiment, as they were last written.

    Raises
    ------
    WrongUse
        When none were written yet.
    IntegrityError
        When they are damaged, or WrongVersion for those of another version.
    """
    path = folder / TABLES_FILE
    if not path.is_file():
        raise WrongUse(f"{folder} has no tables yet; run its experiment, or make them with --only-tables")
    again = "make the tables again: the same experiment command with --only-tables"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version = found["version"] if isinstance(found, dict) else None
        if version == TABLES_VERSION:
            tables = list(map(_arms_in_order, found["tables"]))
            return TypeAdapter(WrittenTables).validate_python({**found, "tables": tables})
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise IntegrityError(f"{path} cannot be read; {again}") from error
    raise WrongVersion(f"{path} is of another version; {again}")


def _arms_in_order(table: Mapping[str, Any]) -> dict[str, Any]:
    return {**table, "rows": {arm: table["rows"][arm] for arm in table["arms"]}}


def markdown(tables: Sequence[Table]) -> str:
    """The tables as people read them: mean [interval], and the difference from the reference below."""
    return "\n\n".join(_markdown(table) for table in tables) + "\n"


def _markdown(table: Table) -> str:
    lines = [
        f"**{table.title}: {table.measure}**",
        "",
        f"| {' | '.join(table.heads)} |",
        "|---" * len(table.heads) + "|",
    ]
    lines += [f"| {arm} | {' | '.join(table.spelled(arm))} |" for arm in table.rows]
    return "\n".join(lines)


def _spelled(entry: Entry) -> str:
    own = _in_part(entry.subsets, entry.wanted_subsets)
    if entry.difference is None:
        return entry.spelled_mean + own
    if entry.shared_subsets == entry.subsets:
        return f"{entry.spelled_mean}; {entry.spelled_difference}{own}"
    shared = "1 shared subset" if entry.shared_subsets == 1 else f"{entry.shared_subsets} shared subsets"
    return f"{entry.spelled_mean}{own}; {entry.spelled_difference} over {shared}"


def _spelled_without(ran: Ran | None) -> str:
    """What stands where no value is."""
    if ran is None or not ran.subsets:
        return "not run"
    return "no such measure" + _in_part(ran.subsets, ran.wanted)


def _in_part(subsets: int, wanted: int) -> str:
    return f" ({subsets} of {wanted} subsets)" if subsets < wanted else ""
