"""Builds that were killed, or ran out of disk: finished bit for bit by the same command."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import EXIT_INTEGRITY, HalfWritten, WrongUse
from dicomgeom.index import index
from pretext_targets.build import BuildPlan, build, plan_build
from pretext_targets.folder import WORKING, Folder
from pretext_targets.protocol import Protocol
from pretext_targets.store import open_store
from pretext_targets.verify import verify_store
from tests.helpers.built_stores import content_of, kill_build
from tests.pretext_targets.conftest import SHARD, write_heart


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        ("at once", 0),
        ("between shards", 2),
        ("among a shard's files", 2),
        ("before a row", 2),
        ("before the end", 4),
    ],
)
def test_a_killed_build_is_finished_bit_for_bit(
    moment: str, kept: int, plan: BuildPlan, catalogue: Catalogue, built: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    kill_build(catalogue, store, moment)
    with pytest.raises(HalfWritten, match="half-written"):
        open_store(store)
    assert any("half-written" in problem for problem in verify_store(store))
    summary = build(plan, store, shard=SHARD)
    assert (summary.shards_kept, summary.shards_written) == (kept, 4 - kept)
    assert content_of(store) == content_of(built)


def test_finished_shards_are_not_touched(plan: BuildPlan, built: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(built, tmp_path / "store.zarr"))
    (store / "manifest" / "000002.json").unlink()
    other = store / "image" / "c" / "1" / "0" / "0"
    before = os.stat(other).st_ino, os.stat(other).st_mtime_ns
    summary = build(plan, store)
    assert (summary.shards_written, summary.shards_kept) == (1, 3)
    assert (os.stat(other).st_ino, os.stat(other).st_mtime_ns) == before
    assert content_of(store) == content_of(built)


def test_a_shard_whose_file_went_missing_is_written_again(
    plan: BuildPlan, built: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(built, tmp_path / "store.zarr"))
    (store / "box_mask" / "c" / "1" / "0" / "0").unlink()
    assert build(plan, store).shards_written == 1
    assert content_of(store) == content_of(built)


def test_what_a_killed_process_was_writing_is_taken_away_by_the_next_build(
    plan: BuildPlan, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Path(shutil.copytree(built, tmp_path / "store.zarr"))
    (store / "manifest" / "000002.json").unlink()

    def killed(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        patched.setattr(Path, "unlink", lambda *_, **__: None)  # the killed do not clear up
        with pytest.raises(InterruptedError):
            Folder(store).put("manifest/000002.json", b"half a row")
    left = [path for path in store.rglob("*") if path.is_file() and path.read_bytes() == b"half a row"]
    assert len(left) == 1
    build(plan, store, shard=SHARD)
    assert content_of(store) == content_of(built)


def test_a_full_disk_keeps_what_is_there_and_the_build_goes_on_when_there_is_room(
    plan: BuildPlan, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, store = os.fsync, tmp_path / "store.zarr"
    rows = store / "manifest"

    def full(descriptor: int) -> None:
        if rows.is_dir() and len(list(rows.glob("*.json"))) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HalfWritten, match="half-written: No space left on device; finished shards") as raised:
        build(plan, store, shard=SHARD)
    assert raised.value.exit_code == EXIT_INTEGRITY
    monkeypatch.undo()
    assert sorted(path.name for path in rows.iterdir()) == ["000000.json", "000001.json"]
    assert not list((store / WORKING).glob("*/*"))
    summary = build(plan, store, shard=SHARD)
    assert (summary.shards_kept, summary.shards_written) == (2, 2)
    assert content_of(store) == content_of(built)


def test_a_disk_that_is_full_from_the_start_is_another_output(
    plan: BuildPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WrongUse, match=r"cannot be written \(No space left on device\); give another output"):
        build(plan, tmp_path / "store.zarr")
    assert not list(tmp_path.iterdir())


def test_two_builds_at_once_are_refused(plan: BuildPlan, built: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(built, tmp_path / "store.zarr"))
    with Folder(store).only_one_build(), pytest.raises(WrongUse, match="being built by another process"):
        build(plan, store)
    build(plan, store)


def test_files_that_could_not_be_opened_are_tried_again_by_the_next_run(
    protocol: Protocol, tmp_path: Path
) -> None:
    write_heart(tmp_path / "export", patient="third", number=3)
    index([tmp_path / "export"], tmp_path / "catalogue")
    plan = plan_build(open_catalogue(tmp_path / "catalogue"), protocol)
    build(plan, tmp_path / "whole.zarr", shard=4)
    away = tmp_path / "export" / "0" / "1-1.dcm"
    away.rename(tmp_path / "elsewhere")
    first = build(plan, tmp_path / "store.zarr", shard=4)
    assert first.invalid_reasons == {"cannot-open": 1}
    (tmp_path / "elsewhere").rename(away)
    second = build(plan, tmp_path / "store.zarr", shard=4)
    assert (second.invalid, second.shards_written, second.shards_kept) == (0, 1, 2)
    assert content_of(tmp_path / "store.zarr") == content_of(tmp_path / "whole.zarr")
