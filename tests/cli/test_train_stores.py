"""Which store a bare `anatprep train` takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.main import run
from cli.stores import load_on_grid
from dicomgeom.errors import EXIT_DONE, EXIT_WRONG_USE, WrongUse
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


def test_of_several_stores_the_one_that_the_recipe_is_for_is_taken_before_a_larger_one(
    common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heart = write_store(tmp_path / "stores" / "cardiac-sax.zarr", patients=(8, 1, 1))
    knee = write_store(tmp_path / "stores" / "knee-sag.zarr", carrier="SAG", patients=(2, 1, 1))
    for recipe, wanted, other in (("pretrain-mtl-knee", knee, heart), ("pretrain-mtl", heart, knee)):
        words = ["train", recipe, *common, "--set", "backbone.kind=basic-unet"]
        assert run(words) == EXIT_DONE
        shown = capsys.readouterr().out
        assert f"training on {wanted} ({other.name} " in shown
        assert "note: " not in shown


def test_that_no_store_is_one_the_recipe_is_for_is_said_before_the_training(
    common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_store(tmp_path / "stores" / "knee-sag.zarr", carrier="SAG")

    def said_until_now(*_: object, **__: object) -> None:
        shown = capsys.readouterr().out
        assert "note: mtl: the settings of pretrain-mtl are those for SAX" in shown
        raise WrongUse("stopped here")

    monkeypatch.setattr("training.loop.train", said_until_now)
    assert run(["train", *common]) == EXIT_WRONG_USE
    assert "stopped here" in capsys.readouterr().err


def test_a_recipe_that_learns_findings_says_how_stores_of_them_are_made(
    common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "stores" / "knee-sag.zarr", carrier="SAG")
    assert run(["train", "diagnose-knee", *common]) == EXIT_WRONG_USE
    assert "run `anatprep build-targets --findings TABLE` first" in capsys.readouterr().err


def test_what_was_taken_over_of_initial_weights_is_told_in_one_line(
    common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretext = write_store(tmp_path / "pretext.zarr", spacing_mm=1.8)
    labelled = write_store(tmp_path / "labelled.zarr", segmentation=True, spacing_mm=1.25, first_patient=50)
    first, second = (
        ["--store", str(store), "-o", str(tmp_path / store.stem)] for store in (pretext, labelled)
    )
    assert run(["train", "pretrain-location", *first, *common]) == EXIT_DONE
    assert "initial weights" not in capsys.readouterr().out
    init = ["--init", str(tmp_path / "pretext")]
    for _ in range(2):  # a run that was finished before says it, too
        assert run(["train", "segment-sax", *second, *init, *common]) == EXIT_DONE
        shown = capsys.readouterr().out
        assert re.search(
            r"^initial weights: encoder taken over \((\d+) of \1 tensors of the network\); "
            r"as drawn at the start: decoder, head of segmentation$",
            shown,
            re.MULTILINE,
        )
        assert "note: segmentation: the initial weights learned from pixels of 1.8 mm, those of this" in shown


def test_the_papers_grids_and_frames_can_be_asked_for_as_the_recipes_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    grid = load_on_grid("cardiac-sax", size=None, spacing_mm=1.367)
    assert (grid.rows, grid.columns, grid.spacing_mm) == (224, 224, 1.367)
    assert load_protocol("cardiac-4ch").with_changes(frames="ED+ES").frames == "ED+ES"
    for command, option in (("import-labels", "--spacing-mm"), ("index", "--propose-ed-es")):
        assert run([command, "--help"]) == EXIT_DONE
        assert option in capsys.readouterr().out
