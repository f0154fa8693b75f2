"""What a table tells of exams: a tear, an abnormality, present or absent.

Three forms are read:

- a CSV or Parquet table with a column `study_instance_uid` or `patient_id`; every other column in which
  nothing stands but 0, 1, true, false or nothing is a finding of that name;
- the form of MRNet: a CSV without a heading, with an exam and 0 or 1 in each row; the finding is named for
  the file, ``train-acl.csv`` for "acl". Several of these make one table;
- the truth folder of knee phantoms.

Every row has as many cells as its heading, so that no finding is lost or put under another's name. Exams are
looked up by study where the table names studies, else by patient, blanks around either left out; neither gets
into a store. Where tables tell of an exam both ways, what they tell of its patient fills in the findings that
they don't tell of its study.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dicomgeom.errors import NothingUsable, WrongUse
from dicomgeom.privacy import hashed

IDENTITIES: Final = ("study_instance_uid", "patient_id")
"""Columns that say whose row it is; the first that is there counts."""

PHANTOM_FINDINGS: Final = ("abnormality", "acl_tear", "meniscus_tear")
"""MRNet's three, as the truth of phantoms calls them."""

PHANTOM_TABLE: Final = "exams.parquet"
SETS: Final = ("train-", "valid-", "validation-", "test-")
"""What MRNet's files begin with."""

UNKNOWN: Final = -1
NOBODY: Final = b""
"""Stands for the key of rows that name no exam."""

LISTED: Final = 3
"""Rows that are named when many are wrong."""

CODES: Final = {"1": 1, "true": 1, "0": 0, "false": 0, "": UNKNOWN, "nan": UNKNOWN, "none": UNKNOWN}

Row = Mapping[str, str]


@dataclass(frozen=True)
class Matched:
    """How much of some tables tells of a catalogue's exams."""

    exams: int
    """Exams of the tables that are in the catalogue."""
    exams_told_of: int
    """All exams of the tables."""
    rows_without_match: int
    """Rows that tell of no exam in the catalogue."""


@dataclass(frozen=True)
class Findings:
    """Findings of exams.

    Attributes
    ----------
    names : tuple of str
        In the order of the tables.
    of_key : mapping
        Salted key of a study or patient -> 1, 0 or -1 (unknown) for each name.
    rows_of : mapping
        The same key -> how many rows tell of it; `NOBODY` for rows that name no exam.
    """

    names: tuple[str, ...]
    of_key: Mapping[bytes, tuple[int, ...]]
    rows_of: Mapping[bytes, int] = field(default_factory=dict)

    def of(self, study_key: bytes, patient_key: bytes) -> tuple[int, ...]:
        """Of one exam: what is told of its study, else of its patient, else unknown; finding by finding."""
        unknown = (UNKNOWN,) * len(self.names)
        of_study, of_patient = (self.of_key.get(key, unknown) for key in (study_key, patient_key))
        return tuple(
            there if code == UNKNOWN else code for code, there in zip(of_study, of_patient, strict=True)
        )

    def filled_in(self, study_key: bytes, patient_key: bytes) -> bool:
        """Whether an exam has findings of its patient beside those of its study."""
        told = self.of(study_key, patient_key)
        return self.of_key.get(study_key, told) != told

    def matched(self, keys: Collection[bytes]) -> Matched:
        """How much of it tells of exams with these salted keys, of studies and of patients."""
        return Matched(
            exams=sum(key in keys for key in self.of_key),
            exams_told_of=len(self.of_key),
            rows_without_match=sum(rows for key, rows in self.rows_of.items() if key not in keys),
        )

    @property
    def sha256(self) -> str:
        """Hash of what is told, however many rows tell it."""
        content = [self.names, sorted((key.hex(), codes) for key, codes in self.of_key.items())]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read_findings(paths: Sequence[Path], salt: bytes) -> Findings:
    """Read tables of findings.

    Parameters
    ----------
    paths : sequence of Path
        Tables, or truth folders of phantoms.
    salt : bytes
        Of the catalogue.

    Raises
    ------
    WrongUse
        When a table cannot be read, has rows of other lengths than its heading, has no finding, or two
        tables tell different things of an exam.
    """
    told: dict[bytes, dict[str, int]] = {}
    rows_of: Counter[bytes] = Counter()
    names: dict[str, None] = {}
    for path in paths:
        for identity, findings in _told(path):
            names |= dict.fromkeys(findings)
            key = hashed(salt, identity) if identity else NOBODY
            rows_of[key] += 1
            if key == NOBODY:
                continue
            held = told.setdefault(key, {})
            for name, code in findings.items():
                if UNKNOWN not in (code, held.get(name, UNKNOWN)) and held[name] != code:
                    raise WrongUse(f"{path} tells {name} of an exam twice, and not the same; mend the table")
                held[name] = max(code, held.get(name, UNKNOWN))
    return Findings(
        tuple(names),
        {key: tuple(of.get(name, UNKNOWN) for name in names) for key, of in told.items()},
        dict(rows_of),
    )


