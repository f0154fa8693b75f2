"""What a report looks at before it draws a store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dicomgeom.catalogue import open_catalogue
from dicomgeom.errors import IntegrityError
from dicomgeom.index import index
from pretext_targets.build import build, plan_build
from pretext_targets.protocol import load_protocol
from pretext_targets.verify import verify_store
from reporting import store_stacks
from reporting.soundness import refuse_changed_store


@pytest.fixture(scope="module")
def whole(heart_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one stack of four slices and three phases, four examples a shard."""
    folder = tmp_path_factory.mktemp("soundness")
    index([heart_export], folder / "catalogue")
    protocol = load_protocol("cardiac-sax").with_changes(rows=32, columns=32, spacing_mm=7.0)
    build(plan_build(open_catalogue(folder / "catalogue"), protocol), folder / "sax.zarr", shard=4)
    return folder / "sax.zarr"


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "sax.zarr"))


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "name", ["image/c/1/0/0", "line_heatmap/c/2/0/0/0", "split/c/0", "location/zarr.json"]
)
def test_a_flipped_byte_in_what_is_drawn_is_told(name: str, store: Path) -> None:
    refuse_changed_store(store)
    flip_a_byte(store / name)
    with pytest.raises(IntegrityError, match=f"is broken: {name} has changed since") as caught:
        refuse_changed_store(store)
    assert "\n" not in str(caught.value)


def test_several_problems_are_one_line_and_counted(store: Path) -> None:
    flip_a_byte(store / "image/c/0/0/0")
    (store / "image/c/2/0/0").unlink()
    with pytest.raises(IntegrityError, match=r"image/c/0/0/0 has changed since it was written and 1 more; "):
        refuse_changed_store(store)


def test_pixels_that_are_not_drawn_are_left_to_verify(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_stacks, "STACKS_PICTURED", 0)
    flip_a_byte(store / "image/c/1/0/0")
    refuse_changed_store(store)
    assert verify_store(store)
