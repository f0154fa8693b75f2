from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

from dicomgeom.errors import HalfWritten, IntegrityError, WrongVersion
from pretext_targets.store import SCHEMA, STACK_STATISTICS, fields_of, open_store, read_attributes


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy.zarr"))


def change(store: Path, **said: object) -> None:
    content = json.loads((store / "zarr.json").read_text())
    content["attributes"]["anatprep"].update(said)
    (store / "zarr.json").write_text(json.dumps(content))


def test_names_and_meanings_are_spelled_once() -> None:
    assert len({one.name for one in SCHEMA}) == len(SCHEMA)
    assert all(one.meaning and one.axes[0] == "example" for one in SCHEMA)
    assert set(STACK_STATISTICS) <= {one.name for one in fields_of([])}


def test_a_store_holds_what_the_schema_promises(built: Path) -> None:
    opened = open_store(built)
    about = opened.attributes
    assert opened.names == tuple(one.name for one in fields_of(["rasters"]))
    for one in about.fields:
        array = opened.array(one.name)
        assert array.shape == about.shape_of(one)
        assert str(array.dtype) == one.dtype
        assert array.metadata.dimension_names == one.axes
        assert array.attrs["meaning"] == one.meaning
    assert opened.array("image").chunks == (1, about.rows, about.columns)
    assert opened.array("image").shards == (about.shard, about.rows, about.columns)


def test_any_zarr_reader_can_open_a_store(built: Path) -> None:
    group = zarr.open_group(built, mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the manifest is no array, and Zarr says so
        assert set(group.array_keys()) == {one.name for one in fields_of(["rasters"])}
    assert np.isfinite(group["location"][:]).all()


def test_the_attributes_say_what_training_needs(built: Path) -> None:
    about = open_store(built).attributes
    assert about.partners == ("2CH", "4CH")
    assert about.box_names[0] == "centre"
    assert (about.rows, about.columns, about.examples, about.complete) == (36, 40, 24, True)
    assert about.box_side_px == pytest.approx(20 / 5.5)
    assert about.protocol["name"] == "cardiac-sax"


def test_a_path_without_a_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="not an anatprep store: found nothing"):
        open_store(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("something else")
    with pytest.raises(IntegrityError, match=r"not an anatprep store: found no zarr\.json"):
        open_store(tmp_path)


def test_another_programs_group_says_so(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "group.zarr")
    with pytest.raises(IntegrityError, match="not an anatprep store"):
        open_store(tmp_path / "group.zarr")
    (tmp_path / "group.zarr" / "zarr.json").write_text("{")
    with pytest.raises(IntegrityError, match="not an anatprep store"):
        open_store(tmp_path / "group.zarr")


def test_another_version_says_so(store: Path) -> None:
    change(store, version=7)
    with pytest.raises(WrongVersion, match="version 7, this program reads version 1"):
        open_store(store)


def test_another_format_says_so(store: Path) -> None:
    change(store, format="anatprep-run")
    with pytest.raises(IntegrityError, match="anatprep-run"):
        open_store(store)


def test_a_half_written_store_says_so_and_can_be_looked_into(store: Path) -> None:
    change(store, complete=False)
    with pytest.raises(HalfWritten, match="half-written; run the same build-targets command again"):
        open_store(store)
    assert not open_store(store, unfinished=True).attributes.complete


def test_broken_attributes_are_named_together(store: Path) -> None:
    change(store, rows="many", shard=None)
    with pytest.raises(IntegrityError, match="rows, shard"):
        read_attributes(store)


def test_missing_arrays_are_named_together(store: Path) -> None:
    shutil.rmtree(store / "line")
    shutil.rmtree(store / "valid")
    with pytest.raises(IntegrityError, match="missing arrays line, valid"):
        open_store(store)


def test_an_unknown_array_names_those_there_are(built: Path) -> None:
    with pytest.raises(IntegrityError, match="no array 'imgae'; it has image"):
        open_store(built).array("imgae")
