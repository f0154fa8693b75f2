"""`anatprep show`: nothing is left out without a word, and no view that is none is looked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cli.show
from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_WRONG_USE


@pytest.fixture(scope="module")
def catalogue(heart_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("show") / "catalogue"
    assert run(["index", str(heart_export), "-o", str(folder)]) == EXIT_DONE
    return folder


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*words, "--json"]) == EXIT_DONE
    return dict(json.loads(capsys.readouterr().out))


def test_scripts_get_every_row_and_people_the_first(
    catalogue: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.show, "ROWS_FOR_PEOPLE", 5)
    words = ["show", str(catalogue), "--table", "files"]
    told = answer(words, capsys)
    assert (told["rows"], len(told["shown"])) == (18, 18)
    assert len(answer([*words, "--limit", "7"], capsys)["shown"]) == 7
    assert run(words) == EXIT_DONE
    said = capsys.readouterr().out
    assert said.count(".dcm") == 5
    assert "5 of 18 rows; --limit 0 shows all" in said
    run([*words, "--limit", "0"])
    assert capsys.readouterr().out.count(".dcm") == 18


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--view", "SAXX"], "unknown view SAXX; here are 2CH, 4CH, SAX"),
        (["--view", "sax", "--view", "long"], "unknown view LONG"),
        (["--table", "files", "--view", "SAX"], "files belong to no view"),
    ],
)
def test_a_view_that_cannot_be_shown_is_one_line_of_wrong_use(
    more: list[str], said: str, catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["show", str(catalogue), *more]) == EXIT_WRONG_USE
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_view_that_no_stack_has_is_told(catalogue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["show", str(catalogue), "--view", "3ch"], capsys)["rows"] == 0
    assert run(["show", str(catalogue), "--view", "3ch"]) == EXIT_DONE
    assert capsys.readouterr().out == "no stack is 3CH; here are 2CH, 4CH, SAX\n"


def test_with_json_no_table_is_drawn_and_large_tables_come_in_pieces(
    catalogue: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["show", str(catalogue), "--table", "images"]
    whole = answer(words, capsys)["shown"]
    monkeypatch.setattr(cli.show, "ROWS_AT_ONCE", 5)
    assert run([*words, "--json"]) == EXIT_DONE
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out)["shown"] == whole
    assert len(whole) == 18
    run(words)
    said = capsys.readouterr().out
    assert (said.count("stack_id"), said.count(".dcm")) == (4, 18)


@pytest.mark.parametrize("words", [["show"], ["explain", "x"]])
def test_a_catalogue_that_is_not_there_is_wrong_use(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *more = words
    assert run([command, str(tmp_path / "nope"), *more]) == EXIT_WRONG_USE
    assert "nope does not exist" in capsys.readouterr().err
