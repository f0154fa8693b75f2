"""Files with equal UIDs: copies, conflicts, and images of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
