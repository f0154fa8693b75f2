"""An export -> a catalogue: everything accounted for, incremental, never half-believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pydicom
import pytest

from dicomgeom import sorting
from dicomgeom.catalogue import TABLES, open_catalogue, schema_of, verify_catalogue
from dicomgeom.errors import NothingUsable, WrongUse
from dicomgeom.index import index
from tests.dicomgeom.test_views import exam
from tests.helpers.catalogues import assert_same_tables
from tests.helpers.dicom_files import axial, uid, write_mr

DIRECTORY_META = (
    bytes.fromhex("0200020055491400")
    + b"1.2.840.10008.1.3.10"
    + bytes.fromhex("0200100055491400")
    + b"1.2.840.10008.1.2.1\0"
)
"""File meta information of a DICOMDIR: its class and Explicit VR Little Endian."""


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


def test_several_workers_and_dask_make_the_same_catalogue_as_one(tmp_path: Path, salt: Path) -> None:
    for number in range(4):
        exam(tmp_path / "export" / str(number), ["SAX", "4CH", "2CH"])
    (tmp_path / "export" / "notes").write_text("text")
    index([tmp_path / "export"], tmp_path / "one", salt_file=salt)
    index([tmp_path / "export"], tmp_path / "two", salt_file=salt, workers=2)
    assert_same_tables(tmp_path / "one", tmp_path / "two")
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="inproc"
    ) as cluster:
        index([tmp_path / "export"], tmp_path / "dask", salt_file=salt, scheduler=cluster.scheduler_address)
    assert_same_tables(tmp_path / "one", tmp_path / "dask")


def test_no_workers_and_a_scheduler_that_is_not_there_are_wrong_use(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WrongUse, match="at least 1"):
        index([export], tmp_path / "none", workers=0)
    monkeypatch.setattr("dicomgeom.workers.SCHEDULER_WAIT_S", 0.2)
    with pytest.raises(WrongUse, match="no dask scheduler answers"):
        index([export], tmp_path / "nowhere", scheduler="tcp://127.0.0.1:9")


def test_only_patients_with_changed_files_are_sorted_anew_and_the_tables_are_as_if_all_were(
    tmp_path: Path, salt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = tmp_path / "export"
    for number in range(4):
        folder = exam(export / str(number), ["SAX", "4CH", "2CH"])
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            dataset.PatientID = f"P{number}"
            dataset.StudyInstanceUID = uid(2, number)
            dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.{number}"
            dataset.save_as(path)
    index([export], tmp_path / "catalogue", salt_file=salt)
    (export / "2" / "0-0").unlink()
    write_mr(export / "3" / "new", axial(), StudyInstanceUID=uid(2, 9), PatientID="P3")
    sorted_rows = []
    from dicomgeom import sorting

    sort_study = sorting.sort_study
    monkeypatch.setattr(
        sorting, "sort_study", lambda rows, **how: sorted_rows.append(len(rows)) or sort_study(rows, **how)
    )
    index([export], tmp_path / "catalogue", salt_file=salt)
    assert sorted(sorted_rows) == [1, 23, 24]
    index([export], tmp_path / "anew", salt_file=salt)
    assert_same_tables(tmp_path / "catalogue", tmp_path / "anew")


def test_tables_too_large_for_memory_are_sorted_on_disk_and_are_the_same(
    tmp_path: Path, salt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        for image in range(4):
            write_mr(
                tmp_path / "export" / f"{number}-{image}",
                axial(z_mm=8.0 * image),
                PatientID=f"P{number}",
                StudyInstanceUID=uid(2, number),
                SeriesInstanceUID=uid(3, number),
            )
    index([tmp_path / "export"], tmp_path / "memory", salt_file=salt)
    monkeypatch.setattr("dicomgeom.sorting.PART_ROWS", 3)
    monkeypatch.setattr("dicomgeom.sorting.CHUNK_ROWS", 7)
    monkeypatch.setattr("dicomgeom.spool.IN_MEMORY_ROWS", 10)
    monkeypatch.setattr("dicomgeom.catalogue.ROW_GROUP_ROWS", 6)
    index([tmp_path / "export"], tmp_path / "disk", salt_file=salt)
    assert_same_tables(tmp_path / "memory", tmp_path / "disk")
    assert not list((tmp_path / "disk").glob(".spool*"))


def test_another_option_sorts_anew_without_reading_again(export: Path, tmp_path: Path) -> None:
    for path in export.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.FrameOfReferenceUID
        dataset.save_as(path)
    assert index([export], tmp_path / "catalogue").read == 24
    assert len(open_catalogue(tmp_path / "catalogue").lines) > 0
    assert index([export], tmp_path / "catalogue", strict_frames=True).read == 0
    assert len(open_catalogue(tmp_path / "catalogue").lines) == 0


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


def test_images_filed_under_two_patients_are_counted_and_their_stacks_kept_apart(tmp_path: Path) -> None:
    for patient in ("first", "second"):
        for number in range(3):
            names = {"PatientID": patient, "SOPInstanceUID": uid(5, number)}
            write_mr(tmp_path / "export" / f"{patient}{number}", axial(8.0 * number), **names)
    for _ in range(2):  # the second time only what is new is sorted
        summary = index([tmp_path / "export"], tmp_path / "catalogue")
        assert (summary.patients, summary.stacks, summary.of_several_patients) == (2, 2, 6)
        stacks = open_catalogue(tmp_path / "catalogue").stacks
        assert stacks["stack_id"].n_unique() == 2
        assert verify_catalogue(tmp_path / "catalogue") == []
        write_mr(tmp_path / "export" / "first0", axial(0.0), PatientID="first", SOPInstanceUID=uid(5, 0))


def test_files_that_name_neither_patient_nor_study_are_not_one_patient(tmp_path: Path) -> None:
    for number in range(2):
        names = {"PatientID": "", "StudyInstanceUID": "", "SeriesInstanceUID": uid(3, number)}
        write_mr(tmp_path / "export" / str(number) / "image", axial(3.0 * number), **names)
    summary = index([tmp_path / "export"], tmp_path / "catalogue")
    assert (summary.patients, summary.stacks) == (2, 2)
    for number in range(2):
        names = {"PatientID": "", "StudyInstanceUID": "", "SeriesInstanceUID": ""}
        write_mr(tmp_path / "nameless" / str(number) / "image", axial(3.0 * number), **names)
    assert index([tmp_path / "nameless"], tmp_path / "folders").patients == 2


def test_an_archive_under_one_patient_is_sorted_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        study = {"StudyInstanceUID": uid(2, number), "FrameOfReferenceUID": uid(4, number)}
        moment = {"StudyDate": f"2024010{number + 1}", "AcquisitionDateTime": f"2024010{number + 1}120000"}
        for place in range(3):
            file = tmp_path / "export" / f"{number}-{place}"
            write_mr(file, axial(8.0 * place), PatientID="ANON", **study, **moment)
    index([tmp_path / "export"], tmp_path / "whole")
    monkeypatch.setattr("dicomgeom.sorting.PART_ROWS", 3)
    parts: list[int] = []
    sort = sorting._sort_part

    def counted(part: Any, how: Any) -> Any:
        parts.append(len(part.headers))
        return sort(part, how)

    monkeypatch.setattr(sorting, "_sort_part", counted)
    index([tmp_path / "export"], tmp_path / "parts")
    assert parts == [3, 3, 3, 3]
    one, other = (open_catalogue(tmp_path / name) for name in ("whole", "parts"))
    assert one.stacks.drop("patient_key").equals(other.stacks.drop("patient_key"))


def test_an_empty_source_does_not_empty_a_catalogue(export: Path, tmp_path: Path) -> None:
    index([export], tmp_path / "catalogue")
    (tmp_path / "unmounted").mkdir()
    with pytest.raises(NothingUsable, match="keeps its 24 images"):
        index([tmp_path / "unmounted"], tmp_path / "catalogue")
    assert len(open_catalogue(tmp_path / "catalogue").images) == 24
    assert verify_catalogue(tmp_path / "catalogue") == []
    assert index([export], tmp_path / "catalogue").unchanged == 24


def test_a_source_that_is_not_named_again_is_told_with_the_files_that_leave_the_catalogue(
    export: Path, tmp_path: Path
) -> None:
    later = tmp_path / "later"
    write_mr(later / "a" / "one", axial(), StudyInstanceUID=uid(3, 1))
    write_mr(later / "two", axial(), StudyInstanceUID=uid(3, 2))
    assert index([export], tmp_path / "catalogue").sources_dropped == {}
    assert index([later], tmp_path / "catalogue").sources_dropped == {str(export.resolve()): 24}
    both = index([export, later], tmp_path / "catalogue")
    assert (both.sources_dropped, both.files) == ({}, {"ok": 26})
    assert index([later / "a", export], tmp_path / "catalogue").sources_dropped == {str(later.resolve()): 1}
    assert index([tmp_path], tmp_path / "catalogue").sources_dropped == {}


def test_images_left_out_are_counted_and_only_what_may_hold_something_counts_as_missed(
    export: Path, tmp_path: Path
) -> None:
    original = export / "0-0"
    (export / "again").write_bytes(original.read_bytes())
    write_mr(export / "mip", axial(), ImageType=["DERIVED", "SECONDARY", "MIP"], SeriesInstanceUID=uid(3, 9))
    (export / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + DIRECTORY_META)
    summary = index([export], tmp_path / "catalogue")
    assert summary.reasons == {"dicomdir": 1}
    assert summary.images_left_out == {"copy": 1, "derived": 1}
    assert summary.as_json()["images_left_out"] == summary.images_left_out
    assert not summary.missed
    changed = bytearray(original.read_bytes())
    changed[-1] ^= 1
    (export / "twin").write_bytes(changed)
    summary = index([export], tmp_path / "catalogue")
    assert summary.images_left_out == {"conflict": 1, "copy": 1, "derived": 1}
    assert summary.missed


def test_a_folder_of_nifti_files_names_the_command_that_reads_them(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for name in ("a.nii.gz", "b.NII", "c.txt"):
        (tmp_path / "set" / name).write_text("voxels")
    with pytest.raises(NothingUsable, match=r"3 not-dicom\); 2 are NIfTI.*anatprep import-labels"):
        index([tmp_path / "set"], tmp_path / "catalogue")
