from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dicomgeom.errors import WrongUse
from tests.helpers.real import PROJECT
from tests.helpers.runs import MakeRecipe
from training.holding import held
from training.loop import LOCK_FILE, train

HOLD = """
import sys, time
from pathlib import Path
from training.holding import held
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

    monkeypatch.setattr("training.holding.os.open", taken_away)
    with held(path) as ours:
        assert ours
        assert path.exists()
    assert len(opened) == 2


def test_a_file_system_without_locks_is_refused_where_a_lock_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("training.holding.fcntl.flock", no_locks)
    with held(tmp_path / "lock", needed=False) as ours:
        assert ours
    with pytest.raises(WrongUse, match="a file system that knows no locks"), held(tmp_path / "lock"):
        pass


def test_a_run_is_trained_by_one_process_at_a_time(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with held(run / LOCK_FILE), pytest.raises(WrongUse, match="being trained in by another process"):
        train(small(steps="1"), {"": pretext_store}, run)
    assert list(run.iterdir()) == []
    (run / ".checkpoint.safetensors.0123456789abcdef.part").write_bytes(b"a write that was killed")
    train(small(steps="1"), {"": pretext_store}, run)
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]
