"""Options of `anatprep index` that go beyond reading headers."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_WRONG_USE
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
