"""What anatprep wrote is known by its mark, in the words of the floors that write it, and nothing else is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dicomgeom import catalogue as catalogues
from dicomgeom.catalogue import open_catalogue
from dicomgeom.errors import AnatprepError, IntegrityError, WrongUse
from dicomgeom.folder_marks import MARKS, looks_like, made_by_anatprep
from dicomgeom.index import index
from phantoms import export as phantom_export
from pretext_targets import attributes as stores
from pretext_targets.place import METADATA
from tests.helpers.dicom_files import axial, write_mr
from training import run_file
from training.experiments.experiment import EXPERIMENT_FILE


def written(folder: Path, name: str, content: Any) -> Path:
    """A folder with one JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return folder


def of_every_kind(folder: Path) -> dict[str, Path]:
    """A folder of each kind that commands write."""
    store = {"attributes": {stores.ATTRIBUTE: {"format": stores.FORMAT}}}
    return {
        "store": written(folder / "store", METADATA, store),
        "run": written(folder / "run", run_file.RUN_FILE, {"format": run_file.RUN_FORMAT}),
        "experiment": written(folder / "experiment", EXPERIMENT_FILE, {"grid": {}, "size": "small"}),
        "truth folder": written(folder / "truth", phantom_export.MARKER, {"format": phantom_export.FORMAT}),
        "catalogue": written(folder / "catalogue", catalogues.MARKER, {"format": catalogues.FORMAT}),
    }


def test_folders_of_every_kind_are_known(tmp_path: Path) -> None:
    folders = of_every_kind(tmp_path)
    assert {what for what, _ in MARKS.values()} == set(folders)
    for what, folder in folders.items():
        assert (
            made_by_anatprep(str(folder), [path.name for path in folder.iterdir()])
            == what
            == looks_like(folder)
        )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", {"format": "another's"}),
        ("run.json", ["anatprep-run"]),
        ("experiment.json", {"grid": {}}),
        ("zarr.json", {"zarr_format": 3, "attributes": {"anatprep": None}}),
        ("zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {}}),
    ],
)
def test_what_only_has_the_name_of_a_mark_is_nobodys(tmp_path: Path, name: str, content: Any) -> None:
    folder = written(tmp_path / "other", name, content)
    assert made_by_anatprep(str(folder), [name]) == ""


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b""])
def test_a_mark_that_is_no_json_marks_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "catalogue.json").write_bytes(content)
    assert made_by_anatprep(str(tmp_path), MARKS) == ""
    (tmp_path / "catalogue.json").unlink()
    os.mkfifo(tmp_path / "catalogue.json")
    assert made_by_anatprep(str(tmp_path), MARKS) == ""


def test_nothing_that_anatprep_wrote_into_an_export_is_walked_into(export: Path, tmp_path: Path) -> None:
    folders = of_every_kind(export / "work")
    (folders["store"] / "image").mkdir()
    (folders["store"] / "image" / "0").write_text("a chunk")
    (export / "work" / "report.html").write_text("of the workspace")
    (export / "report.html").write_text("somebody's")
    first = index([export], export / "mine")
    again = index([export], export / "mine")
    assert (again.read, again.reasons) == (0, first.reasons)
    assert first.reasons == {"made-by-anatprep": 7, "not-dicom": 1}
    assert first.files == {"ok": 24, "skipped": 8}
    rows = open_catalogue(export / "mine").files
    assert "work/report.html" in set(rows["path"])
    assert "mine" in set(rows["path"])
    (export / "report.html").unlink()
    assert not index([export], export / "mine").missed


def test_what_anatprep_wrote_is_no_export(tmp_path: Path) -> None:
    store = of_every_kind(tmp_path)["store"]
    with pytest.raises(WrongUse, match="is a store that anatprep wrote; give the export itself"):
        index([store], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_is_no_catalogue_is_called_what_it_is_and_the_advice_does_no_harm(tmp_path: Path) -> None:
    folders = of_every_kind(tmp_path / "work")
    write_mr(tmp_path / "export" / "deep" / "a", axial())
    written(tmp_path / "export" / "anatprep-work", "zarr.json", {})
    (tmp_path / "notes").mkdir()
    told: dict[Path, tuple[type[AnatprepError], str]] = {
        folders["store"]: (IntegrityError, "is not a catalogue, it is a store"),
        tmp_path / "work": (
            IntegrityError,
            "is a workspace, not a catalogue; name the one in it: .*/catalogue",
        ),
        tmp_path / "export": (IntegrityError, "holds DICOM files .* index them first: anatprep index "),
        tmp_path / "notes": (IntegrityError, r"is not a catalogue \(no catalogue.json\)"),
        tmp_path / "gone": (WrongUse, "does not exist; name the folder that anatprep index wrote"),
    }
    for folder, (kind, text) in told.items():
        with pytest.raises(kind, match=text) as caught:
            open_catalogue(folder)
        assert " -o " not in str(caught.value)
