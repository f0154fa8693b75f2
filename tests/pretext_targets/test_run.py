"""Workers that die and schedulers that go away."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomgeom.errors import EXIT_INTEGRITY, HalfWritten
from pretext_targets.build import BuildPlan, build
from pretext_targets.local_cluster import LOCAL_SETTINGS, local_cluster
from pretext_targets.run import run_shards
from tests.helpers.built_stores import content_of
from tests.helpers.real import PROJECT
from tests.pretext_targets.conftest import SHARD

pytestmark = pytest.mark.slow


class Deadly:
    """A task that kills the process in which it is unpacked."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (17,)


def test_a_task_that_kills_every_worker_ends_with_a_clear_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(LOCAL_SETTINGS, "distributed.scheduler.allowed-failures", 1)
    tasks: Any = iter([Deadly(), Deadly()])
    with pytest.raises(HalfWritten, match=r"a worker died again and again .* fewer workers") as raised:
        run_shards(tasks, 2, workers=2)
    assert raised.value.exit_code == EXIT_INTEGRITY


def test_one_worker_that_is_killed_costs_nothing_but_time(
    plan: BuildPlan, built: Path, tmp_path: Path
) -> None:
    with local_cluster(2) as cluster:
        pids = [worker.pid for worker in cluster.workers.values()]

        def kill_one(what: str, *, done: int, total: int) -> None:
            if done == 1:
                os.kill(pids[0], signal.SIGKILL)

        build(plan, tmp_path / "store", shard=SHARD, scheduler=cluster.scheduler_address, progress=kill_one)
    assert content_of(tmp_path / "store") == content_of(built)


@contextlib.contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of dask, ended with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", *words], cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.1)
    raise TimeoutError


def test_a_scheduler_that_goes_away_says_so_and_what_is_there_stays(
    plan: BuildPlan, built: Path, tmp_path: Path
) -> None:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    scheduler = [
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-dashboard",
    ]
    worker = ["distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    with running(*scheduler) as leading:
        wait_for(port)
        with running(*worker, "--death-timeout", "5"):

            def kill(what: str, *, done: int, total: int) -> None:
                if done == 2:
                    leading.kill()

            with pytest.raises(HalfWritten, match="the scheduler went away; finished shards are kept"):
                build(plan, tmp_path / "store", shard=SHARD, scheduler=address, progress=kill)
    summary = build(plan, tmp_path / "store", shard=SHARD)
    assert summary.shards_kept >= 2
    assert content_of(tmp_path / "store") == content_of(built)
