"""The commands one after the other, as a user types them: bare, in a workspace."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_INTEGRITY, EXIT_SOME_SKIPPED, EXIT_WRONG_USE
from dicomgeom.privacy import split_position
from tests.helpers.exams import PATIENT_ID

TINY = [
    word
    for pair in ("steps=4", "batch_size=2", "backbone.width=4", "log_every=1", "validate_every=2")
    for word in ("--set", pair)
]
SMALL_GRID = ["--size", "48", "--spacing-mm", "5"]


@pytest.fixture(scope="module")
def workspace(heart_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the three main commands have run."""
    folder = tmp_path_factory.mktemp("way") / "work"
    common = ["--workspace", str(folder)]
    assert split_position(PATIENT_ID) < 0.7, "the patient of the test must be a training patient"
    assert run(["index", str(heart_export), *common]) == EXIT_DONE
    assert run(["build-targets", *SMALL_GRID, *common]) == EXIT_DONE
    assert run(["train", *TINY, "--device", "cpu", *common]) == EXIT_DONE
    return folder


def answer(words: list[str], capsys: pytest.CaptureFixture[str], expected: int = EXIT_DONE) -> dict[str, Any]:
    """Run a command with --json and give its one object."""
    capsys.readouterr()
    assert run([*words, "--json"]) == expected
    return dict(json.loads(capsys.readouterr().out))


def test_three_bare_commands_fill_a_workspace(workspace: Path) -> None:
    assert (workspace / "catalogue" / "stacks.parquet").exists()
    assert sorted(store.name for store in (workspace / "stores").iterdir()) == [
        "cardiac-2ch.zarr",
        "cardiac-4ch.zarr",
        "cardiac-sax.zarr",
    ]
    assert (workspace / "runs" / "pretrain-mtl" / "weights.safetensors").exists()
    assert stat.S_IMODE(os.stat(workspace).st_mode) == 0o700


