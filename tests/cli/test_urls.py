"""The commands on a store that lies on object storage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_INTEGRITY, EXIT_SOME_SKIPPED, EXIT_WRONG_USE
from pretext_targets.places import place_of
from tests.dicomgeom.test_views import exam
from tests.helpers.object_storage import server, url

__all__ = ["server", "url"]

GRID = ["--protocol", "cardiac-sax", "--size", "32", "--spacing-mm", "8"]


def told(words: list[str], capsys: pytest.CaptureFixture[str], *codes: int) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*words, "--json"]) in (codes or (EXIT_DONE, EXIT_SOME_SKIPPED))
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_store_is_built_verified_trained_on_measured_and_shown_at_its_url(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    export = exam(tmp_path / "export", ["SAX", "4CH", "2CH"])
    catalogue, trained = str(tmp_path / "catalogue"), str(tmp_path / "run")
    run(["index", str(export), "-o", catalogue])
    build = ["build-targets", catalogue, *GRID, "-o", url]
    (built,) = told(build, capsys)["stores"].values()
    assert (built["store"], built["shards_written"]) == (url, 1)
    (again,) = told(build, capsys)["stores"].values()
    assert (again["shards_written"], again["shards_kept"]) == (0, 1)
    assert told(["verify", url], capsys, EXIT_DONE) == {"sound": True, "problems": {url: []}}
    few = ["--set", "steps=1", "--set", "batch_size=2", "--set", "backbone.width=4"]
    told(["train", "pretrain-location", "--store", url, "-o", trained, *few, "--device", "cpu"], capsys)
    measured = told(["evaluate", trained, "--store", f"{url}/", "--split", "train"], capsys)
    assert measured["tasks"]
    page = str(tmp_path / "report.html")
    assert told(["report", url, "-o", page], capsys)["sources"] == [url]
    assert not [path for path in tmp_path.iterdir() if ":" in path.name]
    for path in [*filter(Path.is_file, Path(trained).rglob("*")), Path(page)]:
        assert url.encode() not in path.read_bytes(), path.name


def test_damage_at_a_url_ends_with_code_5(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = exam(tmp_path / "export", ["SAX", "4CH", "2CH"])
    run(["index", str(export), "-o", str(tmp_path / "catalogue")])
    run(["build-targets", str(tmp_path / "catalogue"), *GRID, "-o", url])
    place_of(url).put("location/c/0", b"no chunk")
    found = told(["verify", url], capsys, EXIT_INTEGRITY)
    assert any("location/c/0 has changed" in problem for problem in found["problems"][url])
    assert run(["verify", f"{url}-gone"]) == EXIT_INTEGRITY


def test_an_address_of_no_known_kind_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "ftp://somewhere/store.zarr"]) == EXIT_WRONG_USE
    assert "is no address of a store" in capsys.readouterr().err
