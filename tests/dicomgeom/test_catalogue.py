"""A catalogue on disk: its marker, its checksums, and what must not be in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicomgeom.catalogue import TABLES, open_catalogue, verify_catalogue
from dicomgeom.errors import HalfWritten, IntegrityError, WrongVersion
from dicomgeom.index import index
from tests.helpers.dicom_files import axial, write_mr

CANARY = "Zyxwvut"


def test_a_catalogue_that_is_none_half_written_or_of_another_version_says_so(
    export: Path, tmp_path: Path
) -> None:
    with pytest.raises(IntegrityError, match="not a catalogue"):
        open_catalogue(tmp_path)
    index([export], tmp_path / "catalogue")
    marker = tmp_path / "catalogue" / "catalogue.json"
    sound = json.loads(marker.read_text())
    for change, error in (
        ({"state": "writing"}, HalfWritten),
        ({"version": 99}, WrongVersion),
        ({"format": "something"}, IntegrityError),
    ):
        marker.write_text(json.dumps(sound | change))
        with pytest.raises(error):
            open_catalogue(tmp_path / "catalogue")
    marker.write_text("{")
    with pytest.raises(IntegrityError, match="damaged"):
        open_catalogue(tmp_path / "catalogue")


def test_a_flipped_byte_in_any_table_is_found(export: Path, tmp_path: Path) -> None:
    index([export], tmp_path / "catalogue")
    for name in TABLES:
        path = tmp_path / "catalogue" / f"{name}.parquet"
        sound = path.read_bytes()
        broken = bytearray(sound)
        broken[len(broken) // 2] ^= 1
        path.write_bytes(broken)
        assert any(name in problem for problem in verify_catalogue(tmp_path / "catalogue"))
        path.write_bytes(sound)


def test_the_catalogue_is_private_and_holds_no_name(tmp_path: Path) -> None:
    for phase in range(3):
        write_mr(
            tmp_path / "export" / str(phase), axial(), TriggerTime=phase, PatientName=CANARY,
            PatientID=f"{CANARY}-7", PatientBirthDate="19600101", AccessionNumber=CANARY,
            PatientAddress=CANARY, ReferringPhysicianName=CANARY, InstitutionName=CANARY,
        )  # fmt: skip
    index([tmp_path / "export"], tmp_path / "catalogue")
    assert (tmp_path / "catalogue").stat().st_mode & 0o777 == 0o700
    catalogue = open_catalogue(tmp_path / "catalogue")
    for name in TABLES:
        text = str(getattr(catalogue, name).to_dicts())
        assert CANARY not in text
        assert "19600101" not in text
