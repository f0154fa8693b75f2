"""What `anatprep experiment` says of the stores that it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.main import run
from dicomgeom.errors import EXIT_WRONG_USE


def test_a_store_by_a_name_that_the_grid_does_not_have_is_told_with_those_that_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "store").mkdir()
    words = ["experiment", "zhang-table-3", "-o", str(tmp_path / "out"), "--dry-run"]
    assert run([*words, "--store", f"labeled={tmp_path / 'store'}"]) == EXIT_WRONG_USE
    (line,) = capsys.readouterr().err.splitlines()
    assert "unknown store 'labeled' (did you mean 'labelled'?); the stores are" in line
    assert "it needs stores; give each as --store NAME=PATH: pretext (" in line
    assert run(words) == EXIT_WRONG_USE
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs stores" in line
    assert not (tmp_path / "out").exists()
