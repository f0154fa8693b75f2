from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dicomgeom.errors import WrongUse
from dicomgeom.holding import held
from tests.helpers.real import PROJECT

HOLD = """
import sys, time
from pathlib import Path
from dicomgeom.holding import held
with held(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    time.sleep(600)
"""


def test_a_file_is_held_by_one_process_until_that_ends_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with held(path) as ours:
            assert not ours
        assert path.exists(), "who does not hold it must not take it away"
        other.send_signal(signal.SIGKILL)
        other.wait()
    with held(path) as ours:
        assert ours
        with held(path) as twice:
            assert not twice
    assert not path.exists()


def test_a_file_that_is_taken_away_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened, real = tmp_path / "lock", [], os.open

    def taken_away(*arguments: int) -> int:
        descriptor = real(*arguments)  # type: ignore[arg-type]
        opened.append(descriptor)
        if len(opened) == 1:
            path.unlink()
        return descriptor

    monkeypatch.setattr("dicomgeom.holding.os.open", taken_away)
    with held(path) as ours:
        assert ours
        assert path.exists()
    assert len(opened) == 2


def test_a_file_system_without_locks_is_refused_where_a_lock_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("dicomgeom.holding.fcntl.flock", no_locks)
    with held(tmp_path / "lock", needed=False) as ours:
        assert ours
    with pytest.raises(WrongUse, match="a file system that knows no locks"), held(tmp_path / "lock"):
        pass


def test_a_folder_that_is_taken_away_under_a_lock_takes_no_other_lock_with_it(tmp_path: Path) -> None:
    path = tmp_path / "working" / "lock"
    with held(path):
        shutil.rmtree(path.parent)
        with held(path) as later:
            assert later
            with held(path) as third:
                assert not third
        later_file = path.parent / "lock"
        later_file.touch()
    assert later_file.exists(), "the file of a later holder is not ours to take away"
