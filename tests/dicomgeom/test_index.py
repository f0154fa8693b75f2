"""An export -> a catalogue: everything accounted for, incremental, never half-believed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pydicom
import pytest

from dicomgeom.catalogue import TABLES, open_catalogue, schema_of, verify_catalogue
from dicomgeom.errors import HalfWritten, IntegrityError, NothingUsable, WrongUse, WrongVersion
from dicomgeom.explain import explain
from dicomgeom.index import index
from tests.dicomgeom.test_views import exam
from tests.helpers.dicom_files import axial, uid, write_mr
from tests.helpers.real import PROJECT

CANARY = "Zyxwvut"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return exam(tmp_path / "export", ["SAX", "4CH", "2CH"])


def test_every_path_has_one_row_with_its_verdict(export: Path, tmp_path: Path) -> None:
    (export / "notes.dcm").write_text("text")
    (export / "empty").touch()
    summary = index([export], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    assert summary.files == {"ok": 24, "skipped": 1, "unreadable": 1}
    assert summary.reasons == {"empty-file": 1, "not-dicom": 1}
    assert sorted(catalogue.files["path"]) == sorted(p.name for p in export.iterdir())
    for name, columns in TABLES.items():
        assert getattr(catalogue, name).schema == schema_of(columns)
    assert verify_catalogue(tmp_path / "catalogue") == []


def test_an_unchanged_export_is_not_read_again(export: Path, tmp_path: Path) -> None:
    first = index([export], tmp_path / "catalogue")
    before = open_catalogue(tmp_path / "catalogue")
    tables = {name: getattr(before, name) for name in TABLES}
    second = index([export], tmp_path / "catalogue")
    after = open_catalogue(tmp_path / "catalogue")
    assert (first.read, first.unchanged) == (24, 0)
    assert (second.read, second.unchanged) == (0, 24)
    for name, table in tables.items():
        assert table.equals(getattr(after, name)), name


def test_new_changed_and_deleted_files_are_noticed(export: Path, tmp_path: Path) -> None:
    index([export], tmp_path / "catalogue")
    (export / "0-0").unlink()
    write_mr(export / "new", axial(), StudyInstanceUID=uid(2, 2))
    (export / "0-1").write_text("now it is text")
    summary = index([export], tmp_path / "catalogue")
    assert summary.read == 2
    images = open_catalogue(tmp_path / "catalogue").images
    assert "new" in images["path"].to_list()
    assert not {"0-0", "0-1"} & set(images["path"])


def test_binary_copies_are_used_once_and_conflicts_are_said(export: Path, tmp_path: Path) -> None:
    original = export / "0-0"
    (export / "copy").write_bytes(original.read_bytes())
    changed = bytearray(original.read_bytes())
    changed[-1] ^= 1
    (export / "conflict").write_bytes(changed)
    index([export], tmp_path / "catalogue")
    images = open_catalogue(tmp_path / "catalogue").images
    left_out = dict(images.filter(pl.col("left_out") != "").select("path", "left_out").iter_rows())
    assert left_out["copy"] == "copy"
    assert left_out["conflict"].startswith("conflict")
    assert open_catalogue(tmp_path / "catalogue").stacks["n_phases"].to_list() == [3, 3, 3]


@pytest.mark.parametrize("content", ["nothing", "text", "ct"])
def test_a_folder_without_mr_ends_with_what_was_found_instead(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    if content == "text":
        (folder / "a.dcm").write_text("text")
    if content == "ct":
        write_mr(folder / "a", axial(), Modality="CT")
    with pytest.raises(NothingUsable, match="no MR image with a position"):
        index([folder], tmp_path / "catalogue")
    assert len(open_catalogue(tmp_path / "catalogue").files) == (content != "nothing")


def test_a_source_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="does not exist"):
        index([tmp_path / "nowhere"], tmp_path / "catalogue")


def test_a_folder_that_holds_something_else_is_never_overwritten(export: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("precious")
    with pytest.raises(WrongUse, match="not empty and not a catalogue"):
        index([export], other)
    assert [p.name for p in other.iterdir()] == ["thesis.tex"]


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


def test_a_half_written_catalogue_is_finished_by_the_same_command(export: Path, tmp_path: Path) -> None:
    index([export], tmp_path / "catalogue")
    marker = tmp_path / "catalogue" / "catalogue.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"state": "writing"}))
    (tmp_path / "catalogue" / "lines.parquet").unlink()
    assert index([export], tmp_path / "catalogue").read == 24
    assert verify_catalogue(tmp_path / "catalogue") == []


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


def test_killed_at_any_moment_the_same_command_ends_with_the_same_catalogue(
    export: Path, tmp_path: Path
) -> None:
    salt = tmp_path / "salt"
    salt.write_text("0123456789abcdef0123456789abcdef")
    index([export], tmp_path / "whole", salt_file=salt)
    code = (
        "import sys; from pathlib import Path; from dicomgeom.index import index;"
        "print('go', flush=True);"
        "index([Path(sys.argv[1])], Path(sys.argv[2]), salt_file=Path(sys.argv[3]))"
    )
    target = tmp_path / "killed"
    for wait_s in (0.0, 0.01, 0.03):
        command = [sys.executable, "-c", code, str(export), str(target), str(salt)]
        process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait_s)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    index([export], target, salt_file=salt)
    for name in TABLES:
        whole, resumed = open_catalogue(tmp_path / "whole"), open_catalogue(target)
        assert getattr(whole, name).equals(getattr(resumed, name)), name


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


def test_equal_patients_have_equal_keys_under_one_salt_and_split_alike_under_any(
    export: Path, tmp_path: Path
) -> None:
    salt = tmp_path / "salt"
    salt.write_text("0123456789abcdef0123456789abcdef")
    index([export], tmp_path / "one", salt_file=salt)
    index([export], tmp_path / "two", salt_file=salt)
    index([export], tmp_path / "three")
    one, two, three = (open_catalogue(tmp_path / name).images for name in ("one", "two", "three"))
    assert one["patient_key"][0] == two["patient_key"][0] != three["patient_key"][0]
    assert one["split_position"][0] == three["split_position"][0]
    with pytest.raises(WrongUse, match="another salt"):
        index([export], tmp_path / "three", salt_file=salt)


def test_a_second_index_of_the_same_catalogue_is_refused_while_one_runs(export: Path, tmp_path: Path) -> None:
    refused = []

    def progress(what: str, *, done: int, total: int | None) -> None:
        if what == "reading headers" and done == 1:
            with pytest.raises(WrongUse, match="another index"):
                index([export], tmp_path / "catalogue")
            refused.append(done)

    index([export], tmp_path / "catalogue", progress=progress)
    assert refused


def test_explain_tells_what_was_measured_for_a_stack_a_file_a_uid_and_a_patient(
    export: Path, tmp_path: Path
) -> None:
    (export / "notes.dcm").write_text("text")
    index([export], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    sax = catalogue.stacks.filter(pl.col("view") == "SAX")["stack_id"].item()
    told = "\n".join(explain(catalogue, sax))
    assert "angle of the normal to (1, -1, -1)" in told
    assert "cut by 4CH in 6 of its slices" in told
    assert "not-dicom" in explain(catalogue, "notes.dcm")[0]
    image = catalogue.images.row(0, named=True)
    for name in ("sop_instance_uid", "series_instance_uid", "study_instance_uid", "patient_key", "path"):
        assert len(explain(catalogue, image[name])) > 2
    with pytest.raises(WrongUse, match="nothing in the catalogue"):
        explain(catalogue, "unheard of")


def test_lines_of_assumed_frames_are_marked_and_left_out_when_frames_are_strict(tmp_path: Path) -> None:
    folder = exam(tmp_path / "export", ["SAX", "4CH", "2CH"])
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.FrameOfReferenceUID
        dataset.save_as(path)
    index([folder], tmp_path / "seen-through")
    index([folder], tmp_path / "strict", strict_frames=True)
    lines = open_catalogue(tmp_path / "seen-through").lines
    assert len(lines) > 0
    assert lines["frames_assumed"].all()
    assert len(open_catalogue(tmp_path / "strict").lines) == 0
