"""What phantoms are made of, from the export to the stores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_NOTHING_USABLE, EXIT_SOME_SKIPPED, EXIT_WRONG_USE
from phantoms.export import PhantomSummary, write_exams
from phantoms.options import ExportOptions
from pretext_targets.reader import StoreReader
from pretext_targets.tissue_table import UNKNOWN_TISSUE

WORKED = (EXIT_DONE, EXIT_SOME_SKIPPED)
SMALL = ExportOptions(
    phases=2, spacing_mm=5.0, columns=56, rows=48, vendor="siemens", enhanced_share=0, nifti=False
)
GRID = ["--protocol", "cardiac-sax", "--size", "48", "--spacing-mm", "6", "--json"]


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One exam, its truth and its catalogue."""
    folder = tmp_path_factory.mktemp("hearts")
    write_exams(folder / "export", exams=1, seed=8, options=SMALL)
    assert run(["index", str(folder / "export"), "-o", str(folder / "catalogue")]) in WORKED
    return folder


def test_both_commands_that_write_stores_take_the_truth(
    hearts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, catalogue = str(hearts / "export-truth"), str(hearts / "catalogue")
    plain, labelled = tmp_path / "plain.zarr", tmp_path / "labelled.zarr"
    assert run(["build-targets", catalogue, "-o", str(plain), "--tissues", truth, *GRID]) in WORKED
    words = [catalogue, f"{truth}/segmentations", "-o", str(labelled), "--tissues", truth, *GRID]
    assert run(["import-labels", *words]) in WORKED
    stores = [StoreReader(path) for path in (plain, labelled)]
    first, second = (one.read("tissue", np.arange(len(one))) for one in stores)
    np.testing.assert_array_equal(first, second)
    assert (first != UNKNOWN_TISSUE).all()
    names = [tissue.name for tissue in stores[1].attributes.tissues]
    blood = second == names.index("lv blood")
    # Papillary muscles count as cavity, so that blood is a part of it and never more.
    cavity = stores[1].read("segmentation", np.arange(len(second))) == 1
    assert blood.any()
    assert (cavity | ~blood).all()
    for path in (plain, labelled):
        assert run(["verify", str(path)]) == EXIT_DONE


def test_an_export_can_be_written_without_tissues(
    tmp_path: Path, hearts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_exams(tmp_path / "export", exams=1, seed=8, options=replace(SMALL, tissues=False))
    truth = str(tmp_path / "export-truth")
    words = ["build-targets", str(hearts / "catalogue"), "-o", str(tmp_path / "s"), *GRID]
    assert run([*words, "--tissues", truth]) == EXIT_NOTHING_USABLE
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert "holds no tissues.json" in error[0]
    assert not (tmp_path / "s").exists()


def test_nifti_folders_have_no_tissues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "import-labels",
        str(tmp_path),
        "--manifest",
        "acdc",
        "-o",
        str(tmp_path / "s"),
        "--tissues",
        str(tmp_path),
    ]
    assert run(words) == EXIT_WRONG_USE
    assert "goes with a CATALOGUE" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("--no-tissues",)])
def test_the_command_leaves_them_out_when_told(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ExportOptions] = []

    def written(folder: Path, *, options: ExportOptions, **_: object) -> PhantomSummary:
        asked.append(options)
        return PhantomSummary(folder, folder, 1, 1)

    monkeypatch.setattr("phantoms.export.write_exams", written)
    assert run(["phantom", str(tmp_path / "e"), *words]) == EXIT_DONE
    assert [options.tissues for options in asked] == [not words]
