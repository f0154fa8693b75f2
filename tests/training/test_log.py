from __future__ import annotations

import socket
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.log import RunLog, read_log


def test_lines_beyond_the_step_of_a_resume_are_cut_off(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    for step in (2, 4, 6):
        log.write({"step": step, "loss": 1.0 / step, "parts": {"a/b": 0.5}})
    log.close()
    log = RunLog(tmp_path, 4)
    log.write({"step": 6, "loss": 9.0})
    log.close()
    assert [(line["step"], line["loss"]) for line in read_log(tmp_path)] == [(2, 0.5), (4, 0.25), (6, 9.0)]


def test_a_line_that_was_cut_in_its_middle_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    assert [line["step"] for line in read_log(tmp_path)] == [1]
    RunLog(tmp_path, 1).close()
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1, "loss": 0.5}\n'


def test_no_log_has_no_lines(tmp_path: Path) -> None:
    assert list(read_log(tmp_path)) == []


def test_tensorboard_reads_the_numbers_and_no_name_of_the_machine(tmp_path: Path) -> None:
    for begun, steps in ((0, (2, 4, 6)), (4, (6,))):
        log = RunLog(tmp_path, begun)
        for step in steps:
            log.write({"step": step, "loss": step + begun, "parts": {"a/b": 0.5}})
        log.close()
    folder = tmp_path / "tensorboard"
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == [
        "events.out.tfevents.0000000000",
        "events.out.tfevents.0000000004",
    ]
    assert not any(socket.gethostname().encode() in path.read_bytes() for path in files)
    board = EventAccumulator(str(folder))
    board.Reload()
    assert board.Tags()["scalars"] == ["loss", "parts/a/b"]
    assert [(one.step, one.value) for one in board.Scalars("loss")] == [(2, 2.0), (4, 4.0), (6, 10.0)]


def test_a_second_start_from_the_same_step_replaces_what_the_first_told_tensorboard(tmp_path: Path) -> None:
    for loss in (1.0, 2.0):
        log = RunLog(tmp_path, 0)
        log.write({"step": 2, "loss": loss})
        log.close()
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [one.value for one in board.Scalars("loss")] == [2.0]
