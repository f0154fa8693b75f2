"""A word planted in every text of an exam is found nowhere but where the catalogue keeps text on purpose."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from cli.main import run
from dicomgeom.catalogue import TABLES, open_catalogue
from tests.helpers.dicom_files import axial, mr_dataset
from tests.helpers.series_files import SYNTAXES, encoded

CANARY = "Zyxwvut"
TEXT = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT")
KEPT = {"series_description", "protocol_name", "manufacturer"}
"""Columns that hold text of people on purpose (see the HEADER columns in `catalogue.py`)."""

NAMED = ("SpecificCharacterSet", "PixelData")


def planted(phase: int) -> Dataset:
    """An image whose every text element, nested and private ones too, holds the word."""
    dataset = mr_dataset(axial(), TriggerTime=str(phase), SeriesNumber=1)
    for tag, (kind, _, _, retired, keyword) in DicomDictionary.items():
        group = tag >> 16
        known = keyword and not retired and keyword not in dataset and keyword not in NAMED
        if kind in TEXT and known and 8 <= group < 0x0100:
            setattr(dataset, keyword, CANARY)
    dataset.PatientID = f"{CANARY}-7"
    dataset.PatientName = f"{CANARY}^{CANARY}"
    dataset.OtherPatientIDsSequence = Sequence([Dataset()])
    dataset.OtherPatientIDsSequence[0].PatientID = CANARY
    dataset.private_block(0x0029, CANARY, create=True).add_new(1, "LO", CANARY)
    return dataset


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Sound, odd and broken files."""
    folder = tmp_path / "export"
    folder.mkdir()
    for phase in range(4):
        (folder / f"sound{phase}").write_bytes(encoded(planted(phase), SYNTAXES[phase % 2]))
    whole = (folder / "sound0").read_bytes()
    name = f"{CANARY}^{CANARY}".encode()
    (folder / "cut").write_bytes(whole[: whole.index(name) + 4])
    (folder / "odd-set").write_bytes(
        whole.replace(b"ISO_IR 192", b"Zyxwvut192").replace(name, name[:-1] + b"\xff")
    )
    (folder / "odd-date").write_bytes(encoded_with_bad_date())
    (folder / "broken-length").write_bytes(whole.replace(name, b"\xff" * len(name)))
    (folder / "text").write_text(CANARY * 40)
    (folder / "half.zip").write_bytes(b"PK\x03\x04" + CANARY.encode() * 10)
    return folder


def encoded_with_bad_date() -> bytes:
    """A moment that is none, with the word in it."""
    dataset = planted(7)
    dataset.AcquisitionDate, dataset.AcquisitionTime = "20240101", "101010"
    return encoded(dataset).replace(b"20240101", f"{CANARY}1".encode())


def test_the_word_is_in_no_table_but_in_the_columns_that_keep_text(
    export: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["index", str(export), "-o", str(tmp_path / "catalogue"), "--json"]) == 3
    catalogue = open_catalogue(tmp_path / "catalogue")
    assert len(catalogue.images) >= 4
    for name in TABLES:
        table = getattr(catalogue, name)
        for column in table.columns:
            if CANARY.lower() in str(table[column].to_list()).lower():
                assert name == "stacks" or column in KEPT, f"{name}.{column}"
                assert column in {*KEPT, "evidence"}, f"{name}.{column}"
    assert CANARY.lower() not in capfd.readouterr().out.lower()


def test_the_word_is_in_no_log_no_warning_no_output_and_no_error(
    export: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    caplog.set_level(logging.DEBUG)
    target = ["-o", str(tmp_path / "catalogue")]
    assert run(["index", str(export), *target, "--json"]) == 3
    shown = capfd.readouterr()
    assert json.loads(shown.out)["files"]["ok"] >= 4
    assert run(["index", str(export), *target]) == 3
    for path in export.iterdir():
        if path.name.startswith(("sound", "odd", "broken")):
            path.unlink()
    assert run(["index", str(export), *target, "--json"]) == 4
    last = capfd.readouterr()
    told = [shown.out, shown.err, last.out, last.err, caplog.text, *(str(one.message) for one in recwarn)]
    assert CANARY.lower() not in " ".join(told).lower()


def test_the_word_was_really_planted(export: Path) -> None:
    dataset = pydicom.dcmread(export / "sound0")
    assert sum(CANARY in str(element.value) for element in dataset) > 300
