from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cli.main import run
from dicomgeom.data_manifest import load_data_manifest
from dicomgeom.errors import EXIT_DONE, EXIT_SOME_SKIPPED, NothingUsable, WrongUse
from pretext_targets.array_sets import plan_arrays
from pretext_targets.build import build
from pretext_targets.protocol import Protocol, load_protocol
from pretext_targets.reader import StoreReader
from pretext_targets.verify import verify_store

ROWS, COLUMNS = 40, 48
EXAMS = {"train/sagittal/0001": 5, "train/sagittal/0002": 4, "valid/sagittal/1130": 6, "train/axial/0001": 3}
TOLD = {
    "train-acl": "0001,1\n0002,0\n",
    "train-abnormal": "0001,1\n0002,1\n",
    "valid-acl": "1130,0\n",
    "valid-abnormal": "1130,1\n",
}


@pytest.fixture
def grid() -> Protocol:
    """The arrays' own pixels, so that images can be compared one by one."""
    return load_protocol("knee-sag").with_changes(rows=ROWS, columns=COLUMNS, spacing_mm=0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Exams in MRNet's layout, those of this test's own making."""
    rng = np.random.default_rng(1)
    for name, slices in EXAMS.items():
        path = tmp_path / "mrnet" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rng.integers(0, 256, (slices, ROWS, COLUMNS)).astype(np.uint8))
    for name, text in TOLD.items():
        (tmp_path / "mrnet" / f"{name}.csv").write_text(text)
    return tmp_path / "mrnet"


def test_slices_findings_and_splits_come_from_the_files(grid: Protocol, folder: Path, tmp_path: Path) -> None:
    plan = plan_arrays(folder, grid, load_data_manifest("mrnet"))
    assert plan.left_out_counts == {"other-view": 1}
    build(plan, tmp_path / "store")
    assert verify_store(tmp_path / "store") == []
    reader = StoreReader(tmp_path / "store")
    assert len(reader) == 5 + 4 + 6
    assert sorted(reader.attributes.finding_names) == ["abnormal", "acl"]
    acl = reader.attributes.finding_names.index("acl")
    by_exam = {}
    for path, keys in zip(plan.examples["path"], reader.column("patient_key"), strict=True):
        by_exam.setdefault(path, set()).add(bytes(keys))
    assert all(len(keys) == 1 for keys in by_exam.values())
    for row, (path, place) in enumerate(plan.examples.select("path", "frame").iter_rows()):
        pixels = np.load(folder / path)[place]
        scale, offset = (reader.column(f"image_{one}")[row] for one in ("scale", "offset"))
        np.testing.assert_allclose(reader.read("image", [row])[0] * scale + offset, pixels, atol=0.01)
        assert reader.column("slice_index")[row] == place
        assert reader.column("split")[row] == (1 if path.startswith("valid") else 0)
        assert reader.column("findings")[row][acl] == (1 if "0001" in path else 0)
    assert np.isnan(reader.column("location")).all()
    assert np.isnan(reader.column("patient_from_pixel")).all()
    sine = reader.column("location_sine")[reader.column("n_slices") == 5]
    np.testing.assert_allclose(sine, [0.0, np.sqrt(0.5), 1.0, np.sqrt(0.5), 0.0], atol=1e-6)


def test_broken_arrays_are_left_out_and_never_unpickled(grid: Protocol, folder: Path, tmp_path: Path) -> None:
    np.save(folder / "train/sagittal/0003.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(folder / "train/sagittal/0004.npy", np.zeros((3, 3)))
    plan = plan_arrays(folder, grid, load_data_manifest("mrnet"))
    assert plan.left_out_counts == {"array-axes": 1, "array-broken": 1, "other-view": 1}


def test_folders_without_what_is_needed_say_so(grid: Protocol, folder: Path, tmp_path: Path) -> None:
    manifest = load_data_manifest("mrnet")
    with pytest.raises(WrongUse, match="is no folder"):
        plan_arrays(tmp_path / "nowhere", grid, manifest)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingUsable, match=r"no array of view SAG .* train/sagittal/NNNN\.npy"):
        plan_arrays(tmp_path / "empty", grid, manifest)
    for name in TOLD:
        (folder / f"{name}.csv").write_text("9999,1\n")
    with pytest.raises(NothingUsable, match="none of the 1 exams in the tables of findings"):
        plan_arrays(folder, grid, manifest)


def test_a_knee_is_diagnosed_from_arrays_at_the_command_line(folder: Path, tmp_path: Path) -> None:
    store, words = tmp_path / "store", ["--protocol", "knee-sag", "--size", "64", "--spacing-mm", "0.5"]
    code = run(["import-labels", str(folder), "--manifest", "mrnet", *words, "-o", str(store), "--json"])
    assert code in (EXIT_DONE, EXIT_SOME_SKIPPED)
    settings = ["backbone.width=4", "steps=2", "validate_every=2"]
    pairs = [word for setting in settings for word in ("--set", setting)]
    train = ["train", "diagnose-knee", "--store", str(store), "-o", str(tmp_path / "run"), *pairs, "--json"]
    assert run(train) == EXIT_DONE


def test_two_arrays_of_one_name_are_refused(grid: Protocol, folder: Path) -> None:
    given = next(path for path in folder.rglob("*.npy") if path.parent.name == "sagittal")
    other = folder / "other" / "sagittal" / given.name
    other.parent.mkdir(parents=True)
    other.write_bytes(given.read_bytes())
    with pytest.raises(WrongUse, match="have one name, which is the exam's"):
        plan_arrays(folder, grid, load_data_manifest("mrnet"))


def test_an_array_that_changed_at_the_same_length_is_no_longer_the_same_store(
    grid: Protocol, folder: Path, tmp_path: Path
) -> None:
    manifest = load_data_manifest("mrnet")
    build(plan_arrays(folder, grid, manifest), tmp_path / "s.zarr")
    assert build(plan_arrays(folder, grid, manifest), tmp_path / "s.zarr").shards_written == 0
    path = folder / "train" / "sagittal" / "0001.npy"
    np.save(path, np.load(path)[::-1])
    with pytest.raises(WrongUse, match="other files"):
        build(plan_arrays(folder, grid, manifest), tmp_path / "s.zarr")
