"""Files with equal UIDs: copies, conflicts, and images of their own."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dicomgeom import twins as module
from dicomgeom.twins import PLACE_AND_TIME, find_twins


def row(folder: Path, name: str, content: bytes, uid: str = "1.2", **more: Any) -> dict[str, Any]:
    (folder / name).write_bytes(content)
    nothing = dict.fromkeys(PLACE_AND_TIME)
    return nothing | {"root": str(folder), "path": name, "sop_instance_uid": uid, "frame": 0} | more


def test_the_first_of_equal_files_is_used_and_every_other_is_a_copy(tmp_path: Path) -> None:
    rows = [row(tmp_path, name, b"same") for name in "abc"]
    assert find_twins(rows).left_out == {1: "copy", 2: "copy"}


def test_other_pixels_at_one_place_and_time_are_a_conflict(tmp_path: Path) -> None:
    rows = [row(tmp_path, "a", b"one"), row(tmp_path, "b", b"two"), row(tmp_path, "c", b"two")]
    twins = find_twins(rows)
    assert twins.left_out == {1: "conflict", 2: "copy"}
    assert not twins.shared


def test_images_of_other_places_or_times_are_used_without_reading_them(tmp_path: Path) -> None:
    rows = [row(tmp_path, f"{n}", b"", origin_mm=[0.0, 0.0, float(n)]) for n in range(3)]
    for path in tmp_path.iterdir():
        path.unlink()
    twins = find_twins(rows)
    assert twins.left_out == {}
    assert twins.shared == {("1.2", 0)}


def test_files_without_a_uid_are_never_twins(tmp_path: Path) -> None:
    assert find_twins([row(tmp_path, name, b"same", uid="") for name in "ab"]).left_out == {}


def test_files_that_are_gone_are_in_conflict_not_copies(tmp_path: Path) -> None:
    rows = [row(tmp_path, "a", b"same"), row(tmp_path, "b", b"same")]
    for path in tmp_path.iterdir():
        path.unlink()
    assert find_twins(rows).left_out == {1: "conflict"}


def test_the_same_path_below_two_roots_is_no_copy_when_both_files_are_gone(tmp_path: Path) -> None:
    rows = []
    for root in ("one", "other"):
        (tmp_path / root).mkdir()
        rows.append(row(tmp_path / root, "a", b"same"))
        (tmp_path / root / "a").unlink()
    assert find_twins(rows).left_out == {1: "conflict"}


class Blocks(io.FileIO):
    """A file that says how much of it was asked for at once."""

    asked_bytes: ClassVar[list[int]] = []

    def readinto(self, buffer: Any) -> int | None:
        self.asked_bytes.append(len(buffer))
        return super().readinto(buffer)

    def readall(self) -> bytes:
        raise AssertionError("the whole file was asked for at once")


class BadSector(io.FileIO):
    """A file that opens, and cannot be read."""

    def readinto(self, buffer: Any) -> int | None:
        raise OSError(errno.EIO, "Input/output error")


def opening(monkeypatch: pytest.MonkeyPatch, kind: type[io.FileIO]) -> list[str]:
    """Open all files as one kind; gives the names of those opened."""
    names: list[str] = []

    def opened(root: str, path: str) -> io.FileIO:
        names.append(path)
        return kind(Path(root, path))

    monkeypatch.setattr(module, "open_file", opened)
    return names


def test_copies_of_a_file_of_many_frames_are_read_once_each_and_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(3 << 20)
    rows = [row(tmp_path, name, content, frame=frame) for name in "ab" for frame in range(10)]
    names = opening(monkeypatch, Blocks)
    Blocks.asked_bytes.clear()
    assert find_twins(rows).left_out == dict.fromkeys(range(10, 20), "copy")
    assert names == ["a", "b"]
    assert max(Blocks.asked_bytes) <= 1 << 20


def test_files_on_bad_sectors_are_in_conflict_and_stop_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(tmp_path, name, b"same", frame=frame) for name in "ab" for frame in range(3)]
    names = opening(monkeypatch, BadSector)
    assert find_twins(rows).left_out == dict.fromkeys(range(3, 6), "conflict")
    assert names == ["a", "b"]
