"""What is told of long work where there is no terminal."""

from __future__ import annotations

import re
import time

import pytest

from cli.console import Screen
from dicomgeom.progress import Progress, Waiting

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("cli.console.time.monotonic", clock)
    return clock


def work(
    progress: Progress, clock: Clock, seconds: int, *, per_second: int = 2, what: str = "training"
) -> None:
    """Some work that tells of itself every second."""
    for second in range(seconds + 1):
        progress(what, done=per_second * second, total=per_second * seconds)
        clock.now_s += 1


def test_each_kind_of_work_is_told_at_its_start_and_then_once_a_minute(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Screen().progress() as progress:
        work(progress, clock, 150, what="reading headers")
        progress("listing files", done=7000, total=None)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "reading headers: 4 of 300, 2/s, 0:02:28 left",
        "reading headers: 124 of 300, 2/s, 0:01:28 left",
        "reading headers: 244 of 300, 2/s, 0:00:28 left",
        "listing files: 7,000",
    ]


def test_work_that_tells_of_itself_once_is_told_though_nothing_more_comes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.console.QUIET_S", 0.05)
    with Screen().progress() as progress:
        progress("writing shards", done=0, total=1)
        time.sleep(0.3)
    assert capsys.readouterr().err == "writing shards: 0 of 1\n"


def test_nothing_is_told_of_short_work(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().progress() as progress:
        work(progress, clock, 1)
    assert capsys.readouterr().err == ""


def test_a_day_is_told_in_a_few_hundred_lines(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().progress() as progress:
        for _ in range(DAY_S // HOUR_S):
            work(progress, clock, HOUR_S)
            work(progress, clock, 5, what="validating")
    lines = capsys.readouterr().err.splitlines()
    assert 50 < len(lines) < 200
    assert sum("validating" in line for line in lines) > 10


def test_work_that_goes_on_is_timed_from_where_it_went_on(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Screen().progress() as progress:
        progress("training", done=900, total=1000)
        clock.now_s += MINUTE_S
        progress("training", done=930, total=1000)
    assert capsys.readouterr().err == "training: 930 of 1,000, 30/min, 0:02:20 left\n"


def test_a_second_round_of_the_same_kind_is_timed_anew(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Screen().progress() as progress:
        work(progress, clock, 50)
        work(progress, clock, 50)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "training: 4 of 100, 2/s, 0:00:48 left"
    assert re.fullmatch(r"training: \d+ of 100, 2/s, 0:00:\d\d left", second)


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_waited_for_is_told_at_once_and_standard_output_stays_that_of_the_result(
    as_json: bool, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Screen(as_json=as_json).progress() as progress:
        progress(Waiting("no workers yet"), done=0, total=None)
        clock.now_s += 5
        progress("training", done=0, total=5)
    told = capsys.readouterr()
    assert ("no workers yet" in told.err) == as_json
    assert "training: 0 of 5" in told.err
    assert "training" not in told.out


def test_a_process_that_fell_silent_tells_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.fall_silent()
    with screen.progress() as progress:
        work(progress, clock, 100)
    told = capsys.readouterr()
    assert told.out + told.err == ""
