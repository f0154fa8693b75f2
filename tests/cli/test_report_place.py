"""Where `anatprep report` writes when no file is named, and what it does not replace there."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_WRONG_USE
from tests.reporting.test_experiment_section import SCRATCH, written_experiment


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(written_experiment(tmp_path / "e", {"scratch": {1: SCRATCH}}))


def test_a_report_of_named_sources_is_written_here_and_replaces_an_earlier_one(
    experiment: str, tmp_path: Path
) -> None:
    for _ in range(2):
        assert run(["report", experiment, "--workspace", "room"]) == EXIT_DONE
    assert "Experiment mine" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "room").exists()


@pytest.mark.parametrize("kind", ["page", "empty", "folder"])
def test_a_page_of_something_else_is_refused_and_stays_unless_it_is_named(
    kind: str, experiment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    content = "<!doctype html><title>of the ward</title>" if kind == "page" else ""
    page.mkdir() if kind == "folder" else page.write_text(content)
    assert run(["report", experiment]) == EXIT_WRONG_USE
    (line,) = capsys.readouterr().err.splitlines()
    assert "report.html is there and is no report of anatprep; name another file with -o" in line
    assert page.is_dir() or page.read_text() == content
    if kind != "folder":
        assert run(["report", experiment, "-o", "report.html"]) == EXIT_DONE
        assert "Experiment mine" in page.read_text()


def test_a_page_of_something_else_in_the_workspace_is_refused_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    page.write_text("of the ward")
    assert run(["report", "--workspace", str(tmp_path)]) == EXIT_WRONG_USE
    assert "is no report of anatprep" in capsys.readouterr().err
    assert page.read_text() == "of the ward"


def test_the_help_says_where_a_report_goes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "--help"]) == EXIT_DONE
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "in the workspace, or here where sources are named" in said