def test_each_command_names_the_next(
    heart_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(["index", str(heart_export)])
    assert capsys.readouterr().out.rstrip().endswith("next: anatprep build-targets")
    run(["build-targets", "--protocol", "cardiac-sax", *SMALL_GRID])
    assert capsys.readouterr().out.rstrip().endswith("next: anatprep train")


def test_the_workspace_can_be_named_by_the_environment(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANATPREP_WORKSPACE", str(workspace))
    assert answer(["show"], capsys)["rows"] == 3


def test_show_filters_by_view(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--workspace", str(workspace)]
    shown = answer(["show", "--view", "sax", "--view", "2CH", *common], capsys)
    assert {row["view"] for row in shown["shown"]} == {"SAX", "2CH"}
    images = answer(["show", "--table", "images", "--view", "4CH", "--limit", "2", *common], capsys)
    assert (images["rows"], len(images["shown"])) == (3, 2)


def test_a_stack_can_be_explained(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--workspace", str(workspace)]
    (sax,) = answer(["show", "--view", "SAX", *common], capsys)["shown"]
    assert answer(["explain", sax["stack_id"], *common], capsys)["explanation"]


def test_building_again_keeps_every_shard(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built = answer(["build-targets", *SMALL_GRID, "--workspace", str(workspace)], capsys)
    assert {store["shards_written"] for store in built["stores"].values()} == {0}
    assert "knee-sag" in built["not_built"]


def test_a_dry_run_writes_nothing(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["build-targets", str(workspace / "catalogue"), "--dry-run", "--workspace", str(tmp_path / "w")]
    assert answer(words, capsys)["plans"]["cardiac-sax"]["examples"] == 12
    assert not (tmp_path / "w").exists()


def test_a_dry_run_knows_the_compression_the_frames_and_the_time(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["build-targets", str(workspace / "catalogue"), "--protocol", "cardiac-sax", "--dry-run"]
    told = {
        kind: answer([*words, "--compression", kind], capsys)["plans"]["cardiac-sax"]
        for kind in ("none", "lz4", "zstd")
    }
    assert told["none"]["bytes_estimate"] > 2 * told["lz4"]["bytes_estimate"]
    assert told["lz4"]["bytes_estimate"] > told["zstd"]["bytes_estimate"]
    assert all(one["seconds_estimate"] >= 0 for one in told.values())
    one = answer([*words, "--frames", "1", "--centre", "crossing"], capsys)["plans"]["cardiac-sax"]
    assert one["examples"] <= told["lz4"]["examples"]
    assert run([*words, "--frames", "most"]) == EXIT_WRONG_USE


def test_what_was_left_out_ends_with_code_3(
    heart_export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    words = ["index", str(heart_export), str(tmp_path / "notes.txt"), "-o", str(tmp_path / "c")]
    assert answer(words, capsys, EXIT_SOME_SKIPPED)["reasons"]


def test_everything_in_the_workspace_is_sound(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = answer(["verify", "--workspace", str(workspace)], capsys)
    assert verdict["sound"]
    assert len(verdict["problems"]) == 5


def test_a_flipped_byte_in_a_store_is_found(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    store = tmp_path / "flipped.zarr"
    shutil.copytree(workspace / "stores" / "cardiac-sax.zarr", store)
    shard = next(path for path in sorted((store / "image" / "c").rglob("*")) if path.is_file())
    content = bytearray(shard.read_bytes())
    content[100] ^= 0xFF
    shard.write_bytes(content)
    verdict = answer(["verify", str(store)], capsys, EXIT_INTEGRITY)
    assert not verdict["sound"]


def test_the_report_shows_the_whole_workspace(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(["report", "--workspace", str(workspace)], capsys)
    assert len(told["sources"]) == 5
    assert (workspace / "report.html").stat().st_size == told["size_bytes"]


def test_training_again_finds_the_run_done(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = [*TINY, "--device", "cpu", "--workspace", str(workspace)]
    assert answer(["train", *common], capsys)["already_done"]
    assert run(["train", *common, "--set", "seed=5"]) == EXIT_WRONG_USE
    assert "seed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--set", "stepz=4"], "stepz"),
        (["--set", "steps"], "KEY=VALUE"),
        (["--set", "steps=many"], "steps"),
        (["--init", "nowhere"], "nowhere"),
        (["--store", "nowhere.zarr"], "nowhere.zarr"),
    ],
)
def test_a_training_that_makes_no_sense_writes_nothing(
    more: list[str], word: str, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = ["train", *TINY, *more, "-o", str(tmp_path / "run"), "--workspace", str(workspace)]
    assert run(words) == EXIT_WRONG_USE
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert word in error[0]
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_are_refused_in_one_line(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrained = workspace / "runs" / "pretrain-mtl"
    store = workspace / "stores" / "cardiac-sax.zarr"
    capsys.readouterr()
    words = ["train", "pretrain-app", *TINY, "--set", "backbone.width=6", "--init", str(pretrained),
             "--store", str(store), "-o", str(tmp_path / "run"), "--device", "cpu"]  # fmt: skip
    assert run(words) == EXIT_WRONG_USE
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert "fit" in error[0]
    assert not (tmp_path / "run").exists()


def test_test_patients_that_training_saw_are_refused(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = ["evaluate", str(workspace / "runs" / "pretrain-mtl"), "--device", "cpu", "--split", "all",
             "--store", str(workspace / "stores" / "cardiac-sax.zarr")]  # fmt: skip
    assert run(words) == EXIT_WRONG_USE
    assert "never saw" in capsys.readouterr().err


def test_training_patients_can_be_measured(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(workspace / "runs" / "pretrain-mtl"), "--device", "cpu", "--split", "train",
             "--store", str(workspace / "stores" / "cardiac-sax.zarr")]  # fmt: skip
    assert answer(words, capsys)["tasks"]["mtl"]["images"] == 12
