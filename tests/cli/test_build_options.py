"""Options of `anatprep build-targets` that exclude each other, make no sense, or tell of exams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from cli.options import LARGEST_SIZE
from dicomgeom.errors import EXIT_DONE, EXIT_NOTHING_USABLE, EXIT_WRONG_USE
from pretext_targets.protocol import FOLDER, MAX_SIDE
from tests.helpers.exams import PATIENT_ID


@pytest.fixture(scope="module")
def catalogue(heart_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("options") / "catalogue"
    assert run(["index", str(heart_export), "-o", str(folder)]) == EXIT_DONE
    return folder


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command line is refused as wrong use."""
    capsys.readouterr()
    assert run(words) == EXIT_WRONG_USE
    (line,) = capsys.readouterr().err.splitlines()
    return line


def own(folder: Path, name: str, *changes: tuple[str, str]) -> list[str]:
    """`--protocol` with a file of one's own, made of the short axis'."""
    text = (FOLDER / "cardiac-sax.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text)
    return ["--protocol", str(folder / name)]


@pytest.mark.parametrize("command", ["build-targets", "index"])
def test_workers_of_this_machine_and_those_of_a_cluster_are_not_asked_for_at_once(
    command: str, catalogue: Path, heart_export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    what = [str(catalogue)] if command == "build-targets" else [str(heart_export), "-o", str(tmp_path / "c")]
    line = refused([command, *what, "--workers", "3", "--scheduler", "tcp://127.0.0.1:9"], capsys)
    assert "--workers 3" in line
    assert "--scheduler tcp://127.0.0.1:9" in line


def test_two_protocols_of_one_name_are_refused(
    catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = own(tmp_path, "a.toml") + own(tmp_path, "b.toml", ("spacing_mm = 1.26", "spacing_mm = 2.0"))
    assert "named cardiac-sax" in refused(["build-targets", str(catalogue), *files, "--dry-run"], capsys)
    twice = ["--protocol", "cardiac-4ch", "--protocol", "cardiac-4ch"]
    assert "each protocol once" in refused(["build-targets", str(catalogue), *twice, "--dry-run"], capsys)
    different = [*own(tmp_path, "c.toml", ('"cardiac-sax"', '"other"')), "--protocol", "cardiac-sax"]
    capsys.readouterr()
    assert run(["build-targets", str(catalogue), *different, "--dry-run", "--json"]) == EXIT_DONE
    assert set(json.loads(capsys.readouterr().out)["plans"]) == {"other", "cardiac-sax"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--size", "200000"], "2048"),
        (["--spacing-mm", "inf"], "spacing_mm: must be a finite number"),
        (["--spacing-mm", "nan"], "spacing_mm: must be"),
        (
            ["--frames", "ES"],
            "expected all, ED, ED+ES or how many, 1 or more (did you mean 'ED+ES'?), found 'ES'",
        ),
        (["--frames", "0"], "expected all, ED, ED+ES or how many, 1 or more, found 0"),
        (["--centre", "corner"], "'--centre': 'corner' is not one of 'image', 'crossing'"),
    ],
)
def test_a_grid_that_makes_no_sense_is_wrong_use(
    more: list[str], said: str, catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(["build-targets", str(catalogue), "--dry-run", *more], capsys)
    assert LARGEST_SIZE == MAX_SIDE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('carrier = "SAX"', 'carrier = "SAXX"'), "did you mean 'SAX'?"),
        (('kinds = ["cine"]', 'kinds = ["cines"]'), "did you mean 'cine'?"),
    ],
)
def test_a_view_or_kind_that_is_mistyped_is_wrong_use(
    change: tuple[str, str], said: str, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = own(tmp_path, "own.toml", change)
    assert said in refused(["build-targets", str(catalogue), *protocol, "--dry-run"], capsys)


def test_how_much_of_a_table_of_findings_matches_is_told(
    catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "told.csv"
    table.write_text(f"patient_id,scar\n{PATIENT_ID} ,1\nsomebody else,0\n,1\n")
    words = ["build-targets", str(catalogue), "--protocol", "cardiac-sax", "--findings", str(table)]
    grid = ["--size", "32", "--spacing-mm", "7", "-o", str(tmp_path / "store.zarr")]
    for more in (["--dry-run"], grid):
        capsys.readouterr()
        assert run([*words, *more, "--json"]) == EXIT_DONE
        captured = capsys.readouterr()
        matched = {"exams": 1, "exams_told_of": 2, "rows_without_match": 2}
        assert json.loads(captured.out)["findings"] == matched
        said = "findings scar: 1 of 2 exams of the tables found in the catalogue, 2 rows without a match"
        assert said in captured.err.splitlines()


@pytest.mark.parametrize("command", ["build-targets", "index"])
def test_a_cluster_without_workers_is_told_where_no_bar_is_drawn(
    command: str,
    catalogue: Path,
    heart_export: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import distributed

    monkeypatch.setattr("dicomgeom.workers.WORKERS_WAIT_S", 0.2)
    words = {
        "build-targets": ["build-targets", str(catalogue), "--protocol", "cardiac-sax", "--size", "32"],
        "index": ["index", str(heart_export)],
    }[command]
    local: Any = distributed.LocalCluster
    settings = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": None}
    with local(n_workers=0, **settings) as cluster:
        address = cluster.scheduler_address
        assert run([*words, "-o", str(tmp_path / "out"), "--scheduler", address]) == EXIT_WRONG_USE
    captured = capsys.readouterr()
    assert f"no workers at {address} yet, waiting (at most 0.00333 min)" in captured.out.splitlines()
    (line,) = captured.err.splitlines()
    assert "no worker came" in line


def test_a_grid_far_too_coarse_is_told_from_bad_geometry(
    catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--protocol", "cardiac-sax", "--spacing-mm", "1000", "--dry-run"]
    capsys.readouterr()
    assert run(["build-targets", str(catalogue), *words]) == EXIT_NOTHING_USABLE
    said = capsys.readouterr().err
    assert "grid-misses-image (a grid of 224 x 224 pixels of 1000 mm, choose a finer one)" in said


def test_an_output_that_is_a_file_is_wrong_use(
    catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "v1.toml").write_text("")
    words = ["build-targets", str(catalogue), "--protocol", "cardiac-sax", "-o", str(tmp_path / "v1.toml")]
    assert refused(words, capsys).endswith("v1.toml is a file, a store is a folder; give another output")


def test_a_catalogue_that_was_given_as_output_is_wrong_use(
    catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["build-targets", str(catalogue), "--protocol", "cardiac-sax", "-o", str(catalogue)]
    assert "is a catalogue and no store; give a new or an empty folder" in refused(words, capsys)
