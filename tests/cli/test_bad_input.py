"""Bad input ends in one line and the right exit code, or in a row with its reason; nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage

from cli.main import run
from dicomgeom.errors import (
    EXIT_DONE,
    EXIT_INTEGRITY,
    EXIT_NOTHING_USABLE,
    EXIT_SOME_SKIPPED,
    EXIT_WRONG_USE,
)
from tests.helpers.dicom_files import axial, write_mr


@pytest.fixture
def catalogue(heart_export: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "catalogue"
    assert run(["index", str(heart_export), "-o", str(folder)]) == EXIT_DONE
    return folder


def one_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error; standard output stays empty."""
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in captured.err
    return lines[0]


def test_a_missing_source_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["index", str(tmp_path / "nowhere"), "-o", str(tmp_path / "c")]) == EXIT_WRONG_USE
    assert "nowhere" in one_error(capsys)
    assert not (tmp_path / "c").exists()


def test_an_empty_folder_holds_nothing_usable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert run(["index", str(tmp_path / "empty"), "-o", str(tmp_path / "c")]) == EXIT_NOTHING_USABLE
    assert "no file" in one_error(capsys)


def test_a_folder_without_mr_holds_nothing_usable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mr(tmp_path / "ct" / "1.dcm", axial(), Modality="CT", SOPClassUID=CTImageStorage)
    assert run(["index", str(tmp_path / "ct"), "-o", str(tmp_path / "c")]) == EXIT_NOTHING_USABLE
    one_error(capsys)


@pytest.mark.parametrize("kind", ["text", "truncated", "no-position"])
def test_a_file_that_cannot_be_used_becomes_a_row_with_its_reason(
    kind: str, heart_export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    bad = folder / "bad.dcm"
    if kind == "text":
        bad.write_text("dear colleague, the images follow by post\n" * 20)
    elif kind == "truncated":
        whole = write_mr(tmp_path / "whole.dcm", axial()).read_bytes()
        bad.write_bytes(whole[:400])
    else:
        write_mr(bad, axial(), ImagePositionPatient=None)
    out = tmp_path / "c"
    assert run(["index", str(heart_export), str(folder), "-o", str(out), "--json"]) == EXIT_SOME_SKIPPED
    summary = json.loads(capsys.readouterr().out)
    assert sum(summary["reasons"].values()) == 1
    assert run(["show", str(out), "--table", "files", "--json"]) == EXIT_DONE
    rows = json.loads(capsys.readouterr().out)["shown"]
    (row,) = [row for row in rows if row["path"] == "bad.dcm"]
    assert row["status"] != "ok"
    assert row["reason"]


@pytest.mark.parametrize("command", ["show", "explain", "build-targets", "verify", "report"])
def test_what_is_no_catalogue_is_called_so(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("nothing here")
    more = (
        ["anything"] if command == "explain" else ["-o", str(tmp_path / "o")] if command == "report" else []
    )
    assert run([command, str(tmp_path / "other"), *more]) == EXIT_INTEGRITY
    captured = capsys.readouterr()
    assert "other" in captured.err + captured.out
    assert "Traceback" not in captured.err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("key", "value", "word"), [("state", "writing", "half-written"), ("version", 99, "version 99")]
)
@pytest.mark.parametrize("command", ["show", "build-targets", "verify", "report"])
def test_a_half_written_or_foreign_catalogue_is_refused_and_kept(
    command: str, key: str, value: object, word: str, catalogue: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    marker = catalogue / "catalogue.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {key: value}))
    before = {file.name: file.read_bytes() for file in catalogue.iterdir()}
    more = ["-o", str(tmp_path / "report.html")] if command == "report" else []
    capsys.readouterr()
    assert run([command, str(catalogue), *more]) == EXIT_INTEGRITY
    captured = capsys.readouterr()
    assert word in captured.err + captured.out
    assert {file.name: file.read_bytes() for file in catalogue.iterdir()} == before


def test_a_catalogue_that_lost_a_table_is_broken(catalogue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (catalogue / "lines.parquet").unlink()
    assert run(["verify", str(catalogue)]) == EXIT_INTEGRITY
    assert "lines.parquet" in capsys.readouterr().out


def test_an_unknown_identifier_cannot_be_explained(
    catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["explain", str(catalogue), "no-such-thing"]) == EXIT_WRONG_USE
    assert "no-such-thing" in one_error(capsys)


def test_an_unknown_protocol_is_refused_with_the_known_ones(
    catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["build-targets", str(catalogue), "--protocol", "cardiac-sux"]) == EXIT_WRONG_USE
    assert "cardiac-sax" in one_error(capsys)


def test_a_store_needs_one_protocol(catalogue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["build-targets", str(catalogue), "-o", "store.zarr"]) == EXIT_WRONG_USE
    assert "--protocol" in one_error(capsys)


def test_a_catalogue_without_carriers_builds_nothing(
    catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = ["build-targets", str(catalogue), "--protocol", "knee-sag", "-o", str(tmp_path / "k.zarr")]
    assert run(words) == EXIT_NOTHING_USABLE
    one_error(capsys)
    assert not (tmp_path / "k.zarr").exists()


def test_bare_commands_say_which_command_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, first in (("show", "index"), ("build-targets", "index"), ("train", "build-targets")):
        assert run([command]) == EXIT_WRONG_USE
        assert f"anatprep {first}" in one_error(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["index"],
        ["index", "--no-such-option", "x"],
        ["evaluate", "x"],
        ["phantom", "x", "--exams", "0"],
    ],
)
def test_a_mistyped_command_is_one_line_of_wrong_use(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == EXIT_WRONG_USE
    assert "--help" in one_error(capsys)


def test_json_is_one_object_even_for_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", str(tmp_path), "--json"]) == EXIT_INTEGRITY
    captured = capsys.readouterr()
    assert json.loads(captured.out)["exit_code"] == EXIT_INTEGRITY
    assert captured.err.startswith("error: ")
