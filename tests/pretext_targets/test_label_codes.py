"""Codes of label maps: named, merged, meant to be background, and those that a manifest forgot."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from dicomgeom.data_manifest import DataManifest, load_data_manifest
from dicomgeom.errors import WrongUse
from pretext_targets.annotations import BACKGROUND
from pretext_targets.build import build
from pretext_targets.label_codes import CodeSeen, UnnamedCodes, codes_of
from pretext_targets.nifti_sets import plan_nifti
from pretext_targets.protocol import Protocol
from pretext_targets.reader import StoreReader
from tests.pretext_targets.test_nifti_sets import PHASES, SLICES, drawn, grid, image, save

__all__ = ["grid"]


def naming(codes: dict[str, str], merged: tuple[str, ...] = ()) -> DataManifest:
    acdc = load_data_manifest("acdc")
    assert acdc.labels is not None
    labels = acdc.labels.model_copy(update={"codes": codes, "merged": merged})
    return acdc.model_copy(update={"labels": labels})


def test_codes_have_the_hearts_own_names_and_some_are_meant_to_be_background() -> None:
    found = codes_of(naming({"1": "lv", "2": "myo", "9": "Background", "11": "background", "-3": "scar"}))
    assert found == {1: "LV cavity", 2: "LV myocardium", 9: BACKGROUND, 11: BACKGROUND, -3: "scar"}


@pytest.mark.parametrize(
    ("codes", "merged", "said"),
    [
        ({}, (), "names no codes of labels"),
        ({"one": "LV"}, (), "code 'one' is no whole number"),
        ({"1.5": "LV"}, (), "code '1.5' is no whole number"),
        ({"1": "LV", "01": "RV"}, (), "code 1 is named twice"),
        ({"1": " "}, (), 'code 1 has no name; what is meant to be background is called "background"'),
        ({"1": "LV", "4": "lv cavity"}, (), r"codes 1 and 4 have one name, 'LV cavity'; .*labels.merged"),
        ({"1": "LV", "2": "RV"}, ("RV",), "no two codes are called 'RV cavity'"),
    ],
)
def test_codes_that_make_no_sense_are_refused(
    codes: dict[str, str], merged: tuple[str, ...], said: str
) -> None:
    with pytest.raises(WrongUse, match=said):
        codes_of(naming(codes, merged))


def test_several_codes_make_one_structure_where_the_manifest_says_that_they_are_merged() -> None:
    assert codes_of(naming({"1": "LV", "4": "LV"}, ("lv",))) == {1: "LV cavity", 4: "LV cavity"}


def test_codes_without_a_name_are_counted_in_maps_and_pixels(tmp_path: Path) -> None:
    for number, special in enumerate((5, -2)):
        pixels = np.zeros((6, 5, 4, 2), dtype=np.int32)
        pixels[1, 1] = 1
        pixels[2, :3, 0, 0] = 5
        pixels[3, :2, 1, 1] = special
        pixels[4, 0, 2, 1] = 70_000
        nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), tmp_path / f"{number}.nii.gz")
    unnamed = UnnamedCodes({1: "LV cavity"})
    for number in (0, 1):
        for volume in (0, 1):
            unnamed.add(str(tmp_path / f"{number}.nii.gz"), volume * 4, 4)
    assert unnamed.found() == {-2: CodeSeen(1, 2), 5: CodeSeen(2, 8), 70_000: CodeSeen(2, 2)}
    assert list(unnamed.found()) == [-2, 5, 70_000]


def test_a_label_map_that_cannot_be_read_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.nii.gz").write_bytes(b"no NIfTI")
    unnamed = UnnamedCodes({1: "LV cavity"})
    unnamed.add(str(tmp_path / "broken.nii.gz"), 0, 4)
    assert unnamed.found() == {}


def test_a_code_that_the_manifest_does_not_name_is_told_and_so_is_the_structure_that_has_none(
    grid: Protocol, tmp_path: Path
) -> None:
    pixels = 0
    for number in (1, 2):
        save(tmp_path / "set" / f"patient00{number}_frame01.nii.gz", image(number))
        pixels += int(
            (save(tmp_path / "set" / f"patient00{number}_frame01_gt.nii.gz", drawn(number)) == 3).sum()
        )
    save(tmp_path / "set" / "patient003_frame01.nii.gz", image(3))
    wrong = naming({"1": "RV", "2": "MYO", "5": "LV"})
    summary = build(plan_nifti(tmp_path / "set", grid, wrong), tmp_path / "store")
    assert summary.codes_unnamed == {3: CodeSeen(label_maps=2, pixels=pixels)}
    assert summary.segments == {"LV cavity": 0, "LV myocardium": 2 * SLICES, "RV cavity": 2 * SLICES}
    assert summary.segments_missing == ["LV cavity"]
    assert (summary.annotated, summary.examples) == (2 * SLICES, 3 * SLICES)
    assert summary.some_skipped
    again = build(plan_nifti(tmp_path / "set", grid, wrong), tmp_path / "store")
    assert (again.shards_written, again.segments) == (0, summary.segments)


def test_a_code_that_is_meant_to_be_background_is_nothing_to_tell(grid: Protocol, tmp_path: Path) -> None:
    save(tmp_path / "set" / "patient001_frame01.nii.gz", image(1))
    labels = save(tmp_path / "set" / "patient001_frame01_gt.nii.gz", drawn(1))
    meant = naming({"1": "RV", "2": "MYO", "3": "background"})
    summary = build(plan_nifti(tmp_path / "set", grid, meant), tmp_path / "store")
    assert (summary.codes_unnamed, summary.segments_missing, summary.some_skipped) == ({}, [], False)
    reader = StoreReader(tmp_path / "store")
    assert reader.attributes.segment_names == ("background", "LV myocardium", "RV cavity")
    found = reader.read("segmentation", [0])[0]
    np.testing.assert_array_equal(found, np.array([0, 2, 1, 0])[labels[:, :, 0].T])


def test_codes_in_frames_that_were_not_chosen_are_not_told(grid: Protocol, tmp_path: Path) -> None:
    save(tmp_path / "patient001_4d.nii.gz", image(1, PHASES))
    save(tmp_path / "patient001_frame01_gt.nii.gz", np.minimum(drawn(1), 2))
    save(tmp_path / "patient001_frame03_gt.nii.gz", drawn(3))
    wrong = naming({"1": "RV", "2": "MYO"})
    assert plan_nifti(tmp_path, grid.with_changes(frames=1), wrong).codes_unnamed == {}
    assert set(plan_nifti(tmp_path, grid, wrong).codes_unnamed) == {3}
