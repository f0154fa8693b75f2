"""Options of `anatprep index` that go beyond reading headers."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import polars as pl
import pytest

from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_SOME_SKIPPED, EXIT_WRONG_USE
from dicomgeom.phase_table import read_phases
from tests.dicomgeom.test_views import exam


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return exam(tmp_path / "export", ["SAX", "4CH", "2CH"], texts={"2CH": "cine outflow"})


def test_the_users_word_on_views_reaches_the_catalogue(export: Path, tmp_path: Path) -> None:
    overrides = tmp_path / "overrides.toml"
    overrides.write_text('[[stack]]\nview = "RVOT"\nseries_description = "*outflow"\n')
    folder = tmp_path / "catalogue"
    assert run(["index", str(export), "-o", str(folder), "--views", str(overrides)]) == EXIT_DONE
    assert sorted(pl.read_parquet(folder / "stacks.parquet")["view"]) == ["4CH", "RVOT", "SAX"]


@pytest.mark.parametrize("text", ['[[stack]]\nview = "RVOT"\nseries = "x"\n', None])
def test_overrides_that_make_no_sense_are_refused_before_anything_is_written(
    text: str | None, export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = tmp_path / "overrides.toml"
    if text is not None:
        overrides.write_text(text)
    folder = tmp_path / "catalogue"
    assert run(["index", str(export), "-o", str(folder), "--views", str(overrides)]) == EXIT_WRONG_USE
    assert "overrides.toml" in capsys.readouterr().err
    assert not folder.exists()


def test_proposals_of_end_diastole_and_end_systole_are_written_when_asked_for(
    export: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "catalogue"
    assert run(["index", str(export), "-o", str(folder), "--propose-ed-es"]) == EXIT_DONE
    phases = read_phases(folder)
    assert phases is not None
    assert len(phases) == 3
    assert set(phases["evidence"]) == {"3 phases, at least 6 needed"}


def test_entries_of_views_that_match_nothing_are_told(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = tmp_path / "overrides.toml"
    overrides.write_text('[[stack]]\nview = "RVOT"\nseries_description = "*outflo"\n')
    words = ["index", str(export), "-o", str(tmp_path / "catalogue"), "--views", str(overrides)]
    assert run(words) == EXIT_SOME_SKIPPED
    assert 'entry 1: series_description = "*outflo" (matches no stack)' in capsys.readouterr().out
    assert run([*words, "--json"]) == EXIT_SOME_SKIPPED
    (entry,) = json.loads(capsys.readouterr().out)["views_unused"]
    assert entry.startswith("entry 1")


def test_copies_are_counted_and_end_with_done(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (export / "again").write_bytes((export / "0-0").read_bytes())
    assert run(["index", str(export), "-o", str(tmp_path / "catalogue")]) == EXIT_DONE
    out = capsys.readouterr().out
    assert "images left out because" in out
    assert "copy" in out


def test_a_workspace_in_the_export_is_passed_by(
    export: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(export)
    for _ in range(2):
        assert run(["index", "."]) == EXIT_DONE
        assert "made-by-anatprep" in capsys.readouterr().out


def test_an_address_that_is_none_is_one_line_without_a_traceback(
    export: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["index", str(export), "-o", str(tmp_path / "catalogue"), "--scheduler", "foo"]
    assert run(words) == EXIT_WRONG_USE
    gc.collect()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: no dask scheduler answers at foo")
