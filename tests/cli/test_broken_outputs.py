"""Stores and runs that are broken, half-written or of another version: one line and the right code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zarr

from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_INTEGRITY, EXIT_SOME_SKIPPED
from tests.cli.test_whole_way import SMALL_GRID, TINY

CPU = ["--device", "cpu"]


@pytest.fixture(scope="module")
def whole(heart_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a catalogue, a store and a run; not to be changed."""
    folder = tmp_path_factory.mktemp("broken") / "work"
    common = ["--workspace", str(folder)]
    assert run(["index", str(heart_export), *common]) == EXIT_DONE
    assert run(["build-targets", "--protocol", "cardiac-sax", *SMALL_GRID, *common]) == EXIT_DONE
    assert run(["train", *TINY, *CPU, *common]) == EXIT_DONE
    return folder


@pytest.fixture
def room(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be broken."""
    return Path(shutil.copytree(whole, tmp_path / "work"))


def changed(marker: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(marker.read_text())
    change(content)
    marker.write_text(json.dumps(content))


def described(content: dict[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = content["attributes"]["anatprep"]
    return attributes


def half_written(store: Path) -> None:
    changed(store / "zarr.json", lambda content: described(content).update(complete=False))


def of_another_version(store: Path) -> None:
    changed(store / "zarr.json", lambda content: described(content).update(version=99))


def of_another_program(store: Path) -> None:
    changed(store / "zarr.json", lambda content: content["attributes"].clear())


def with_a_broken_description(store: Path) -> None:
    changed(store / "zarr.json", lambda content: described(content).pop("rows"))


def without_an_array(store: Path) -> None:
    shutil.rmtree(store / "line")


@pytest.mark.parametrize("command", ["train", "evaluate", "report", "verify"])
@pytest.mark.parametrize(
    ("break_it", "word"),
    [
        (half_written, "half-written"),
        (of_another_version, "version 99"),
        (of_another_program, "not an anatprep store"),
        (with_a_broken_description, "rows"),
        (without_an_array, "line"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_in_one_line(
    command: str, break_it: Callable[[Path], None], word: str, room: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    store, out = room / "stores" / "cardiac-sax.zarr", tmp_path / "out"
    break_it(store)
    words = {
        "train": ["train", *TINY, "--store", str(store), "-o", str(out), *CPU],
        "evaluate": ["evaluate", str(room / "runs" / "pretrain-mtl"), "--store", str(store), *CPU],
        "report": ["report", str(store), "-o", str(out)],
        "verify": ["verify", str(store)],
    }[command]
    assert_refused(words, word, capsys)
    assert not out.exists()


def without_most_keys(folder: Path) -> None:
    (folder / "run.json").write_text('{"format": "anatprep-run", "version": 1}')


def cut_off(folder: Path) -> None:
    (folder / "run.json").write_text('{"format": "anatpr')


def of_a_later_version(folder: Path) -> None:
    changed(folder / "run.json", lambda content: content.update(version=99))


@pytest.mark.parametrize("command", ["go on", "init", "evaluate", "report", "verify"])
@pytest.mark.parametrize(
    ("break_it", "word"),
    [
        (without_most_keys, "state, recipe"),
        (cut_off, "not JSON"),
        (of_a_later_version, "version 99"),
    ],
)
def test_a_run_that_cannot_be_used_is_refused_in_one_line(
    command: str, break_it: Callable[[Path], None], word: str, room: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder, store, out = (
        room / "runs" / "pretrain-mtl",
        room / "stores" / "cardiac-sax.zarr",
        tmp_path / "out",
    )
    break_it(folder)
    on_store = ["--store", str(store), *CPU]
    words = {
        "go on": ["train", *TINY, *on_store, "-o", str(folder)],
        "init": ["train", *TINY, *on_store, "--init", str(folder), "-o", str(out)],
        "evaluate": ["evaluate", str(folder), *on_store],
        "report": ["report", str(folder), "-o", str(out)],
        "verify": ["verify", str(folder)],
    }[command]
    assert_refused(words, word, capsys)
    assert not out.exists()


@pytest.mark.parametrize("content", [b"dear colleague", b""])
def test_weights_that_are_none_are_refused_in_one_line(
    content: bytes, room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = room / "runs" / "pretrain-mtl"
    (folder / "weights.safetensors").write_bytes(content)
    on_store = ["--store", str(room / "stores" / "cardiac-sax.zarr"), *CPU]
    out = tmp_path / "out"
    for words in (
        ["train", *TINY, *on_store, "--init", str(folder), "-o", str(out)],
        ["evaluate", str(folder), *on_store, "--split", "train"],
        ["verify", str(folder)],
    ):
        assert_refused(words, "not a readable safetensors file", capsys)
    assert not out.exists()


def assert_refused(words: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 5 and one line of an error; from `verify` one of the problems below the folder's name."""
    capsys.readouterr()
    assert run(words) == EXIT_INTEGRITY
    captured = capsys.readouterr()
    if words[0] == "verify":
        assert captured.err == ""
        assert any(word in problem for problem in captured.out.splitlines()[1:])
    else:
        assert len(captured.err.splitlines()) == 1
        assert word in captured.err


def test_verify_tells_an_unfinished_run_and_one_whose_weights_have_no_checksum(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = room / "runs" / "pretrain-mtl"
    capsys.readouterr()
    changed(folder / "run.json", lambda content: content.pop("weights_sha256"))
    assert run(["verify", str(folder), "--json"]) == EXIT_DONE
    (note,) = json.loads(capsys.readouterr().out)["notes"][str(folder)]
    assert "holds no SHA-256 of the weights" in note
    changed(folder / "run.json", lambda content: content.update(state="running"))
    assert_refused(["verify", str(folder)], "not finished; run the same train command again", capsys)


def test_what_a_killed_build_left_behind_is_passed_over(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = shutil.copytree(room / "stores" / "cardiac-sax.zarr", room / "stores" / ".cardiac-sax.zarr.0f3a")
    half_written(left)
    common = ["--workspace", str(room)]
    assert run(["verify", *common]) == EXIT_DONE
    assert run(["report", *common]) == EXIT_DONE
    assert run(["train", *TINY, *CPU, "-o", str(room / "again"), *common]) == EXIT_DONE
    assert "0f3a" not in capsys.readouterr().out


def test_the_bare_report_leaves_out_what_is_broken_and_says_so(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unfinished = shutil.copytree(room / "stores" / "cardiac-sax.zarr", room / "stores" / "cardiac-4ch.zarr")
    half_written(unfinished)
    without_most_keys(room / "runs" / "pretrain-mtl")
    capsys.readouterr()
    assert run(["report", "--workspace", str(room), "--json"]) == EXIT_SOME_SKIPPED
    told = json.loads(capsys.readouterr().out)
    assert len(told["sources"]) == 2
    store, described_run = told["left_out"]
    assert "cardiac-4ch.zarr is half-written" in store
    assert "run.json is damaged: state, recipe, recipe_sha256, stores, init_sha256, notes" in described_run
    assert (room / "report.html").exists()


def with_a_flipped_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ("stores/cardiac-sax.zarr", "image/c/0/0/0"),
        ("stores/cardiac-sax.zarr", "location/c/0"),
        ("stores/cardiac-sax.zarr", "line/zarr.json"),
        ("catalogue", "stacks.parquet"),
    ],
)
def test_a_report_refuses_a_named_source_with_a_flipped_byte_and_a_bare_one_leaves_it_out(
    named: str, name: str, room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = room / named
    with_a_flipped_byte(source / name)
    assert_refused(["report", str(source), "-o", str(tmp_path / "out")], name, capsys)
    assert not (tmp_path / "out").exists()
    assert run(["report", "--workspace", str(room), "--json"]) == EXIT_SOME_SKIPPED
    (told,) = json.loads(capsys.readouterr().out)["left_out"]
    assert str(source) in told


def test_a_bare_report_of_nothing_whole_is_an_error(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(room / "catalogue")
    half_written(room / "stores" / "cardiac-sax.zarr")
    without_most_keys(room / "runs" / "pretrain-mtl")
    capsys.readouterr()
    assert run(["report", "--workspace", str(room)]) == EXIT_INTEGRITY
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (room / "report.html").exists()


def test_an_evaluation_says_what_casts_doubt_on_it(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, store = room / "runs" / "pretrain-mtl", room / "stores" / "cardiac-sax.zarr"
    words = ["evaluate", str(folder), "--store", str(store), "--split", "train", *CPU]
    assert run(words) == EXIT_DONE
    shown = capsys.readouterr().out
    assert "note:" not in shown
    assert "mtl: 12 images in 3 volumes of 1 patient\n" in shown
    changed(
        folder / "seen_patients.json",
        lambda content: content.update(ancestors_known=False, trained=["00"], stores=[["00"]]),
    )
    valid = zarr.open_array(store / "valid", mode="r+")
    valid[0] = False
    assert run(words) == EXIT_SOME_SKIPPED
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(notes) == 3
    assert "do not say whom they were trained on" in notes[0]
    assert "cannot be told whether these patients were seen" in notes[1]
    assert "1 image left out, whose pixels cannot be used; 1 volume measured without all images" in notes[2]
