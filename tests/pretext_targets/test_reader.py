from __future__ import annotations

import multiprocessing
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

from dicomgeom.errors import HalfWritten, IntegrityError, WrongUse
from pretext_targets.build import build
from pretext_targets.plan import BuildPlan
from pretext_targets.reader import StoreReader
from pretext_targets.store import create_group, open_store
from pretext_targets.verify import verify_store


def test_every_array_reads_as_zarr_reads_it(built: Path) -> None:
    reader = StoreReader(built)
    wanted = np.random.default_rng(0).integers(0, len(reader), 40)
    for name in reader.names:
        whole = np.asarray(zarr.open_array(built / name, mode="r")[:])
        found = reader.read(name, wanted)
        assert found.dtype == whole.dtype
        np.testing.assert_array_equal(found, whole[wanted])


def test_columns_are_read_once_and_cannot_be_changed(built: Path) -> None:
    reader = StoreReader(built)
    location = reader.column("location")
    assert reader.column("location") is location
    with pytest.raises(ValueError, match="read-only"):
        location[0] = 3
    with pytest.raises(WrongUse, match="read slices of it"):
        reader.column("image")


def test_examples_outside_the_store_are_refused(built: Path) -> None:
    reader = StoreReader(built)
    for wrong in (-1, len(reader)):
        with pytest.raises(WrongUse, match=r"0 \.\.\. 23"):
            reader.read("image", [0, wrong])


def test_a_reader_can_be_sent_to_another_process(built: Path) -> None:
    reader = StoreReader(built)
    reader.read("image", [0])
    again = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(again.read("image", [5, 1]), reader.read("image", [5, 1]))


def test_slices_never_written_read_as_fill(tmp_path: Path, built: Path) -> None:
    about = open_store(built).attributes.model_copy(update={"complete": True})
    create_group(tmp_path / "sparse.zarr", about)
    image = zarr.open_array(tmp_path / "sparse.zarr" / "image", mode="r+")
    image[3] = 9
    found = StoreReader(tmp_path / "sparse.zarr").read("image", [2, 3])
    assert not found[0].any()
    assert (found[1] == 9).all()


def test_damage_is_an_error_and_never_an_image(built: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(built, tmp_path / "copy.zarr"))
    shard = store / "image" / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[:8] = b"\xff" * 8
    shard.write_bytes(content)
    with pytest.raises(IntegrityError, match="run anatprep verify"):
        StoreReader(store).read("image", range(7))
    shard.write_bytes(b"short")
    with pytest.raises(IntegrityError, match="truncated"):
        StoreReader(store).read("image", [0])
    shard.unlink()
    with pytest.raises(IntegrityError, match="missing or empty"):
        StoreReader(store).read("image", [0])


def test_a_column_whose_file_is_gone_or_broken_is_an_error_and_never_fill_values(
    built: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(built, tmp_path / "copy.zarr"))
    chunk = store / "split" / "c" / "1"
    content = chunk.read_bytes()
    for wrong in (content[: len(content) // 2], b"", None):
        chunk.unlink() if wrong is None else chunk.write_bytes(wrong)
        what = "missing" if wrong is None else "broken"
        with pytest.raises(IntegrityError, match=f"split/c/1 is {what}; run anatprep verify"):
            StoreReader(store).column("split")


def test_a_column_that_lies_otherwise_is_read_through_zarr(built: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(built, tmp_path / "copy.zarr"))
    values = zarr.open_array(built / "location", mode="r")[...]
    shutil.rmtree(store / "location")
    array = zarr.create_array(store, name="location", shape=values.shape, dtype="float32", chunks=(5,))
    array[...] = values
    np.testing.assert_array_equal(StoreReader(store).column("location"), values)


def test_an_unfinished_store_is_refused_unless_asked_for(
    tmp_path: Path, plan: BuildPlan, built: Path
) -> None:
    create_group(tmp_path / "new.zarr", open_store(built).attributes.model_copy(update={"complete": False}))
    with pytest.raises(HalfWritten):
        StoreReader(tmp_path / "new.zarr")
    assert len(StoreReader(tmp_path / "new.zarr", unfinished=True)) == len(plan.examples)


def test_an_array_that_lies_otherwise_is_read_through_zarr(built: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    shutil.copytree(built, store)
    pixels = zarr.open_array(built / "image", mode="r")[...]
    for codec in (zarr.codecs.GzipCodec(), zarr.codecs.ZstdCodec()):
        shutil.rmtree(store / "image")
        array = zarr.create_array(
            store, name="image", shape=pixels.shape, dtype="uint16", chunks=(5, *pixels.shape[1:]),
            compressors=codec,
        )  # fmt: skip
        array[...] = pixels
        wanted = [3, 0, 3, len(pixels) - 1]
        np.testing.assert_array_equal(StoreReader(store).read("image", wanted), pixels[wanted])


def test_threads_share_a_reader(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretext_targets.reader.OPEN_SHARDS", 2)  # so that files come and go
    reader = StoreReader(built)
    expected = reader.read("image", np.arange(len(reader)))

    def look(seed: int) -> bool:
        wanted = np.random.default_rng(seed).integers(0, len(reader), 40)
        same = np.array_equal(reader.read("image", wanted), expected[wanted])
        return same and reader.read("line_heatmap", wanted[:5]).shape[0] == 5

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(look, range(40)))


@pytest.mark.parametrize("how", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_reader_that_was_used_goes_on_in_other_processes(how: str, built: Path) -> None:
    reader = StoreReader(built)
    expected = reader.read("image", [1, 5, 9])
    context = multiprocessing.get_context(how)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        for found in pool.map(reader.read, ["image"] * 3, [[1, 5, 9]] * 3):
            np.testing.assert_array_equal(found, expected)


def test_plain_pixels_are_read_without_a_codec(plan: BuildPlan, built: Path, tmp_path: Path) -> None:
    build(plan, tmp_path / "plain.zarr", shard=5, compression="none")
    assert verify_store(tmp_path / "plain.zarr") == []
    plain, packed = StoreReader(tmp_path / "plain.zarr"), StoreReader(built)
    every = np.arange(len(packed))
    for name in ("image", "box_mask", "line_heatmap"):
        np.testing.assert_array_equal(plain.read(name, every), packed.read(name, every))
