"""Chunks and shard files, written and read here, are what Zarr writes and reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from pretext_targets.chunks import ShardFile, chunk_bytes, mapped, read_chunk, shard_index
from pretext_targets.codecs import CODECS, SMALL_COLUMNS, Codec

EVERY = [None, SMALL_COLUMNS, *CODECS.values()]


@pytest.mark.parametrize("codec", EVERY)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "bool"])
def test_a_chunk_comes_back(codec: Codec | None, dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 2, (9, 7)).astype(dtype)
    found = np.empty(values.shape, dtype="uint8" if dtype == "bool" else dtype)
    read_chunk(chunk_bytes(values[::-1], codec), found, codec)
    np.testing.assert_array_equal(found, values[::-1])


def test_the_same_pixels_give_the_same_bytes() -> None:
    values = np.random.default_rng(1).integers(0, 4000, (224, 224)).astype(np.uint16)
    for codec in EVERY:
        assert len({chunk_bytes(values, codec) for _ in range(5)}) == 1


@pytest.mark.parametrize("codec", EVERY)
def test_a_shard_file_is_read_by_zarr_and_one_of_zarrs_by_us(codec: Codec | None, tmp_path: Path) -> None:
    from zarr.codecs import BloscCodec

    images = np.random.default_rng(2).integers(0, 9, (5, 6, 4)).astype(np.uint16)
    compressors = None if codec is None else BloscCodec(cname=codec.name, shuffle=codec.shuffle)
    array = zarr.create_array(
        tmp_path, name="a", shape=(5, 6, 4), dtype="uint16", chunks=(1, 6, 4), shards=(8, 6, 4),
        compressors=compressors, fill_value=7,
    )  # fmt: skip
    array[:] = images
    path = tmp_path / "a" / "c" / "0" / "0" / "0"
    zarrs = ShardFile(mapped(path), 8, codec)
    found = np.empty((6, 4), dtype=np.uint16)
    for place, image in enumerate(images):
        zarrs.read([place], [found], 7)
        np.testing.assert_array_equal(found, image)
    chunks = [chunk_bytes(image, codec) for image in images[::-1]]
    path.write_bytes(b"".join([*chunks, shard_index(chunks, 8)]))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], images[::-1])


def test_slots_that_hold_nothing_read_as_fill(tmp_path: Path) -> None:
    chunks = [chunk_bytes(np.ones((2, 2), dtype=np.uint8), None)]
    (tmp_path / "shard").write_bytes(b"".join([*chunks, shard_index(chunks, 3)]))
    found = np.zeros((2, 2), dtype=np.uint8)
    ShardFile(mapped(tmp_path / "shard"), 3, None).read([2], [found], 9)
    assert (found == 9).all()


def test_a_chunk_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="a chunk of 6 bytes expected, found 5"):
        read_chunk(b"12345", np.empty(6, dtype=np.uint8), None)
