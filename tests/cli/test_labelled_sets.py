"""Public data sets by their manifests."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_SOME_SKIPPED, EXIT_WRONG_USE
from tests.dicomgeom.test_views import exam


def test_a_manifest_checks_the_counts_and_gives_the_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = exam(tmp_path / "bowl" / "validate" / "501" / "study", ["SAX", "4CH", "2CH"]).parents[2]
    folder, words = tmp_path / "catalogue", ["--manifest", "data-science-bowl-2015", "--json"]
    assert run(["index", str(export), "-o", str(folder), *words]) == EXIT_SOME_SKIPPED
    said = json.loads(capsys.readouterr().out)["not_as_the_manifest_says"]
    assert "validation patients (validate/*/study): found 1, expected 200" in said
    assert len(said) == 3
    store = tmp_path / "store.zarr"
    words = ["--protocol", "cardiac-sax", "--size", "32", "--spacing-mm", "8", "-o", str(store), "--json"]
    assert run(["build-targets", str(folder), *words]) in (EXIT_DONE, EXIT_SOME_SKIPPED)
    (built,) = json.loads(capsys.readouterr().out)["stores"].values()
    assert built["splits"]["validation"] == built["examples"] > 0


def test_a_manifest_that_is_not_there_stops_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    words = ["index", str(tmp_path / "export"), "-o", str(tmp_path / "c"), "--manifest", "acdcc"]
    assert run(words) == EXIT_WRONG_USE
    assert not (tmp_path / "c").exists()


def test_a_folder_of_nifti_files_becomes_a_labelled_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for name, high in (("patient001_frame01", 900), ("patient001_frame01_gt", 4)):
        pixels = rng.integers(0, high, (30, 28, 3)).astype(np.int16)
        path = tmp_path / "set" / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(pixels, np.diag([2.0, 2.0, 10.0, 1.0])), path)
    words = ["--manifest", "acdc", "--size", "32", "-o", str(tmp_path / "s.zarr"), "--json"]
    assert run(["import-labels", str(tmp_path / "set"), *words]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["examples"] == 3
    assert run(["verify", str(tmp_path / "s.zarr")]) == EXIT_DONE


def test_both_ways_or_neither_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import-labels", str(tmp_path), "-o", str(tmp_path / "s")]) == EXIT_WRONG_USE
    assert "--manifest" in capsys.readouterr().err
