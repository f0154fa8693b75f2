"""Stores on object storage: a real S3 server on the loopback."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicomgeom.errors import HalfWritten, IntegrityError, WrongUse
from pretext_targets.build import BuildPlan, build
from pretext_targets.manifest import read_row, write_row
from pretext_targets.place import record_of_bytes
from pretext_targets.places import is_url, place_of
from pretext_targets.reader import StoreReader, open_reader
from pretext_targets.remote import publish
from pretext_targets.verify import verify_store


def remove(url: str, name: str) -> None:
    import obstore
    from obstore.store import from_url

    obstore.delete(from_url(url), name)


def test_a_published_store_reads_as_the_one_on_disk(built: Path, url: str) -> None:
    sent = publish(built, url)
    assert sent > 50
    here, there = StoreReader(built), open_reader(url)
    assert there.attributes == here.attributes
    assert (len(there), there.names) == (len(here), here.names)
    wanted = [5, 0, 5, len(here) - 1]
    for name in here.names:
        np.testing.assert_array_equal(there.read(name, wanted), here.read(name, wanted))
    assert verify_store(url) == []
    again = pickle.loads(pickle.dumps(there))
    np.testing.assert_array_equal(again.read("image", [3]), here.read("image", [3]))


def test_an_interrupted_copy_is_no_store_and_is_finished_by_the_same_call(built: Path, url: str) -> None:
    class Stop(Exception):
        pass

    def stop(what: str, *, done: int, total: int) -> None:
        if done == total // 2:
            raise Stop

    with pytest.raises(Stop):
        publish(built, url, progress=stop)
    with pytest.raises(IntegrityError, match=r"not an anatprep store: found no zarr\.json"):
        open_reader(url)
    whole = sum(1 for path in built.rglob("*") if path.is_file())
    assert 0 < publish(built, url) < whole
    assert verify_store(url) == []


def test_what_changed_or_went_missing_there_is_found(built: Path, url: str) -> None:
    publish(built, url)
    there = place_of(url)
    content = bytearray((built / "image/c/1/0/0").read_bytes())
    content[100] ^= 1
    there.put("image/c/1/0/0", bytes(content))
    remove(url, "line/c/0/0/0")
    problems = verify_store(url)
    assert len(problems) == 2
    assert any("image/c/1/0/0 has changed" in one for one in problems)
    assert any("line/c/0/0/0 is missing" in one for one in problems)


def test_another_store_is_not_overwritten(built: Path, plan: BuildPlan, url: str, tmp_path: Path) -> None:
    publish(built, url)
    other = tmp_path / "other.zarr"
    shutil.copytree(built, other)
    text = (other / "zarr.json").read_text().replace(plan.sha256, "0" * 64)
    (other / "zarr.json").write_text(text)
    with pytest.raises(WrongUse, match="holds another store"):
        publish(other, url)


def test_a_file_of_equal_length_that_changed_here_is_sent_again(
    built: Path, url: str, tmp_path: Path
) -> None:
    publish(built, url)
    changed = tmp_path / "changed.zarr"
    shutil.copytree(built, changed)
    name = "image_scale/c/0"
    content = bytearray((changed / name).read_bytes())
    content[-1] ^= 1
    (changed / name).write_bytes(bytes(content))
    row = read_row(changed, 0)
    assert row is not None
    write_row(place_of(changed), replace(row, files={**row.files, name: record_of_bytes(bytes(content))}))
    assert publish(changed, url) == 3  # the file, its row, and the metadata that was taken back meanwhile
    assert place_of(url).get(name) == bytes(content)
    assert publish(changed, url) == 0


def test_while_a_copy_is_renewed_nobody_takes_it_for_complete(built: Path, url: str, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(what: str, *, done: int, total: int) -> None:
        raise Stop

    publish(built, url)
    remove(url, min(read_row(built, 0).files))  # type: ignore[union-attr]
    with pytest.raises(Stop):
        publish(built, url, progress=stop)
    with pytest.raises(HalfWritten):
        open_reader(url)
    publish(built, url)
    assert verify_store(url) == []


def test_what_an_interrupted_copy_of_another_store_left_is_not_mixed_in(
    built: Path, url: str, tmp_path: Path
) -> None:
    publish(built, url)
    remove(url, "zarr.json")
    other = tmp_path / "other.zarr"
    shutil.copytree(built, other)
    row = read_row(other, 0)
    assert row is not None
    write_row(place_of(other), replace(row, sums={}))
    with pytest.raises(WrongUse, match="what is left of another store"):
        publish(other, url)
    assert publish(built, url) == 1


def test_what_is_no_store_says_so(built: Path, url: str, plan: BuildPlan, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="not an anatprep store: found nothing there"):
        open_reader(url)
    with pytest.raises(WrongUse, match="no address of a store"):
        place_of("ftp://somewhere/x")
    assert is_url(url)
    assert not is_url(str(built))
    build(plan, tmp_path / "half.zarr")
    (tmp_path / "half.zarr" / "manifest" / "000000.json").unlink()
    with pytest.raises(HalfWritten):
        publish(tmp_path / "half.zarr", url)
    publish(built, url)
    with pytest.raises(IntegrityError, match="no array"):
        open_reader(url).read("nonsense", [0])
    with pytest.raises(WrongUse, match="read slices"):
        open_reader(url).column("image")
