"""Where files come from: folders and archives, hostile ones too."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dicomgeom import archives, sources
from dicomgeom.errors import UnusableFile, WrongUse
from dicomgeom.scan import ScannedFile, scan
from dicomgeom.sources import FoundFile, list_files, open_file, open_start
from tests.helpers.dicom_files import axial, mr_dataset, uid, write_mr
from tests.helpers.series_files import encoded, series

TAR_MODES = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


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


def cut(path: Path, left_bytes: int) -> Path:
    path.write_bytes(path.read_bytes()[:left_bytes])
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


@pytest.mark.parametrize("ending", TAR_MODES)
def test_tar_archives_are_read_in_place(tmp_path: Path, ending: str) -> None:
    contents = {f"deep/{number}": content for number, content in enumerate(series(3))}
    others = {"notes.txt": b"nothing that could be an image"}
    tar_of(tmp_path / f"all.{ending}", contents | others, TAR_MODES[ending])
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
        archive.writestr("zeros", b"\0" * (64 << 20))
    (found,) = scanned(tmp_path).values()
    assert found.reason == "decompression-bomb"


def test_a_black_slice_in_a_zip_is_no_bomb(tmp_path: Path) -> None:
    black = encoded(mr_dataset(axial(columns=512, rows=512), PixelData=bytes(512 * 512 * 2)))
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("black", black)
        assert archive.getinfo("black").compress_size * sources.LARGEST_RATIO < len(black)
    (found,) = scanned(tmp_path).values()
    assert found.status == "ok"


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


def content_of(root: Path, path: str) -> bytes | None:
    """Content of a member, or None where it cannot be opened, neither as a whole nor its start."""
    try:
        with open_file(str(root), path) as file:
            return file.read()
    except UnusableFile:
        with pytest.raises(UnusableFile, match="cannot-open"):
            open_start(str(root), path, 1)
        return None


UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": lambda packed: zlib.decompressobj(31).decompress(packed),
    "tar.bz2": lambda packed: bz2.BZ2Decompressor().decompress(packed),
    "tar.xz": lambda packed: lzma.LZMADecompressor().decompress(packed),
}
"""What can be unpacked of the start of an archive."""


@pytest.mark.parametrize("ending", UNPACKERS)
def test_a_truncated_archive_gives_what_lies_before_the_break(tmp_path: Path, ending: str) -> None:
    chance = random.Random(3)
    contents = {f"{n}": chance.randbytes(700) for n in range(6)}
    packed = tar_of(tmp_path / f"all.{ending}", contents, TAR_MODES[ending]).read_bytes()
    for left_bytes in range(1, len(packed), 61):
        root = tmp_path / f"{left_bytes}"
        root.mkdir()
        (root / f"all.{ending}").write_bytes(packed[:left_bytes])
        unpacked_bytes = len(UNPACKERS[ending](packed[:left_bytes]))
        whole = {name: content for n, (name, content) in enumerate(contents.items())
                 if n * (512 + 1024) + 512 + 700 <= unpacked_bytes}  # fmt: skip
        members = [one.path for one in list_files(root) if sources.is_member(one.path)]
        found = {path.rpartition("!")[2]: content_of(root, path) for path in members}
        assert {name: content for name, content in found.items() if content is not None} == whole


def test_only_the_member_that_is_cut_cannot_be_opened(tmp_path: Path) -> None:
    contents = {f"{n}": content for n, content in enumerate(series(5, private_bytes=40_960))}
    length = len(contents["0"]) + 1024 & ~511
    cut(tar_of(tmp_path / "all.tar", contents), 2 * length + 3000)
    found = scanned(tmp_path)
    assert {path: one.reason for path, one in found.items()} == {
        "all.tar!0": "", "all.tar!1": "", "all.tar!2": "cannot-open", "all.tar": "broken-archive",
    }  # fmt: skip


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
@pytest.mark.parametrize("harm", ["damaged header", "cut in a header", "cut before a header"])
def test_a_tar_that_breaks_off_as_if_it_ended_there_is_told(tmp_path: Path, ending: str, harm: str) -> None:
    plain = bytearray(tar_of(tmp_path / "whole", dict.fromkeys("abc", b"x" * 600)).read_bytes())
    second = 512 + 1024
    if harm == "damaged header":
        plain[second + 148 : second + 156] = b"99999999"  # its checksum
    else:
        del plain[second + (100 if harm == "cut in a header" else 0) :]
    (tmp_path / "whole").unlink()
    content = gzip.compress(bytes(plain)) if ending == "tar.gz" else bytes(plain)
    (tmp_path / f"all.{ending}").write_bytes(content)
    found = {one.path: one.refused for one in list_files(tmp_path)}
    assert found == {f"all.{ending}!a": "", f"all.{ending}": "broken-archive"}
    assert content_of(tmp_path, f"all.{ending}!a") == b"x" * 600


def test_a_disk_that_fails_for_a_moment_leaves_no_short_directory_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar_of(tmp_path / "all.tar", {"a": b"x", "b": b"y"})

    def away(tar: tarfile.TarFile) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(archives, "entries", away)
        assert content_of(tmp_path, "all.tar!b") is None
    assert content_of(tmp_path, "all.tar!b") == b"y"


@pytest.mark.parametrize("private_bytes", [20_480, 61_440])
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_large_compressed_tar_is_unpacked_as_often_as_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private_bytes: int, is_cut: bool
) -> None:
    """To list it, for its directory, for its members; and twice more to find which of them is cut."""
    contents = {f"{n:04}": content for n, content in enumerate(series(40, private_bytes=private_bytes))}
    path = tar_of(tmp_path / "all.tar.gz", contents, "w:gz")
    if is_cut:
        cut(path, path.stat().st_size * 9 // 10)
    unpacked, read = Counter[str](), gzip._GzipReader.read

    def counted(reader: object, size: int = -1) -> bytes:
        found: bytes = read(reader, size)
        unpacked["bytes"] += len(found)
        return found

    monkeypatch.setattr("gzip._GzipReader.read", counted)
    states = Counter(one.reason for one in scanned(tmp_path).values())
    assert states[""] >= (30 if is_cut else 40)
    assert unpacked["bytes"] < (5.5 if is_cut else 3.5) * sum(map(len, contents.values()))


def test_more_of_the_member_that_was_read_last_is_read_on(tmp_path: Path) -> None:
    contents = {"a": bytes(range(256)) * 500, "b": b"b" * 100_000}
    tar_of(tmp_path / "all.tar.gz", contents, "w:gz")
    root = str(tmp_path)
    for name, size_bytes in (("a", 1000), ("a", 500), ("a", 40_000), ("b", 10), ("a", 10), ("b", 10**9)):
        with open_start(root, f"all.tar.gz!{name}", size_bytes) as start:
            assert start.read() == contents[name][:size_bytes]
    for name in ("b", "b", "a"):
        with open_file(root, f"all.tar.gz!{name}") as file:
            assert file.read() == contents[name]
    opened = archives._opened_archive(
        f"{root}/all.tar.gz", (tmp_path / "all.tar.gz").stat().st_mtime_ns, os.getpid()
    )
    assert (opened._reader, opened._start) == (None, b"")


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


@pytest.mark.parametrize("place", ["!urgent/exam.zip", "a!/b!c/EXAM.Zip", "!.zip", "x!y.tar.gz"])
def test_archives_below_folders_with_exclamation_marks_are_read(tmp_path: Path, place: str) -> None:
    (content,) = series(1)
    if place.lower().endswith(".zip"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(tmp_path / place, "w") as archive:
            archive.writestr("in!side/a.dcm", content)
    else:
        tar_of(tmp_path / place, {"in!side/a.dcm": content}, "w:gz")
    found = scanned(tmp_path)
    assert {path: one.reason for path, one in found.items()} == {f"{place}!in!side/a.dcm": ""}


@pytest.mark.parametrize("path", ["a!b", "!a.zip", "exam.zip", "exam.zip/!a", "exam.zi!p", "exam.zipp!a"])
def test_paths_with_an_exclamation_mark_elsewhere_are_plain_files(path: str) -> None:
    assert not sources.is_member(path)


def linked(kind: bytes, name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def test_links_and_devices_in_a_tar_have_a_row_each(tmp_path: Path) -> None:
    (content,) = series(1)
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        archive.addfile(linked(tarfile.DIRTYPE, "folder", ""))
        archive.addfile(linked(tarfile.LNKTYPE, "early", "a"))
        entry = tarfile.TarInfo("a")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        archive.addfile(linked(tarfile.LNKTYPE, "hard", "a"))
        archive.addfile(linked(tarfile.LNKTYPE, "harder", "hard"))
        archive.addfile(linked(tarfile.LNKTYPE, "../up", "a"))
        archive.addfile(linked(tarfile.SYMTYPE, "soft", "a"))
        archive.addfile(linked(tarfile.FIFOTYPE, "pipe", ""))
    found = [(one.path.rpartition("!")[2], one.size_bytes, one.refused) for one in list_files(tmp_path)]
    assert found == [
        ("early", 0, "dead-link"), ("a", len(content), ""), ("hard", len(content), ""),
        ("harder", len(content), ""), ("../up", len(content), "path-climbs-out"),
        ("soft", 0, "not-a-file"), ("pipe", 0, "not-a-file"),
    ]  # fmt: skip
    with open_file(str(tmp_path), "all.tar!harder") as file:
        assert file.read() == content
    with pytest.raises(UnusableFile, match="cannot-open"):
        open_file(str(tmp_path), "all.tar!soft")


def test_members_of_a_tar_whose_names_are_no_text_are_read(tmp_path: Path) -> None:
    (content,) = series(1)
    name = os.fsdecode(b"\xe4bc")
    tar_of(tmp_path / "all.tar", {name: content})
    with tarfile.open(tmp_path / "all.tar", "a") as archive:
        archive.addfile(linked(tarfile.LNKTYPE, "hard", name))
    found = scanned(tmp_path)
    assert {path: one.reason for path, one in found.items()} == {"all.tar!\\xe4bc": "", "all.tar!hard": ""}
