"""The tables of an experiment, as they are written, read back and spelled for people.

What stands in them is worked out in `averages.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from dicomgeom.errors import IntegrityError, WrongUse

TABLES_FILE: Final = "tables.json"


@dataclass(frozen=True)
class Entry:
    """One entry of a table.

    Attributes
    ----------
    subsets, wanted_subsets
        How many of the subsets have run.
    patients
        Test patients with a value.
    interval
        95 % interval of the mean; None with fewer than two patients.
    difference, difference_interval
        From the reference arm over what both have; None without one.
    """

    mean: float
    sd_over_subsets: float | None
    interval: tuple[float, float] | None
    subsets: int
    wanted_subsets: int
    patients: int
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """As plain numbers and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Entry:
        """Of `as_json`."""
        ends = {
            name: None if written[name] is None else (float(written[name][0]), float(written[name][1]))
            for name in ("interval", "difference_interval")
        }
        return cls(**{**written, **ends})

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
class Table:
    """One measure: arm -> number of subjects -> entry; entries without any finished cell are absent."""

    title: str
    measure: str
    reference: str
    columns: tuple[int, ...]
    rows: dict[str, dict[int, Entry]]

    def spelled(self, arm: str) -> list[str]:
        """The entries of a row as people read them: mean [interval]; difference [interval]."""
        return [_spelled(self.rows[arm].get(n)) for n in self.columns]

    def as_json(self) -> dict[str, Any]:
        """As plain values; numbers of subjects become words."""
        rows = {arm: {str(n): entry.as_json() for n, entry in row.items()} for arm, row in self.rows.items()}
        # JSON is written with its keys sorted: the order of the arms is told apart.
        return {**self.__dict__, "columns": list(self.columns), "arms": list(self.rows), "rows": rows}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Table:
        """Of `as_json`."""
        rows = {
            arm: {int(n): Entry.from_json(entry) for n, entry in written["rows"][arm].items()}
            for arm in written["arms"]
        }
        names = {name: str(written[name]) for name in ("title", "measure", "reference")}
        return cls(**names, columns=tuple(map(int, written["columns"])), rows=rows)


def read_tables(folder: Path) -> list[Table]:
    """The tables of an experiment, as they were last written.

    Raises
    ------
    WrongUse
        When none were written yet.
    IntegrityError
        When they are damaged, or from before arms kept their order.
    """
    path = folder / TABLES_FILE
    if not path.is_file():
        raise WrongUse(f"{folder} has no tables yet; run its experiment, or make them with --only-tables")
    try:
        return [Table.from_json(one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise IntegrityError(f"{path} cannot be read; make the tables again with --only-tables") from error


def markdown(tables: list[Table]) -> str:
    """The tables as people read them: mean [interval], and the difference from the reference below."""
    return "\n\n".join(_markdown(table) for table in tables) + "\n"


def _markdown(table: Table) -> str:
    head = " | ".join(["arm", *(("all subjects" if n == 0 else f"n = {n}") for n in table.columns)])
    lines = [
        f"**{table.title}: {table.measure}**",
        "",
        f"| {head} |",
        "|---" * (len(table.columns) + 1) + "|",
    ]
    lines += [f"| {arm} | {' | '.join(table.spelled(arm))} |" for arm in table.rows]
    return "\n".join(lines)


def _spelled(entry: Entry | None) -> str:
    if entry is None:
        return "not run"
    said = f"{entry.mean:.3f}"
    if entry.interval:
        said += f" [{entry.interval[0]:.3f}, {entry.interval[1]:.3f}]"
    elif entry.sd_over_subsets is not None:
        said += f" (sd {entry.sd_over_subsets:.3f} over {entry.subsets} subsets)"
    if entry.difference is not None:
        said += f"; {entry.spelled_difference}"
    if entry.subsets < entry.wanted_subsets:
        said += f" ({entry.subsets} of {entry.wanted_subsets} subsets)"
    return said
