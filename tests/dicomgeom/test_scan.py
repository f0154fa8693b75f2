"""Every file gets a verdict: the good, the skipped and the unreadable."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pydicom
import pytest

from dicomgeom.scan import ScannedFile, scan, scan_file
from dicomgeom.sources import FoundFile, list_files
from tests.helpers.dicom_files import axial, write_mr


def verdict(path: Path) -> ScannedFile:
    return scan_file(FoundFile(str(path.parent), path.name, path.stat().st_size, 0))


def test_a_sound_image_is_ok(tmp_path: Path) -> None:
    found = verdict(write_mr(tmp_path / "a", axial()))
    assert (found.status, found.reason, len(found.headers)) == ("ok", "", 1)


def test_a_text_file_named_dcm_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "notes.dcm"
    path.write_text("not an image, only its name says so\n" * 20)
    assert (verdict(path).status, verdict(path).reason) == ("skipped", "not-dicom")


def test_an_empty_file_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert (verdict(path).status, verdict(path).reason) == ("unreadable", "empty-file")


@pytest.mark.parametrize("share", [0.25, 0.6, 0.95, 0.999])
def test_a_truncated_file_is_unreadable_wherever_it_ends(tmp_path: Path, share: float) -> None:
    path = write_mr(tmp_path / "a", axial())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert verdict(path).status == "unreadable"


def test_a_file_without_preamble_and_meta_is_read(tmp_path: Path) -> None:
    whole = pydicom.dcmread(write_mr(tmp_path / "a", axial()))
    bare = pydicom.Dataset(whole)
    bare.save_as(tmp_path / "bare", implicit_vr=True, little_endian=True)
    assert verdict(tmp_path / "bare").status == "ok"


def test_the_scan_goes_on_after_garbage(tmp_path: Path) -> None:
    sound = write_mr(tmp_path / "b", axial())
    content = bytearray(sound.read_bytes())
    content[140:400] = bytes(range(256)) + b"\xff" * 4
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "c").write_bytes(b"\x08\x00\x05\x00" + b"\xff" * 500)
    statuses = {found.found.path: found.status for found in scan(list_files(tmp_path))}
    assert statuses["b"] == "ok"
    assert set(statuses) == {"a", "b", "c"}
    assert statuses["c"] != "ok"


def test_every_test_file_that_pydicom_ships_is_accounted_for() -> None:
    folder = Path(pydicom.__file__).parent / "data"
    found = list(scan(list_files(folder)))
    assert len(found) == sum(1 for path in folder.rglob("*") if path.is_file())
    assert {one.status for one in found} <= {"ok", "skipped", "unreadable"}
    assert all(one.reason for one in found if one.status != "ok")
    by_name = {Path(one.found.path).name: one for one in found}
    assert by_name["MR_small.dcm"].status == "ok"
    assert by_name["MR_truncated.dcm"].reason == "truncated"
    assert by_name["CT_small.dcm"].reason == "not-mr"


def test_members_of_archives_are_read_in_place(tmp_path: Path) -> None:
    image = write_mr(tmp_path / "source" / "a", axial())
    archive = tmp_path / "export" / "all.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.write(image, "deep/a")
        opened.writestr("../climbs.dcm", b"x")
        opened.writestr("bomb", b"\0" * (64 << 20))
    found = {one.found.path: one for one in scan(list_files(archive.parent))}
    assert found["all.zip!deep/a"].status == "ok"
    assert found["all.zip!../climbs.dcm"].reason == "path-climbs-out"
    assert found["all.zip!bomb"].reason == "decompression-bomb"
    assert [one.found.path for one in scan(list_files(archive))] == list(found)


def test_a_broken_archive_is_one_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "half.zip").write_bytes(b"PK\x03\x04 and no more")
    (found,) = scan(list_files(tmp_path))
    assert (found.status, found.reason) == ("unreadable", "broken-archive")


def test_a_symlink_loop_is_survived(tmp_path: Path) -> None:
    write_mr(tmp_path / "exam" / "a", axial())
    (tmp_path / "exam" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "exam" / "dead").symlink_to(tmp_path / "nowhere")
    found = {one.found.path: one for one in scan(list_files(tmp_path))}
    assert found["exam/a"].status == "ok"
    assert found["exam/dead"].reason == "dead-link"
    assert len(found) == 2
