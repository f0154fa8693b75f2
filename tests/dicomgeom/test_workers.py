"""Many hands do what one does, and say so when one of them dies."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomgeom.errors import AnatprepError, WrongUse
from dicomgeom.workers import AHEAD, NEEDS, PIPE_BYTES, Alone, Together, team_of
from tests.helpers.real import PROJECT

HEAVY = ("PIL", "gdcm", "pydicom", "requests", "scipy", "shapely")
"""What nearly no header needs, and what takes longer to load than thousands of headers to read."""


def test_one_worker_starts_no_other_process() -> None:
    with team_of(1, None) as team:
        assert isinstance(team, Alone)
        assert list(team.run(abs, [-1, 2])) == [1, 2]


def test_two_workers_do_every_task_once_and_take_up_few_ahead() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for number in range(60):
            taken.append(number)
            yield -number

    with team_of(2, None) as team:
        assert isinstance(team, Together)
        results = team.run(abs, tasks())
        first = next(results)
        assert len(taken) <= AHEAD + 2
        assert sorted([first, *results]) == list(range(60))


@pytest.mark.skipif(sys.platform != "linux", reason="pipes have a size on Linux alone")
def test_a_whole_task_or_result_fits_into_the_pipes() -> None:
    with team_of(2, None) as team:
        assert isinstance(team, Together)
        for queue in ("_call_queue", "_result_queue"):
            reader = getattr(team._pool, queue)._reader
            assert fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ) == PIPE_BYTES


def test_a_worker_that_dies_is_told_with_what_to_do() -> None:
    with team_of(2, None) as team:
        assert isinstance(team, Together)
        team._pool.submit(os._exit, 1)
        with pytest.raises(AnatprepError, match="fewer --workers"):
            list(team.run(abs, range(100_000)))


def test_less_than_one_worker_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="at least 1"), team_of(0, None):
        pass


def test_a_reading_worker_loads_nothing_that_headers_do_not_need() -> None:
    code = f"import sys, {NEEDS}; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, check=True)
    assert done.stdout.split() == []


def test_other_processes_do_not_import_the_main_program_which_needs_no_guard(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "print('loaded', __name__, flush=True)\n"
        "from dicomgeom.workers import team_of\n"
        "with team_of(2, None) as team:\n"
        "    print(sorted(team.run(abs, [-1, 2, -3])), flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, program], cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["loaded __main__", "[1, 2, 3]"]


def test_workers_end_with_a_program_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, time; from dicomgeom.workers import team_of\n"
        "with team_of(2, None) as team:\n"
        "    print(team._pool.submit(os.getpid).result(), flush=True); time.sleep(60)"
    )
    program = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE)
    assert program.stdout is not None
    with program.stdout:
        worker = int(program.stdout.readline())
    assert Path(f"/proc/{worker}").exists()
    program.kill()
    program.wait()
    until_s = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < until_s, "the worker has outlived its program"
        time.sleep(0.05)
