"""`anatprep publish`, to a folder's URL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_INTEGRITY, EXIT_WRONG_USE
from tests.dicomgeom.test_views import exam

pytest.importorskip("obstore", reason="obstore, through which URLs are read, is not installed")


def test_a_store_is_published_once_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = exam(tmp_path / "export", ["SAX", "4CH", "2CH"])
    catalogue, store = str(tmp_path / "catalogue"), str(tmp_path / "sax.zarr")
    run(["index", str(export), "-o", catalogue])
    words = ["--protocol", "cardiac-sax", "--size", "32", "--spacing-mm", "8", "-o", store]
    run(["build-targets", catalogue, *words])
    (tmp_path / "bucket").mkdir()
    url = (tmp_path / "bucket").as_uri()
    capsys.readouterr()
    assert run(["publish", store, url, "--json"]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["sent"] > 50
    assert run(["publish", store, url, "--check"]) == EXIT_DONE
    (tmp_path / "bucket" / "location" / "c" / "0").write_bytes(b"no chunk")
    assert run(["publish", store, url, "--check"]) == EXIT_INTEGRITY


def test_a_path_is_no_url(tmp_path: Path) -> None:
    assert run(["publish", str(tmp_path), str(tmp_path / "there")]) == EXIT_WRONG_USE


def test_a_store_that_is_not_there_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["publish", str(tmp_path / "nope"), "s3://bucket/x.zarr"]) == EXIT_WRONG_USE
    assert "nope does not exist" in capsys.readouterr().err
