"""The entry point: every way a command can end is one line and one code."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import cli.main
from cli.console import Screen, counted, print_json, rate_told, spelled
from cli.main import EXIT_INTERRUPTED, EXIT_UNEXPECTED, run
from dicomgeom.errors import EXIT_DONE, EXIT_WRONG_USE


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "export").mkdir()
    return tmp_path / "export"


def break_index(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr("dicomgeom.index.index", _raising(error))


def test_an_interrupt_says_how_to_go_on(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_index(monkeypatch, KeyboardInterrupt())
    assert run(["index", str(source), "-o", str(source / "c")]) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "interrupted; run the same command again to go on\n"


def test_a_mistake_of_ours_is_one_line_with_a_way_to_the_traceback(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_index(monkeypatch, RuntimeError("first line\nsecond line"))
    words = ["index", str(source), "-o", str(source / "c")]
    assert run(words) == EXIT_UNEXPECTED
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "--debug" in error
    assert run(["--debug", *words]) == EXIT_UNEXPECTED
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_is_one_line(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_index(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "/somewhere"))
    assert run(["index", str(source), "-o", str(source / "c")]) == EXIT_WRONG_USE
    assert capsys.readouterr().err.startswith("error: No space left on device: /somewhere")


def test_a_gpu_without_room_is_no_mistake_of_ours(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "CUDA out of memory. Tried to allocate 4.00 GiB.\nSee the documentation"
    monkeypatch.setattr("training.evaluate.evaluate", _raising(torch.OutOfMemoryError(said)))
    assert run(["evaluate", str(source), "--store", str(source)]) == EXIT_WRONG_USE
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "Tried to allocate 4.00 GiB" in error
    assert "--device cpu" in error
    assert "mistake" not in error


def _raising(error: BaseException) -> Callable[..., None]:
    def broken(*_: object, **__: object) -> None:
        raise error

    return broken


@pytest.mark.parametrize(
    ("module", "text", "code"),
    [
        ("torch", "anatprep[all]", EXIT_WRONG_USE),
        ("dicomgeom.planes", "mistake in anatprep", EXIT_UNEXPECTED),
    ],
)
def test_a_missing_library_is_told_from_a_missing_module_of_ours(
    module: str, text: str, code: int, source: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    break_index(monkeypatch, ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert run(["index", str(source), "-o", str(source / "c")]) == code
    assert text in capsys.readouterr().err


def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == EXIT_DONE
    shown = capsys.readouterr().out
    for command in cli.main.app.registered_commands:
        assert command.name is not None
        assert command.name in shown


@pytest.mark.parametrize("command", [command.name for command in cli.main.app.registered_commands])
def test_every_command_has_help_and_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == EXIT_DONE
    assert "--json" in capsys.readouterr().out


def test_json_has_no_nan_and_spells_paths(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [Path("x"), 1.5, None, True], 3: {"c": float("inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": ["x", 1.5, None, True], "3": {"c": None}}


def test_with_json_everything_for_people_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=True)
    screen.say("a word")
    screen.table(("name", "count"), [("[b]x[/b]", 3)])
    screen.finish({"done": True})
    captured = capsys.readouterr()
    assert captured.out == '{"done": true}\n'
    assert "a word" in captured.err
    assert "[b]x[/b]" in captured.err


def test_a_pipe_cuts_no_cell(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().table(("path", "reason"), [("a" * 120, "b" * 60)])
    shown = capsys.readouterr().out
    assert "a" * 120 in shown
    assert "b" * 60 in shown


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "yes"), (0.123456, "0.1235"), (float("nan"), ""), (12, "12")]
)
def test_cells_are_spelled_for_people(value: object, text: str) -> None:
    assert spelled(value) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (None, ""),
        (0.0, ""),
        (12345.6, "12,346/s"),
        (42.42, "42.4/s"),
        (1.0, "1/s"),
        (0.5, "30/min"),
        (1 / 600, "6/h"),
    ],
)
def test_a_rate_is_told_in_the_unit_in_which_something_gets_done(per_second: float | None, text: str) -> None:
    assert rate_told(per_second) == text


def test_one_is_spelled_as_one(
    heart_export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (counted(0, "stack"), counted(1, "stack"), counted(2, "stack")) == (
        "0 stacks",
        "1 stack",
        "2 stacks",
    )
    assert counted(2, "study", "studies") == "2 studies"
    assert run(["index", str(heart_export), "-o", str(tmp_path / "c")]) == EXIT_DONE
    assert "; 1 patient, 1 study, 3 stacks\n" in capsys.readouterr().out
