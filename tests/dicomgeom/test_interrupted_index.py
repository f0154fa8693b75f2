"""An index that was interrupted at any moment: the same command ends with the same catalogue."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dicomgeom.catalogue import TABLES, open_catalogue, read_marker, verify_catalogue, write_catalogue
from dicomgeom.errors import HalfWritten, Unreachable, WrongUse
from dicomgeom.index import index
from tests.dicomgeom.test_views import exam
from tests.helpers.catalogues import assert_same_tables
from tests.helpers.real import PROJECT


def test_a_half_written_catalogue_is_finished_by_the_same_command(export: Path, tmp_path: Path) -> None:
    index([export], tmp_path / "catalogue")
    marker = tmp_path / "catalogue" / "catalogue.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"state": "writing"}))
    (tmp_path / "catalogue" / "lines.parquet").unlink()
    assert index([export], tmp_path / "catalogue").read == 24
    assert verify_catalogue(tmp_path / "catalogue") == []


def killed_index(export: Path, target: Path, salt: Path, wait_s: float) -> None:
    """Start an index in another process and kill it after a while."""
    code = (
        "import sys; from pathlib import Path; from dicomgeom.index import index;"
        "from dicomgeom import reading; reading.JOURNAL_S = 0;"
        "print('go', flush=True);"
        "index([Path(sys.argv[1])], Path(sys.argv[2]), salt_file=Path(sys.argv[3]))"
    )
    command = [sys.executable, "-c", code, str(export), str(target), str(salt)]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(wait_s)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_killed_at_any_moment_the_same_command_ends_with_the_same_catalogue(
    tmp_path: Path, salt: Path, kills: int
) -> None:
    export = tmp_path / "export"
    for number in range(4):
        exam(export / str(number), ["SAX", "4CH", "2CH"])
    index([export], tmp_path / "whole", salt_file=salt)
    moments = random.Random(kills)
    for number in range(kills):
        target = tmp_path / f"killed{number}"
        killed_index(export, target, salt, wait_s=moments.uniform(0, 0.5))
        killed_index(export, target, salt, wait_s=moments.uniform(0, 0.2))
        index([export], target, salt_file=salt)
        assert verify_catalogue(target) == []
        assert_same_tables(tmp_path / "whole", target)
        assert not (target / ".journal").exists()


def test_what_an_interrupted_run_has_read_is_not_read_again(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomgeom.reading.BATCH_FILES", (5, 5))

    def interrupt(what: str, *, done: int, total: int | None) -> None:
        if what == "reading headers" and done == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index([export], tmp_path / "catalogue", progress=interrupt)
    with pytest.raises(HalfWritten):
        open_catalogue(tmp_path / "catalogue")
    (export / "0-0").unlink()
    (export / "0-1").write_text("now it is text")
    summary = index([export], tmp_path / "catalogue")
    assert summary.read == 24 - 1 - 15 + 2
    assert summary.files == {"ok": 22, "skipped": 1}
    assert verify_catalogue(tmp_path / "catalogue") == []


def test_what_a_run_killed_behind_its_last_table_leaves_is_swept_up(export: Path, tmp_path: Path) -> None:
    index([export], tmp_path / "catalogue")
    for left in (".journal/0123/4567-89", ".spool-1"):
        (tmp_path / "catalogue" / left).mkdir(parents=True)
    assert index([export], tmp_path / "catalogue").read == 0
    assert not [path.name for path in (tmp_path / "catalogue").iterdir() if path.is_dir()]


def test_a_half_written_journal_is_not_believed(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomgeom.reading.BATCH_FILES", (5, 5))
    monkeypatch.setattr("dicomgeom.reading.JOURNAL_S", 0)

    def interrupt(what: str, *, done: int, total: int | None) -> None:
        if what == "sorting images into stacks" or done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index([export], tmp_path / "catalogue", progress=interrupt)
    parts = sorted(path for path in (tmp_path / "catalogue" / ".journal").glob("*/*"))
    assert len(parts) == 5
    headers = parts[0] / "headers.parquet"
    headers.write_bytes(headers.read_bytes()[:-40])
    (parts[1] / "files.parquet").unlink()
    parts[2].rename(parts[2].with_name(".new-1"))
    summary = index([export], tmp_path / "catalogue")
    assert summary.files == {"ok": 24}
    assert 9 <= summary.read <= 15
    assert verify_catalogue(tmp_path / "catalogue") == []


def test_a_file_that_could_not_be_opened_is_tried_again(export: Path, tmp_path: Path) -> None:
    away = export / "0-0"
    held = away.read_bytes()
    index([export], tmp_path / "catalogue")
    opened = open_catalogue(tmp_path / "catalogue")
    before, tables = opened.files, {name: getattr(opened, name) for name in TABLES}
    tables["files"] = before.with_columns(
        pl.when(pl.col("path") == "0-0").then(pl.lit("cannot-open")).otherwise("reason").alias("reason")
    )
    made_by = read_marker(tmp_path / "catalogue")["made_by"]
    write_catalogue(tmp_path / "catalogue", opened.salt, tables, made_by)
    assert away.read_bytes() == held
    assert index([export], tmp_path / "catalogue").read == 1
    assert open_catalogue(tmp_path / "catalogue").files.equals(before)


@pytest.mark.parametrize("name", ["files", "images", "stacks", "lines"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_catalogue_whose_tables_were_damaged_is_made_anew(
    name: str, damage: str, export: Path, tmp_path: Path
) -> None:
    index([export], tmp_path / "catalogue")
    before = open_catalogue(tmp_path / "catalogue")
    tables = {one: getattr(before, one) for one in TABLES}
    table = tmp_path / "catalogue" / f"{name}.parquet"
    whole = table.read_bytes()
    table.unlink()
    if damage == "truncated":
        table.write_bytes(whole[: len(whole) // 2])
    assert index([export], tmp_path / "catalogue").read == 24
    after = open_catalogue(tmp_path / "catalogue")
    for one, was in tables.items():
        assert was.equals(getattr(after, one)), one
    assert verify_catalogue(tmp_path / "catalogue") == []


@pytest.mark.parametrize(
    ("error", "free"),
    [(pl.exceptions.ComputeError("Invalid thrift"), 0), (OSError(errno.ENOSPC, "No space left"), 1 << 30)],
)
def test_a_full_disk_is_told_in_one_line_and_what_was_read_is_kept(
    error: Exception, free: int, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = tmp_path / "catalogue"

    def fails(folder: Path, *_: Any) -> None:
        (folder / ".new-0").mkdir()
        raise error

    with monkeypatch.context() as full:
        full.setattr("dicomgeom.reading.JOURNAL_S", 0)
        full.setattr("dicomgeom.index.write_catalogue", fails)
        usage = type(shutil.disk_usage(tmp_path))(1 << 40, 1 << 40, free)
        full.setattr("dicomgeom.full_disk.shutil.disk_usage", lambda folder: usage)
        with pytest.raises(Unreachable, match="is full; make room and run the same command again"):
            index([export], catalogue)
    assert not list(catalogue.glob(".new-*"))
    assert index([export], catalogue).read == 0, "the journal had it all"


def test_an_error_that_is_not_of_the_disk_is_no_full_disk(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise pl.exceptions.ComputeError("another mistake")

    monkeypatch.setattr("dicomgeom.index.write_catalogue", fails)
    with pytest.raises(pl.exceptions.ComputeError, match="another mistake"):
        index([export], tmp_path / "catalogue")


def test_a_second_index_of_the_same_catalogue_is_refused_while_one_runs(export: Path, tmp_path: Path) -> None:
    refused = []

    def progress(what: str, *, done: int, total: int | None) -> None:
        if what == "reading headers" and done == 0:
            with pytest.raises(WrongUse, match="another index"):
                index([export], tmp_path / "catalogue")
            refused.append(done)

    index([export], tmp_path / "catalogue", progress=progress)
    assert refused
