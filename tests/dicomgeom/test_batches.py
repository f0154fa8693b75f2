"""Batches of files become rows, however they are read."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dicomgeom import batches
from dicomgeom.batches import Rows, header_row, repeated, scan_batch
from dicomgeom.catalogue import FILES, HEADER, schema_of
from dicomgeom.scan import scan
from dicomgeom.sources import FoundFile, list_files
from tests.helpers.dicom_files import axial, uid, write_mr
from tests.helpers.series_files import series

SALT = b"0123456789abcdef"


@pytest.fixture
def files(tmp_path: Path) -> list[FoundFile]:
    """Two series, their files in turns, and two files that are no image."""
    for number in (1, 2):
        for image, content in enumerate(series(40, number=number, private_bytes=256)):
            (tmp_path / f"{image:03}-{number}").write_bytes(content)
    (tmp_path / "notes").write_text("text that is long enough to be looked at")
    write_mr(tmp_path / "zct", axial(), Modality="CT")
    return list(list_files(tmp_path))


def test_the_rows_of_a_batch_are_those_of_its_files_one_by_one(files: list[FoundFile]) -> None:
    rows = scan_batch(files, SALT)
    one_by_one = [header_row(one.found, header, SALT) for one in scan(files) for header in one.headers]
    assert rows.headers.equals(pl.DataFrame(one_by_one, schema=schema_of(HEADER)))
    assert rows.headers["path"].to_list() == [one.path for one in files if "-" in one.path]
    assert rows.files.schema == schema_of(FILES)
    assert rows.files["reason"].to_list() == [""] * 80 + ["not-dicom", "not-mr"]


def test_many_threads_read_what_one_reads(files: list[FoundFile]) -> None:
    one, many = scan_batch(files, SALT, threads=1), scan_batch(files, SALT, threads=8)
    assert one.files.equals(many.files)
    assert one.headers.equals(many.headers)


def test_files_that_are_slow_to_open_are_read_many_at_once(
    files: list[FoundFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_open, waiting, most = os.open, [0], [0]
    lock = threading.Lock()

    def slow(*given: Any, **more: Any) -> int:
        with lock:
            waiting[0] += 1
            most[0] = max(most[0], waiting[0])
        time.sleep(0.01)
        with lock:
            waiting[0] -= 1
        return plain_open(*given, **more)

    monkeypatch.setattr(batches, "SHARE", 4)
    monkeypatch.setattr("dicomgeom.scan.os.open", slow)
    rows = scan_batch(files, SALT)
    assert len(rows.headers) == 80
    assert most[0] > 10


def test_a_batch_of_nothing_has_no_rows_but_all_columns() -> None:
    for rows in (scan_batch([], SALT), Rows.none(), Rows.joined([])):
        assert rows.files.schema == schema_of(FILES)
        assert rows.headers.schema == schema_of(HEADER)
        assert len(rows.files) == len(rows.headers) == 0


def test_texts_that_repeat_are_told_apart_and_keep_their_order() -> None:
    texts = ["one", "", "another", "one", "one"]
    assert repeated(texts).to_list() == texts
    assert repeated([]).to_list() == []


def test_a_patient_without_a_number_is_told_apart_by_study(tmp_path: Path) -> None:
    for study in (1, 2):
        write_mr(tmp_path / str(study), axial(), PatientID=None, StudyInstanceUID=uid(2, study))
    keys = scan_batch(list(list_files(tmp_path)), SALT).headers["patient_key"]
    assert keys.n_unique() == 2
