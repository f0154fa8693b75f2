"""Public data sets by their manifests."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_SOME_SKIPPED, EXIT_WRONG_USE
from pretext_targets.build_reasons import NO_BOXES_REASONS
from pretext_targets.reader import StoreReader
from tests.dicomgeom.test_views import exam
from tests.pretext_targets.conftest import write_heart

SHIPPED = Path(__file__).parents[2] / "data_manifests"


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
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["examples"], told["annotated"]) == (3, 3)
    assert (told["codes_unnamed"], told["segments_missing"]) == ({}, [])
    assert "annotated: 3 of 3 examples (LV cavity in 3, LV myocardium in 3, RV cavity in 3)" in captured.err
    assert "next: anatprep train segment-sax" in captured.err
    assert run(["verify", str(tmp_path / "s.zarr")]) == EXIT_DONE
    again = ["import-labels", str(tmp_path / "s.zarr"), "--manifest", "acdc", "-o", str(tmp_path / "t.zarr")]
    assert run(again) == EXIT_WRONG_USE
    assert "s.zarr is a store; with --manifest give the folder of the data set" in capsys.readouterr().err


def test_a_set_of_ones_own_asks_for_a_salt_and_its_keys_depend_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 4, (30, 28, 3)).astype(np.int16)
    (tmp_path / "set").mkdir()
    for name in ("patient001_frame01", "patient001_frame01_gt"):
        nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), tmp_path / "set" / f"{name}.nii.gz")
    own = tmp_path / "own.toml"
    own.write_text((SHIPPED / "acdc.toml").read_text())
    words = ["import-labels", str(tmp_path / "set"), "--manifest", str(own), "--size", "32"]
    assert run([*words, "-o", str(tmp_path / "s")]) == EXIT_WRONG_USE
    assert "openssl rand -hex 32" in capsys.readouterr().err
    keys = []
    for salt in ("one secret of sixteen bytes", "another one, as long"):
        (tmp_path / "salt.txt").write_text(salt)
        store = tmp_path / f"{len(keys)}.zarr"
        assert run([*words, "-o", str(store), "--salt-file", str(tmp_path / "salt.txt")]) == EXIT_DONE
        keys.append(StoreReader(store).column("patient_key")[0].tobytes())
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cat", "segs", "--salt-file", "x"], "--salt-file goes with a FOLDER"),
        (["cat", "segs", "--first-pixel", "0"], "--first-pixel goes with --kind contours"),
        (["set", "--manifest", "acdc", "--kind", "contours"], "--kind goes with a CATALOGUE"),
        (["set", "--manifest", "acdc", "--first-pixel", "0"], "--first-pixel goes with a CATALOGUE"),
        (["set", "--manifest", "acdc", "--tissues", "t"], "--tissues goes with a CATALOGUE"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import-labels", *words, "-o", "store"]) == EXIT_WRONG_USE
    assert message in capsys.readouterr().err


def test_annotations_that_were_not_used_are_told_and_only_what_was_asked_for_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_heart(tmp_path / "export" / "P1", patient="P1", number=1)
    series = tmp_path / "export" / "P1" / "0"
    for number, path in enumerate(sorted(series.iterdir()), start=11):
        path.rename(series / f"IM-0001-{number:04d}.dcm")
    catalogue, drawn = tmp_path / "catalogue", tmp_path / "contours"
    assert run(["index", str(tmp_path / "export"), "-o", str(catalogue), "--json"]) == EXIT_DONE
    capsys.readouterr()

    def contour(patient: str, number: int) -> None:
        path = drawn / patient / "contours" / f"IM-0001-{number:04d}-icontour-manual.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("20 20\n24 20\n24 24\n")

    def told(store: str, *more: str) -> tuple[int, dict[str, int]]:
        words = [str(catalogue), str(drawn), "--kind", "contours", "--size", "32", "--spacing-mm", "6"]
        code = run(["import-labels", *words, "-o", str(tmp_path / store), "--json", *more])
        return code, json.loads(capsys.readouterr().out)["annotations_unused"]

    for number in (11, 12, 13):  # the phases of the first slice
        contour("P1", number)
    assert told("all.zarr") == (EXIT_DONE, {})
    assert told("first.zarr", "--frames", "1") == (EXIT_DONE, {"frames-not-chosen": 2})
    contour("P2", 11)
    assert told("more.zarr") == (EXIT_SOME_SKIPPED, {"not-in-catalogue": 1})
    words = [str(catalogue), str(drawn), "--kind", "contours", "-o", str(tmp_path / "said.zarr")]
    assert run(["import-labels", *words]) == EXIT_SOME_SKIPPED
    said = capsys.readouterr().out
    assert "annotations not used because" in said
    assert "annotated: 3 of " in said
    assert "drawn in no example: LV myocardium" in said  # endocardia alone


def test_both_ways_or_neither_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import-labels", str(tmp_path), "-o", str(tmp_path / "s")]) == EXIT_WRONG_USE
    assert "--manifest" in capsys.readouterr().err


def hearts_of_nifti(folder: Path, affine: np.ndarray) -> None:
    """Two patients, a code of each of ACDC's structures in their label maps."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for patient in ("patient001", "patient002"):
        for name, high in ((f"{patient}_frame01", 900), (f"{patient}_frame01_gt", 4)):
            pixels = rng.integers(0, high, (30, 28, 3)).astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(pixels, affine), folder / f"{name}.nii.gz")


