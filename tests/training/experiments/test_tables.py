from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicomgeom.errors import IntegrityError, WrongUse, WrongVersion
from training.checkpoint import write_json
from training.experiments.tables import (
    TABLES_FILE,
    TABLES_VERSION,
    Entry,
    Ran,
    Table,
    WrittenTables,
    markdown,
    read_tables,
)


def test_a_table_says_what_has_not_run() -> None:
    done = Entry(0.5, None, (0.4, 0.6), 1, 3, 8, 0.1, (0.05, 0.15), 1)
    ran = {"scratch": {1: Ran(0, 3), 0: Ran(0, 1)}, "other": {1: Ran(1, 3), 0: Ran(0, 1)}}
    table = Table("Title", "dice mean", "scratch", (1, 0), {"scratch": {}, "other": {1: done}}, ran)
    text = markdown([table])
    assert "| arm | n = 1 | all subjects |" in text
    assert "| scratch | not run | not run |" in text
    assert "| other | 0.500 [0.400, 0.600]; +0.100 [+0.050, +0.150] (1 of 3 subsets) | not run |" in text


def test_an_arm_that_has_run_and_has_no_such_measure_is_not_called_not_run() -> None:
    table = Table("Title", "hd95 mean (mm)", "", (1, 4), {"a": {}}, {"a": {1: Ran(3, 3), 4: Ran(1, 3)}})
    assert table.spelled("a") == ["no such measure", "no such measure (1 of 3 subsets)"]


@pytest.mark.parametrize(
    ("subsets", "shared", "said"),
    [
        (3, 3, "0.500 [0.400, 0.600]; +0.100 [+0.050, +0.150]"),
        (2, 2, "0.500 [0.400, 0.600]; +0.100 [+0.050, +0.150] (2 of 3 subsets)"),
        (3, 1, "0.500 [0.400, 0.600]; +0.100 [+0.050, +0.150] over 1 shared subset"),
        (3, 2, "0.500 [0.400, 0.600]; +0.100 [+0.050, +0.150] over 2 shared subsets"),
        (2, 1, "0.500 [0.400, 0.600] (2 of 3 subsets); +0.100 [+0.050, +0.150] over 1 shared subset"),
    ],
)
def test_a_difference_that_rests_on_fewer_subsets_than_its_arm_says_so(
    subsets: int, shared: int, said: str
) -> None:
    entry = Entry(0.5, None, (0.4, 0.6), subsets, 3, 8, 0.1, (0.05, 0.15), shared)
    table = Table("Title", "dice mean", "b", (1,), {"a": {1: entry}}, {"a": {1: Ran(subsets, 3)}})
    assert table.spelled("a") == [said]


def test_tables_are_read_back_as_they_were_with_the_arms_in_their_order(tmp_path: Path) -> None:
    first = Entry(0.5, None, (0.4, 0.6), 1, 3, 8, 0.1, (0.05, 0.15), 1)
    lone = Entry(0.5, None, None, 1, 3, 1)
    rows = {"scratch": {1: lone, 4: first}, "byol": {}, "app": {1: first}}
    ran = {arm: {1: Ran(1, 3), 4: Ran(0, 3)} for arm in rows}
    tables = tuple(Table("Title", name, "scratch", (1, 4), rows, ran) for name in ("dice mean", "assd (mm)"))
    written = WrittenTables("mine", "A test.", "small", True, tables)
    write_json(tmp_path / TABLES_FILE, written.as_json())
    found = read_tables(tmp_path)
    assert found == written
    assert [list(table.rows) for table in found.tables] == [["scratch", "byol", "app"]] * 2


def test_tables_that_are_not_there_and_damaged_ones_are_told(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no tables yet"):
        read_tables(tmp_path)
    rows = {"a": {"1": {"mean": None, "interval": None}}}
    table = {
        "title": "",
        "measure": "",
        "reference": "",
        "columns": [1],
        "arms": ["a"],
        "rows": rows,
        "ran": {},
    }
    version = {"version": TABLES_VERSION}
    whole = {**version, "grid": "", "about": "", "size": "", "shared_pretraining": True}
    for damaged in ("[{", json.dumps(version), *(json.dumps({**whole, "tables": one}) for one in (
        [[]], [{**table, "rows": {"a": []}}], [table], [{**table, "arms": ["b"]}],
    ))):  # fmt: skip
        (tmp_path / TABLES_FILE).write_text(damaged)
        with pytest.raises(IntegrityError, match="cannot be read; make the tables again"):
            read_tables(tmp_path)
    for other in ("[]", json.dumps({"version": 1}), json.dumps({"version": 99})):
        (tmp_path / TABLES_FILE).write_text(other)
        with pytest.raises(WrongVersion, match="another version; make the tables again"):
            read_tables(tmp_path)
