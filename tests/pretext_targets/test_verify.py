from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from dicomgeom.errors import IntegrityError, WrongVersion
from pretext_targets.build import BuildPlan, build
from pretext_targets.folder import record_of
from pretext_targets.manifest import read_row, write_row
from pretext_targets.place import FileRecord, record_of_bytes
from pretext_targets.places import place_of
from pretext_targets.store import fields_of
from pretext_targets.verify import verify_store
from tests.pretext_targets.conftest import SHARD

Change = Callable[[np.ndarray], np.ndarray]

ARRAYS = tuple(one.name for one in fields_of(["rasters"]))


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy.zarr"))


def files_of(store: Path, name: str, shard: int) -> list[Path]:
    return [path for path in (store / name / "c" / str(shard)).rglob("*") if path.is_file()] or [
        store / name / "c" / str(shard)
    ]


def test_a_store_just_built_is_sound(built: Path) -> None:
    assert verify_store(built) == []


@pytest.mark.parametrize("name", ARRAYS)
def test_one_flipped_bit_is_found_in_every_array(store: Path, name: str) -> None:
    draw = random.Random()
    (path,) = files_of(store, name, 2)
    content = bytearray(path.read_bytes())
    place, bit = draw.randrange(len(content)), draw.randrange(8)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    problems = verify_store(store)
    assert len(problems) == 1, (place, bit)
    assert problems[0].startswith(f"{name}/c/2")
    assert "has changed since it was written" in problems[0]


def test_changed_metadata_is_found(store: Path) -> None:
    for path in (store / "zarr.json", store / "image" / "zarr.json"):
        path.write_text(path.read_text() + " ")
    assert sorted(one.split(" ")[0] for one in verify_store(store)) == ["image/zarr.json", "zarr.json"]


def test_a_missing_file_and_a_missing_row_are_found_with_what_to_do(store: Path) -> None:
    files_of(store, "line_heatmap", 1)[0].unlink()
    (store / "manifest" / "000003.json").unlink()
    problems = verify_store(store)
    assert problems == [
        "line_heatmap/c/1/0/0/0 is missing; delete manifest/000001.json and run the same build-targets again",
        "manifest/000003.json is missing; run the same build-targets again",
    ]


def test_what_an_array_says_of_itself_is_mended_by_the_advice(store: Path, plan: BuildPlan) -> None:
    fill = store / "image" / "zarr.json"
    whole = fill.read_bytes()
    fill.write_bytes(whole.replace(b'"fill_value": 0', b'"fill_value": 7'))
    (problem,) = verify_store(store)
    assert "image/zarr.json has changed" in problem
    assert "delete manifest/store.json and run the same build-targets again" in problem
    for damage in (lambda: None, fill.unlink):
        damage()
        (store / "manifest" / "store.json").unlink()
        build(plan, store, shard=SHARD)
        assert fill.read_bytes() == whole
        assert verify_store(store) == []


def test_another_fill_value_is_found_even_where_the_row_vouches_for_it(store: Path) -> None:
    fill = store / "image" / "zarr.json"
    fill.write_bytes(fill.read_bytes().replace(b'"fill_value": 0', b'"fill_value": 7'))
    row = read_row(store, -1)
    assert row is not None
    record = record_of_bytes(fill.read_bytes())
    write_row(place_of(store), replace(row, files={**row.files, "image/zarr.json": record}))
    assert verify_store(store) == ["image: fill_value is 7, the schema says 0"]


def test_a_broken_row_is_found(store: Path) -> None:
    (store / "manifest" / "000000.json").write_text('{"shard": 0')
    assert "000000.json is broken" in verify_store(store)[0]


def test_a_row_that_forgot_a_file_is_found(store: Path) -> None:
    path = store / "manifest" / "000001.json"
    row = json.loads(path.read_text())
    del row["files"]["image/c/1/0/0"]
    path.write_text(json.dumps(row))
    assert "image/c/1/0/0 is not listed by its row" in verify_store(store)[0]


