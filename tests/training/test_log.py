from __future__ import annotations

from pathlib import Path

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
