"""Where files come from: folders and archives, hostile ones too."""

from __future__ import annotations

import io
import os
import random
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import pytest

from dicomgeom import sources
from dicomgeom.errors import UnusableFile, WrongUse
from dicomgeom.scan import ScannedFile, scan
from dicomgeom.sources import FoundFile, list_files, open_file, open_start
from tests.helpers.dicom_files import axial, uid, write_mr
from tests.helpers.series_files import series


def scanned(folder: Path) -> dict[str, ScannedFile]:
    return {one.found.path: one for one in scan(list_files(folder))}


def tar_of(path: Path, contents: dict[str, bytes], mode: str = "w") -> Path:
    """Write a tar archive with some members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_files_come_sorted_and_once_with_their_size_and_time(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "c/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    os.utime(tmp_path / "a", ns=(5, 7))
    found = list(list_files(tmp_path))
    assert [one.path for one in found] == ["a", "b/1", "b/2", "c/d/e"]
    assert found[0] == FoundFile(str(tmp_path), "a", 1, 7)


def test_a_dicomdir_stands_for_its_folder_and_its_references_are_not_followed(tmp_path: Path) -> None:
    write_mr(tmp_path / "exam" / "images" / "a", axial())
    (tmp_path / "exam" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"../../climbs and dead references")
    found = scanned(tmp_path / "exam" / "DICOMDIR")
    assert set(found) == {"DICOMDIR", "images/a"}
    assert found["images/a"].status == "ok"


def test_a_source_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="does not exist"):
        list(list_files(tmp_path / "gone"))


def test_links_that_lead_round_or_nowhere_and_pipes_are_survived(tmp_path: Path) -> None:
    write_mr(tmp_path / "exam" / "a", axial())
    (tmp_path / "exam" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "exam" / "self").symlink_to("self")
    (tmp_path / "exam" / "again").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    found = scanned(tmp_path)
    assert {path: one.reason for path, one in found.items()} == {
        "exam/a": "", "exam/again": "", "exam/self": "dead-link", "pipe": "not-a-file",
    }  # fmt: skip


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_one_unreadable_row(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    assert scanned(tmp_path)["locked"].reason == "unreadable-folder"


def test_a_folder_that_vanishes_while_it_is_listed_is_one_unreadable_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    scandir = os.scandir

    def gone(path: str) -> object:
        if path.endswith("there/"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(sources.os, "scandir", gone)
    assert scanned(tmp_path)["there"].reason == "unreadable-folder"


def test_names_that_are_no_text_do_not_stop_the_scan(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    except OSError:
        pytest.skip("the file system takes only text as names")
    (tmp_path / "Größe").write_bytes(b"x" * 20)
    found = scanned(tmp_path)
    assert found["caf\\xe9"].reason == "undecodable-name"
    assert found["Größe"].reason == "not-dicom"


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_tar_archives_are_read_in_place(tmp_path: Path, ending: str) -> None:
    mode = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}[ending]
    contents = {f"deep/{number}": content for number, content in enumerate(series(3))}
    tar_of(tmp_path / f"all.{ending}", contents | {"notes.txt": b"nothing that could be an image"}, mode)
    found = scanned(tmp_path)
    assert [one.status for one in found.values()] == ["ok", "ok", "ok", "skipped"]
    with open_file(str(tmp_path), f"all.{ending}!deep/1") as file:
        assert file.read() == contents["deep/1"]


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "..\\up", "C:\\windows\\x"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_that_climb_out_of_their_archive_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    if kind == "tar":
        tar_of(tmp_path / "all.tar", {name: b"x" * 300})
    else:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            archive.writestr(zipfile.ZipInfo(name), b"x" * 300)
    (found,) = scanned(tmp_path).values()
    assert (found.status, found.reason) == ("unreadable", "path-climbs-out")


def test_archives_in_archives_are_left_alone(tmp_path: Path) -> None:
    tar_of(tmp_path / "all.tar", {"inner.zip": b"PK\x03\x04", "inner.tar.gz": b"\x1f\x8b"})
    assert {one.reason for one in scanned(tmp_path).values()} == {"archive-in-archive"}


def test_a_member_that_would_unpack_to_an_absurd_size_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 3_000_000)
    (found,) = scanned(tmp_path).values()
    assert found.reason == "decompression-bomb"


def test_a_member_that_lies_about_its_size_is_never_unpacked_beyond_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 50_000_000)
    claimed = (50_000_000).to_bytes(4, "little")
    content = path.read_bytes()
    assert content.count(claimed) == 2
    path.write_bytes(content.replace(claimed, (60_000).to_bytes(4, "little")))
    unpacked = []
    decompressor = zlib.decompressobj

    class Watched:
        def __init__(self, *given: int) -> None:
            self._inner = decompressor(*given)

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

        def decompress(self, *given: object) -> bytes:
            found = self._inner.decompress(*given)  # type: ignore[arg-type]
            unpacked.append(len(found))
            return found

    monkeypatch.setattr(zipfile.zlib, "decompressobj", Watched)
    (found,) = scanned(tmp_path).values()
    assert found.status != "ok"
    assert 0 < sum(unpacked) < 1_000_000


def test_a_compressed_tar_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LARGEST_UNPACKED_BYTES", 1 << 20)
    contents = {f"{number:03}": b"\0" * 500_000 for number in range(40)}
    path = tar_of(tmp_path / "bomb.tar.gz", contents, "w:gz")
    found = list(list_files(tmp_path))
    assert found[-1].refused == "decompression-bomb"
    assert len(found) < 40
    most_bytes = (1 << 20) + 250 * path.stat().st_size + 500_000
    assert sum(one.size_bytes for one in found[:-1]) <= most_bytes


def test_sparse_members_of_a_tar_do_not_fill_the_memory(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("hole")
    entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                         "GNU.sparse.realsize": str(3 << 30), "GNU.sparse.name": "hole"}  # fmt: skip
    body = b"0\n".ljust(512, b"\0")
    entry.size = len(body)
    with tarfile.open(tmp_path / "sparse.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(body))
    (found,) = scanned(tmp_path).values()
    assert (found.found.size_bytes, found.reason) == (3 << 30, "decompression-bomb")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_archives_damaged_anywhere_end_in_rows_not_in_errors(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / f"whole.{kind}"
    contents = {f"{number}": content for number, content in enumerate(series(3, private_bytes=256))}
    if kind == "zip":
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
    else:
        tar_of(whole, contents, "w:gz" if kind == "tar.gz" else "w")
    sound = whole.read_bytes()
    whole.unlink()
    chance = random.Random(7)
    for number in range(60):
        broken = bytearray(sound)
        for _ in range(4):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / f"broken.{kind}").write_bytes(broken[: chance.randrange(1, len(broken) + 1)])
        assert all(one.reason for one in scanned(folder).values() if one.status != "ok")


def test_a_large_compressed_tar_takes_time_in_proportion_to_its_length(tmp_path: Path) -> None:
    def seconds(members: int) -> float:
        folder = tmp_path / str(members)
        contents = {f"{n:04}": content for n, content in enumerate(series(members, private_bytes=20_480))}
        tar_of(folder / "all.tar.gz", contents, "w:gz")
        started_at = time.process_time()
        assert all(one.status == "ok" for one in scanned(folder).values())
        return time.process_time() - started_at

    seconds(5)
    assert seconds(240) < 10 * seconds(60)


def test_only_the_start_of_a_member_is_unpacked_for_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_mr(
        tmp_path / "a", axial(columns=512, rows=512), SOPInstanceUID=uid(1, 1),
        PixelData=random.Random(1).randbytes(512 * 512 * 2),
    )  # fmt: skip
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "a")
    path.unlink()
    monkeypatch.setattr("dicomgeom.scan.open_file", lambda *given: pytest.fail("unpacked as a whole"))
    (found,) = scanned(tmp_path).values()
    assert found.status == "ok"
    with open_start(str(tmp_path), "all.zip!a", 1000) as start:
        assert len(start.read()) == 1000


def test_a_member_that_is_gone_is_an_unusable_file(tmp_path: Path) -> None:
    tar_of(tmp_path / "all.tar", {"a": b"x"})
    with pytest.raises(UnusableFile, match="cannot-open"):
        open_file(str(tmp_path), "all.tar!b")
