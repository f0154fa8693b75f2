"""Which store a bare `anatprep train` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.main import run
from cli.stores import load_on_grid
from dicomgeom.errors import EXIT_DONE, EXIT_WRONG_USE
from pretext_targets.protocol import load_protocol
from tests.cli.test_whole_way import TINY
from tests.training.conftest import write_store


@pytest.fixture
def common(tmp_path: Path) -> list[str]:
    (tmp_path / "stores").mkdir()
    return [*TINY, "--device", "cpu", "--workspace", str(tmp_path)]


def test_a_recipe_that_learns_from_annotations_takes_a_store_that_has_them(
    common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "stores" / "cardiac-sax.zarr")
    assert run(["train", "segment-sax", *common]) == EXIT_WRONG_USE
    error = capsys.readouterr().err
    assert "cardiac-sax.zarr has no segment_names for segmentation" in error
    assert "anatprep import-labels" in error
    write_store(tmp_path / "stores" / "few.zarr", segmentation=True, patients=(2, 0, 0))
    assert run(["train", "segment-sax", *common]) == EXIT_DONE
    assert f"training on {tmp_path / 'stores' / 'few.zarr'} (" in capsys.readouterr().out


def test_a_recipe_of_two_stores_finds_both(
    common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = tmp_path / "stores"
    write_store(stores / "many.zarr", carrier="4CH")
    write_store(stores / "few.zarr", carrier="4CH", segmentation=True, patients=(2, 1, 1), first_patient=50)
    assert run(["train", "segment-4ch-multitask", *common]) == EXIT_DONE
    shown = capsys.readouterr().out
    assert f"training on {stores / 'many.zarr'} as pretext" in shown
    assert f"training on {stores / 'few.zarr'} as target" in shown


def test_on_a_knee_it_is_said_that_the_settings_are_for_the_heart(
    common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "stores" / "knee-sag.zarr", carrier="SAG")
    assert run(["train", *common]) == EXIT_DONE
    (note,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert "those for SAX, 2CH, 3CH, 4CH images, this store holds SAG images" in note


def test_the_papers_grids_and_frames_can_be_asked_for_as_the_recipes_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    grid = load_on_grid("cardiac-sax", size=None, spacing_mm=1.367)
    assert (grid.rows, grid.columns, grid.spacing_mm) == (224, 224, 1.367)
    assert load_protocol("cardiac-4ch").with_changes(frames="ED+ES").frames == "ED+ES"
    for command, option in (("import-labels", "--spacing-mm"), ("index", "--propose-ed-es")):
        assert run([command, "--help"]) == EXIT_DONE
        assert option in capsys.readouterr().out
