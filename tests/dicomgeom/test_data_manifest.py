"""Manifests of public data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomgeom.data_manifest import (
    FOLDER,
    incomplete,
    keep_data_manifest,
    kept_data_manifest,
    load_data_manifest,
    shipped_data_manifests,
)
from dicomgeom.errors import WrongUse


def test_eight_data_sets_are_known() -> None:
    assert shipped_data_manifests() == (
        "acdc",
        "data-science-bowl-2015",
        "fastmri-knee",
        "mms",
        "mms-2",
        "mrnet",
        "sunnybrook",
        "uk-biobank",
    )
    for name in shipped_data_manifests():
        manifest = load_data_manifest(name)
        assert manifest.name == name
        assert set(manifest.views.values()) <= {"SAX", "2CH", "3CH", "4CH", "SAG", "COR", "AX"}


def test_a_copy_is_checked_by_its_counts(tmp_path: Path) -> None:
    manifest = load_data_manifest("mrnet")
    assert len(manifest.missing(tmp_path)) == 2
    for folder, count in (("train", 1130), ("valid", 119)):
        (tmp_path / folder / "sagittal").mkdir(parents=True)
        for number in range(count):
            (tmp_path / folder / "sagittal" / f"{number:04d}.npy").touch()
    line = "validation exams (valid/sagittal/*.npy): found 119, expected 120"
    assert manifest.missing(tmp_path) == [line]
    assert incomplete(manifest, [tmp_path / "gone", tmp_path / "train", tmp_path]) == [line]


def test_what_is_unknown_is_not_checked(tmp_path: Path) -> None:
    assert load_data_manifest("uk-biobank").missing(tmp_path) == []


def test_a_data_sets_own_split_goes_by_the_path() -> None:
    bowl = load_data_manifest("data-science-bowl-2015")
    assert bowl.split_of("train/17/study/sax_5/IM-1-1.dcm") == "train"
    assert bowl.split_of("validate/517/study/2ch_5/IM-1-1.dcm") == "validation"
    assert bowl.split_of("elsewhere/x") is None


def test_a_catalogue_keeps_its_data_sets_manifest(tmp_path: Path) -> None:
    assert kept_data_manifest(tmp_path) is None
    keep_data_manifest("acdc", tmp_path)
    kept = kept_data_manifest(tmp_path)
    assert kept is not None
    assert kept.labels is not None
    assert (kept.name, kept.labels.codes["3"], kept.labels.base) == ("acdc", "LV cavity", "first")


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = (
        (FOLDER / "acdc.toml").read_text().replace("anatomy", "anatmy").replace("count = 100", "count = -1")
    )
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(WrongUse, match=r"missing key 'anatomy'(?s:.*)expected.0.count(?s:.*)'anatmy'"):
        load_data_manifest(tmp_path / "own.toml")
    with pytest.raises(WrongUse, match="no data manifest 'acdcc'"):
        load_data_manifest("acdcc")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(WrongUse, match="not TOML"):
        load_data_manifest(tmp_path / "bad.toml")
