"""The demo: skips what is finished, stops where a step fails, and hides nothing that matters."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.console import Screen
from cli.demo import NOTES_FILE, Extent, Way, _conclude, go
from cli.main import app
from dicomgeom.errors import EXIT_NOTHING_USABLE, EXIT_SOME_SKIPPED, IntegrityError

SMALL = Extent(
    exams=3, phases=2, seed=57, workers=1, pixels=32, spacing_mm=9, width=2,
    pretraining_steps=3, fine_tuning_steps=2,
)  # fmt: skip
"""One patient to train on, one to validate on, one to test on."""


class Root:
    """Stands for the whole command line: notes what it is asked for."""

    def __init__(self, code: int | None = 0) -> None:
        self.code = code
        self.asked: list[list[str]] = []

    def main(self, *, args: list[str], **_: Any) -> int | None:
        self.asked.append(args)
        sys.stdout.write("found 3 stacks\nnext: anatprep something\n")
        return self.code


def test_a_finished_step_is_skipped_the_next_time(tmp_path: Path) -> None:
    root = Root()
    Way(Screen(), root, tmp_path).step("index", "index", tmp_path, ["-o", "x"])
    Way(Screen(), root, tmp_path).step("index", "index", tmp_path, ["-o", "x"])
    assert root.asked == [["index", str(tmp_path), "-o", "x"]]


def test_a_step_with_other_words_runs_again(tmp_path: Path) -> None:
    root = Root()
    Way(Screen(), root, tmp_path).step("index", "index", "a")
    Way(Screen(), root, tmp_path).step("index", "index", "b")
    assert len(root.asked) == 2


def test_a_step_that_skipped_input_counts_as_done(tmp_path: Path) -> None:
    Way(Screen(), Root(EXIT_SOME_SKIPPED), tmp_path).step("index", "index")
    assert "index" in json.loads((tmp_path / NOTES_FILE).read_text())["finished"]


def test_a_step_that_fails_ends_the_demo_with_its_code(tmp_path: Path) -> None:
    with pytest.raises(typer.Exit) as ended:
        Way(Screen(), Root(EXIT_NOTHING_USABLE), tmp_path).step("index", "index")
    assert ended.value.exit_code == EXIT_NOTHING_USABLE
    assert not (tmp_path / NOTES_FILE).exists()


def test_each_command_is_shown_as_a_user_types_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Way(Screen(), Root(), tmp_path).step("index", "index", "my export")
    shown = capsys.readouterr().out
    assert "$ anatprep index 'my export'" in shown
    assert "found 3 stacks" in shown
    assert "next:" not in shown


def test_damaged_notes_are_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / NOTES_FILE).write_text("{")
    with pytest.raises(IntegrityError, match="remove it"):
        Way(Screen(), Root(), tmp_path)


def test_the_table_says_that_one_seed_is_an_illustration(capsys: pytest.CaptureFixture[str]) -> None:
    _conclude(Screen(), {"from scratch": {"LV": 0.5}, "pretrained": {"LV": 0.75}}, 3, 1)
    shown = capsys.readouterr().out
    assert "+0.250" in shown
    assert "illustration" in shown


def test_the_demo_goes_the_whole_way_and_the_second_time_finds_it_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, folder = typer.main.get_command(app), tmp_path / "demo"
    go(Screen(), root, folder, "cpu", SMALL)
    shown = capsys.readouterr().out
    assert "Dice on 1 digital patient that pretraining never saw, after fine-tuning on 1 labelled" in shown
    for structure in ("LV cavity", "LV myocardium", "RV cavity"):
        assert any(line.strip().startswith(structure) for line in shown.splitlines())
    assert "note: no patient links" not in shown
    page = (folder / "report.html").read_text()
    assert "Runs compared" in page
    assert page.count("data:image/png") > 10
    for name in ("scratch", "fine-tuned"):
        seen = json.loads((folder / "runs" / name / "seen_patients.json").read_text())["trained"]
        (task,) = json.loads((folder / "runs" / name / "evaluation.json").read_text())["tasks"].values()
        assert len(seen) == len(task["patients"]) == 1
        assert not set(seen) & set(task["patients"])
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    started_s = time.monotonic()
    go(Screen(), root, folder, "cpu", SMALL)
    assert time.monotonic() - started_s < 5
    assert capsys.readouterr().out.count("finished before") == shown.count("$ anatprep ") == 10
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
