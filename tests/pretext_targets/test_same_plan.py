"""A store that was begun for something else says what differs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicomgeom.data_manifest import DataManifest, load_data_manifest
from dicomgeom.errors import HalfWritten, WrongUse
from dicomgeom.progress import silent
from pretext_targets.attributes import StoreAttributes
from pretext_targets.build import attributes_of, build
from pretext_targets.build_plan import BuildPlan
from pretext_targets.fingerprint import content_of_images, sha256_of
from pretext_targets.nifti_sets import plan_nifti
from pretext_targets.places import place_of
from pretext_targets.protocol import Protocol
from pretext_targets.same_plan import same_plan
from tests.pretext_targets.conftest import SHARD
from tests.pretext_targets.test_label_codes import naming
from tests.pretext_targets.test_nifti_sets import COLUMNS, drawn, grid, image, save

__all__ = ["grid"]

ACDC = load_data_manifest("acdc")


def refused(built: Path, wanted: StoreAttributes) -> str:
    """What is said to differ."""
    with pytest.raises(WrongUse, match="was built from something else than now") as told:
        same_plan(place_of(built), wanted, None)
    return str(told.value).split("(")[1].split(")")[0]


def test_parts_that_only_one_of_the_plans_has_are_told(built: Path, plan: BuildPlan) -> None:
    there = attributes_of(plan, rasters=True, shard=SHARD)
    assert same_plan(place_of(built), there, None).plan_sha256 == plan.sha256
    parts = {**there.parts_sha256, "tissues": "a", "segmentations": "b"}
    assert refused(built, there.model_copy(update={"plan_sha256": "other", "parts_sha256": parts})) == (
        "no segmentations there; no tissues there"
    )


def test_a_store_of_an_earlier_version_cannot_tell_which_part_differs(
    plan: BuildPlan, protocol: Protocol, tmp_path: Path
) -> None:
    there = attributes_of(plan, rasters=True, shard=SHARD)
    build(plan, tmp_path / "store.zarr", shard=SHARD)
    marker = tmp_path / "store.zarr" / "zarr.json"
    for part in there.parts_sha256.values():
        marker.write_text(marker.read_text().replace(f'"catalogue": "{part}"', ""))
    other = there.model_copy(update={"plan_sha256": "other"})
    assert "another catalogue, segmentations, tissues or findings" in refused(marker.parent, other)
    finer = protocol.with_changes(spacing_mm=4.0).as_dict()
    assert refused(marker.parent, other.model_copy(update={"protocol": finer})) == (
        "protocol: spacing_mm 5.5 there, 4.0 asked for"
    )


def test_what_differs_from_the_store_that_is_there_is_named(grid: Protocol, tmp_path: Path) -> None:
    path = tmp_path / "set" / "patient001_frame01.nii.gz"
    save(path, image(1))
    save(path.with_name("patient001_frame01_gt.nii.gz"), drawn(1))

    def said(manifest: DataManifest, salt: bytes = b"", protocol: Protocol = grid) -> str:
        with pytest.raises(WrongUse, match="was built from something else than now") as refused:
            build(plan_nifti(tmp_path / "set", protocol, manifest, salt=salt), tmp_path / "store")
        return str(refused.value).split("(")[1].split(")")[0]

    build(plan_nifti(tmp_path / "set", grid, ACDC), tmp_path / "store")
    assert said(naming({"1": "LV", "2": "MYO", "3": "RV"})) == "other manifest"
    assert said(ACDC, salt=b"sixteen bytes at the least") == "other salt"
    wide = grid.with_changes(columns=COLUMNS + 2, frames=1)
    assert said(ACDC, protocol=wide) == (
        f"protocol: columns {COLUMNS} there, {COLUMNS + 2} asked for, frames 'all' there, 1 asked for"
    )
    save(path.with_name("patient001_frame01_gt.nii.gz"), drawn(2))
    assert said(ACDC) == "other segmentations"
    save(path.with_name("patient001_frame02.nii.gz"), image(2))
    assert said(ACDC) == "other files; other segmentations"


def labelled_set(folder: Path) -> Path:
    """Two patients, each an image and its label map."""
    for number in (1, 2):
        save(folder / f"patient{number:03d}_frame01.nii", image(number))
        save(folder / f"patient{number:03d}_frame01_gt.nii", drawn(number))
    return folder


@pytest.mark.parametrize("mended", ["pixels", "affines"])
def test_images_mended_at_the_same_length_are_refused_by_a_store_that_has_some_of_them(
    mended: str, grid: Protocol, tmp_path: Path
) -> None:
    folder, store = labelled_set(tmp_path / "set"), tmp_path / "store"

    def stopped(what: str, *, done: int, total: int) -> None:
        if what.startswith("writing") and done:
            raise InterruptedError

    with pytest.raises(HalfWritten):
        build(plan_nifti(folder, grid, ACDC), store, shard=4, progress=stopped)
    assert [path.name for path in (store / "manifest").iterdir()] == ["000000.json"]
    path = folder / "patient001_frame01.nii"
    before = path.stat().st_size
    save(path, image(7) if mended == "pixels" else image(1), np.diag([-3.0, -3.0, 10.0, 1.0]))
    assert path.stat().st_size == before
    with pytest.raises(WrongUse, match=r"was built from something else than now \(other files\)"):
        build(plan_nifti(folder, grid, ACDC), store, shard=4)


def test_a_labelled_set_that_moved_or_was_copied_is_the_same(grid: Protocol, tmp_path: Path) -> None:
    folder = labelled_set(tmp_path / "set")
    there = plan_nifti(folder, grid, ACDC)
    elsewhere = shutil.copytree(folder, tmp_path / "moved", copy_function=shutil.copyfile)
    moved = plan_nifti(elsewhere, grid, ACDC)
    assert moved.sha256 == there.sha256
    assert moved.parts_sha256 == there.parts_sha256


@pytest.mark.parametrize("changed", [{"column_spacing_mm": 3.0}, {"rows": 8}])
def test_the_planes_of_images_count_beside_their_bytes(
    changed: dict[str, float], grid: Protocol, tmp_path: Path
) -> None:
    paths = ["patient001_frame01.nii"]
    plane = plan_nifti(labelled_set(tmp_path), grid, ACDC).slices[0].plane
    one, other = (
        content_of_images(tmp_path, paths, [plane], silent) for plane in (plane, replace(plane, **changed))
    )
    assert one[0] == other[0]
    assert sha256_of(one) != sha256_of(other)