def test_a_row_under_the_name_of_another_is_found_and_no_build_takes_it_for_done(
    store: Path, plan: BuildPlan
) -> None:
    rows = store / "manifest"
    shutil.copy(rows / "000001.json", rows / "000000.json")
    (problem,) = verify_store(store)
    assert "000000.json says that it is the row of shard 1; delete it and run the same" in problem
    with pytest.raises(IntegrityError, match="is the row of shard 1"):
        build(plan, store, shard=SHARD)
    (rows / "000000.json").unlink()
    assert build(plan, store, shard=SHARD).shards_written == 1
    assert verify_store(store) == []


@pytest.mark.parametrize("name", ["stack_mean/c/3", "stack_max/c/0", "image/zarr.json", "zarr.json"])
def test_a_row_of_the_store_that_forgot_a_file_is_found_and_mended_by_the_advice(
    store: Path, plan: BuildPlan, name: str
) -> None:
    row = read_row(store, -1)
    assert row is not None
    write_row(place_of(store), replace(row, files={one: row.files[one] for one in row.files if one != name}))
    if name != "zarr.json":
        (store / name).unlink()
    remedy = "delete manifest/store.json and run the same build-targets again"
    assert verify_store(store) == [f"{name} is not listed by its row; {remedy}"]
    (store / "manifest" / "store.json").unlink()
    build(plan, store, shard=SHARD)
    assert verify_store(store) == []
    assert read_row(store, -1) == row


@pytest.mark.parametrize(("key", "value"), [("shard", 0), ("shard", -4), ("examples", -1)])
def test_sizes_that_no_store_can_have_are_told_in_one_line(store: Path, key: str, value: int) -> None:
    marker = json.loads((store / "zarr.json").read_text())
    marker["attributes"]["anatprep"][key] = value
    (store / "zarr.json").write_text(json.dumps(marker))
    with pytest.raises(IntegrityError, match=rf"its description is broken \({key}\)") as told:
        verify_store(store)
    assert "\n" not in str(told.value)


def test_other_versions_and_no_store_at_all_are_errors(store: Path, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="not an anatprep store"):
        verify_store(tmp_path / "nowhere")
    text = (store / "zarr.json").read_text().replace('"version": 1', '"version": 2')
    (store / "zarr.json").write_text(text)
    with pytest.raises(WrongVersion):
        verify_store(store)


def tampered(store: Path, name: str, change: Change) -> None:
    """Change an array and its hashes alike, so that only the labels themselves can tell."""
    array = zarr.open_array(store / name, mode="r+")
    with zarr.config.set({"array.write_empty_chunks": True}):
        array[...] = change(np.asarray(array[...]))
    for row_path in (store / "manifest").glob("*.json"):
        row = json.loads(row_path.read_text())
        for file in row["files"]:
            record: FileRecord = record_of(store / file)
            row["files"][file] = {"size_bytes": record.size_bytes, "sha256": record.sha256}
        row_path.write_text(json.dumps(row))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("box_mask", lambda old: np.roll(old, 1, axis=2), "box_mask is not what its parameters draw"),
        ("line_heatmap", lambda old: old[:, ::-1], "line_heatmap is not what its parameters draw"),
        ("line", lambda old: -old, "not canonical"),
        ("line", lambda old: old * 1.001, "not normalised"),
        ("box_centre", lambda old: old + 0.1, "boxes do not follow"),
        ("box_centre", lambda old: old[:, [0, 2, 1, *range(3, 9)]], "boxes do not follow"),
        ("location", lambda old: 1 - old, "location"),
        ("location_sine", lambda old: old * 0.9, "location_sine"),
        ("patient_from_pixel", lambda old: old * 1.01, "no grid of the store's spacing"),
        ("image", lambda old: old // 2, "statistics do not follow"),
    ],
)
def test_labels_that_no_longer_follow_from_geometry_are_found(
    store: Path, name: str, change: Change, said: str
) -> None:
    tampered(store, name, change)
    problems = verify_store(store)
    assert any(said in problem for problem in problems), problems