def test_a_code_without_a_name_and_pixels_without_a_size_are_told_in_words_and_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hearts_of_nifti(tmp_path / "set", np.eye(4))
    own = tmp_path / "own.toml"
    own.write_text((SHIPPED / "acdc.toml").read_text().replace('3 = "LV cavity"', '5 = "LV cavity"'))
    (tmp_path / "salt.txt").write_text("a secret of sixteen bytes")
    words = ["--manifest", str(own), "--size", "32", "--spacing-mm", "2", "--json"]
    words += ["--salt-file", str(tmp_path / "salt.txt"), "-o", str(tmp_path / "s.zarr")]
    assert run(["import-labels", str(tmp_path / "set"), *words]) == EXIT_SOME_SKIPPED
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["codes_unnamed"]["3"]["label_maps"] == 2
    assert told["segments_missing"] == ["LV cavity"]
    assert told["without_pixel_size"] == 2
    became = f"{told['codes_unnamed']['3']['pixels']} pixels in 2 label maps became background"
    assert f"code 3 is not named in the manifest: {became}" in captured.err
    assert "drawn in no example: LV cavity" in captured.err
    as_they_are = "their pixels were taken as they are, as if they lay 2 mm apart"
    assert f"2 files without a pixel size: {as_they_are}" in captured.err


def test_where_nothing_is_drawn_no_training_is_proposed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hearts_of_nifti(tmp_path / "set", np.diag([2.0, 2.0, 10.0, 1.0]))
    own, salt = tmp_path / "own.toml", tmp_path / "salt.txt"
    text = (SHIPPED / "acdc.toml").read_text()
    for code in (3, 2, 1):
        text = text.replace(f'\n{code} = "', f'\n{code + 3} = "')
    own.write_text(text)
    salt.write_text("a secret of sixteen bytes")
    words = ["import-labels", str(tmp_path / "set"), "--manifest", str(own), "--size", "32"]
    assert run([*words, "--salt-file", str(salt), "-o", str(tmp_path / "s.zarr")]) == EXIT_SOME_SKIPPED
    said = capsys.readouterr().out
    assert "next: anatprep train" not in said
    assert "nothing to fine-tune on: nothing is drawn in the annotations but background" in said


def test_arrays_without_a_table_of_findings_say_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set" / "train" / "sagittal").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 32, 32)).astype(np.uint8)
    np.save(tmp_path / "set" / "train" / "sagittal" / "0001.npy", pixels)
    words = ["import-labels", str(tmp_path / "set"), "--manifest", "mrnet"]
    words += ["--protocol", "knee-sag", "--size", "32"]
    assert run([*words, "-o", str(tmp_path / "none.zarr")]) == EXIT_DONE
    said = capsys.readouterr().out
    assert "next:" not in said
    assert "no table of findings (*.csv) lies in its folder" in said
    assert "1 file without a pixel size" in said
    assert NO_BOXES_REASONS["no-geometry"] in said
    assert "docs/reference.md, What a build leaves out" in said
    (tmp_path / "set" / "train-acl.csv").write_text("0001,1\n")
    assert run([*words, "-o", str(tmp_path / "told.zarr")]) == EXIT_DONE
    said = capsys.readouterr().out
    assert "findings are known of 3 of 3 examples" in said
    assert "next: anatprep train diagnose-knee" in said
