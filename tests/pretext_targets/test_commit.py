"""What is committed was on disk and read back equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomgeom.errors import IntegrityError
from pretext_targets import folder as module
from pretext_targets.build import attributes_of
from pretext_targets.commit import commit
from pretext_targets.folder import WORKING, Folder, record_of
from pretext_targets.plan import BuildPlan
from pretext_targets.store import Compression, StoreAttributes, create_group, open_array


@pytest.fixture
def attributes(plan: BuildPlan) -> StoreAttributes:
    return attributes_of(plan, rasters=True, shard=7)


def some_arrays(attributes: StoreAttributes, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 4000, (count, attributes.rows, attributes.columns)).astype(np.uint16)
    return {
        "image": image,
        "box_mask": np.repeat(image[:1].astype(np.uint8), count, axis=0),
        "location": rng.random(count).astype(np.float32),
        "valid": rng.random(count) > 0.5,
    }


@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
def test_committed_arrays_are_what_zarr_reads(
    compression: Compression, attributes: StoreAttributes, tmp_path: Path
) -> None:
    attributes = attributes.model_copy(update={"compression": compression})
    create_group(tmp_path / "store", attributes)
    arrays = some_arrays(attributes, 14)
    same_slice = [False] + [True] * 13
    records = commit(Folder(tmp_path / "store"), attributes, arrays, 7, 21, same_slice=same_slice)
    assert sorted(records) == list(records)
    assert {name.split("/c/")[1][0] for name in records} == {"1", "2"}
    for name, record in records.items():
        assert record_of(tmp_path / "store" / name) == record
    for name, values in arrays.items():
        np.testing.assert_array_equal(open_array(tmp_path / "store", name)[7:21], values)
    assert not list((tmp_path / "store" / WORKING).iterdir())


def test_what_does_not_read_back_is_not_moved_in(
    attributes: StoreAttributes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rotten(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 4
        path.write_bytes(content)

    monkeypatch.setattr(module, "_sync_file", rotten)
    create_group(tmp_path / "store", attributes)
    with pytest.raises(IntegrityError, match="did not read back; the disk is failing or full"):
        commit(Folder(tmp_path / "store"), attributes, some_arrays(attributes, 7), 0, 7)
    assert not list((tmp_path / "store").glob("*/c/**/*"))