def of_no_exam(findings: Findings) -> NothingUsable:
    """The error of a table that tells of none of the exams of a build."""
    return NothingUsable(
        f"none of the {len(findings.of_key)} exams in the tables of findings is in the catalogue; "
        f"give their {' or '.join(IDENTITIES)} as the DICOM files have it"
    )


def _told(path: Path) -> Iterable[tuple[str, dict[str, int]]]:
    """Whose each row is, and its findings."""
    if path.is_dir():
        rows = _parquet_rows(path / PHANTOM_TABLE)
        return _by_columns(path / PHANTOM_TABLE, rows, [one for one in PHANTOM_FINDINGS if one in rows[0]])
    if path.suffix == ".parquet":
        return _by_columns(path, _parquet_rows(path), None)
    lines = _csv_lines(path)
    heading = next(iter(lines.values()))
    if set(IDENTITIES) & set(heading):
        return _by_columns(path, _rows_under(path, heading, lines), None)
    return _as_mrnet(path, list(lines.values()))


def _rows_under(path: Path, heading: Sequence[str], lines: Mapping[int, Sequence[str]]) -> list[Row]:
    """The lines below a heading; all must be as long as it."""
    twice = [name for name, count in Counter(heading).items() if count > 1 and name]
    if twice:
        raise WrongUse(f"{path} has several columns called {', '.join(twice)}; give each a name of its own")
    wrong = [number for number, line in lines.items() if len(line) != len(heading)]
    if wrong:
        more = f" and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
        raise WrongUse(
            f"{path}: the heading has {len(heading)} cells, other numbers have line "
            f"{', '.join(f'{one} ({len(lines[one])})' for one in wrong[:LISTED])}{more}; "
            "leave a cell empty for what is not known"
        )
    return [dict(zip(heading, line, strict=True)) for line in list(lines.values())[1:]]


def _by_columns(
    path: Path, rows: Sequence[Row], columns: Sequence[str] | None
) -> list[tuple[str, dict[str, int]]]:
    heading = list(rows[0]) if rows else []
    whose = next((name for name in IDENTITIES if name in heading), None)
    if whose is None:
        raise WrongUse(
            f"{path} has no column {' or '.join(IDENTITIES)}; found {', '.join(heading) or 'none'}"
        )
    if columns is None:
        others = [name for name in heading if name and name not in IDENTITIES]
        columns = [name for name in others if {_word(row[name]) for row in rows} <= CODES.keys()]
    if not columns:
        raise WrongUse(f"{path} has no column of 0 and 1 only; findings are told so")
    return [(row[whose].strip(), {name: CODES[_word(row[name])] for name in columns}) for row in rows]


def _as_mrnet(path: Path, lines: Sequence[Sequence[str]]) -> list[tuple[str, dict[str, int]]]:
    if any(len(line) != 2 or _word(line[1]) not in CODES for line in lines):
        raise WrongUse(
            f"{path} is no table of findings: expected a column {' or '.join(IDENTITIES)}, "
            "or rows of an exam and 0 or 1 without a heading"
        )
    name = next((path.stem.removeprefix(one) for one in SETS if path.stem.startswith(one)), path.stem)
    return [(exam.strip(), {name: CODES[_word(code)]}) for exam, code in lines]


def _word(value: str) -> str:
    return value.strip().lower().removesuffix(".0")


def _csv_lines(path: Path) -> dict[int, list[str]]:
    """The lines in which something stands, by their numbers from 1; blanks around cells are left out."""
    try:
        reader = csv.reader(path.read_text("utf-8-sig").splitlines())
        numbered = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        kind = type(error).__name__
        raise WrongUse(f"{path} cannot be read ({kind}); expected a CSV or Parquet table") from error
    lines = {number: line for number, line in numbered if any(line)}
    if not lines:
        raise WrongUse(f"{path} is empty; expected a table of findings")
    return lines


def _parquet_rows(path: Path) -> list[dict[str, str]]:
    import polars as pl

    try:
        rows: list[dict[str, Any]] = pl.read_parquet(path).to_dicts()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise WrongUse(
            f"{path} cannot be read ({type(error).__name__}); expected a table of findings"
        ) from error
    if not rows:
        raise WrongUse(f"{path} is empty; expected a table of findings")
    return [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
