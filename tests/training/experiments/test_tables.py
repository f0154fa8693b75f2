from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicomgeom.errors import IntegrityError, WrongUse, WrongVersion
from training.checkpoint import write_json
from training.experiments.tables import TABLES_FILE, Entry, Table, WrittenTables, markdown, read_tables


def test_a_table_says_what_has_not_run() -> None:
    done = Entry(0.5, None, (0.4, 0.6), 1, 3, 8, 0.1, (0.05, 0.15))
    table = Table("Title", "dice mean", "scratch", (1, 0), {"scratch": {}, "other": {1: done}})
    text = markdown([table])
    assert "| arm | n = 1 | all subjects |" in text
    assert "| scratch | not run | not run |" in text
    assert "| other | 0.500 [0.400, 0.600]; +0.100 [+0.050, +0.150] (1 of 3 subsets) | not run |" in text


def test_tables_are_read_back_as_they_were_with_the_arms_in_their_order(tmp_path: Path) -> None:
    first = Entry(0.5, None, (0.4, 0.6), 1, 3, 8, 0.1, (0.05, 0.15))
    lone = Entry(0.5, None, None, 1, 3, 1)
    rows = {"scratch": {1: lone, 4: first}, "byol": {}, "app": {1: first}}
    tables = tuple(Table("Title", name, "scratch", (1, 4), rows) for name in ("dice mean", "assd (mm)"))
    written = WrittenTables("mine", "A test.", "small", True, tables)
    write_json(tmp_path / TABLES_FILE, written.as_json())
    found = read_tables(tmp_path)
    assert found == written
    assert [list(table.rows) for table in found.tables] == [["scratch", "byol", "app"]] * 2


def test_tables_that_are_not_there_and_damaged_ones_are_told(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no tables yet"):
        read_tables(tmp_path)
    rows = {"a": {"1": {"mean": None, "interval": None}}}
    table = {"title": "", "measure": "", "reference": "", "columns": [1], "arms": ["a"], "rows": rows}
    whole = {"version": 1, "grid": "", "about": "", "size": "", "shared_pretraining": True}
    for damaged in ("[{", json.dumps({"version": 1}), *(json.dumps({**whole, "tables": one}) for one in (
        [[]], [{**table, "rows": {"a": []}}], [table], [{**table, "arms": ["b"]}],
    ))):  # fmt: skip
        (tmp_path / TABLES_FILE).write_text(damaged)
        with pytest.raises(IntegrityError, match="cannot be read; make the tables again"):
            read_tables(tmp_path)
    for other in ("[]", json.dumps({"version": 99})):
        (tmp_path / TABLES_FILE).write_text(other)
        with pytest.raises(WrongVersion, match="another version; make the tables again"):
            read_tables(tmp_path)
