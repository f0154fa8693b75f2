"""A dask cluster whose workers come late, one after the other, or never."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import dicomgeom.workers
import pretext_targets.run
from dicomgeom.errors import WrongUse
from dicomgeom.progress import Waiting
from pretext_targets.run import TASKS_PER_WORKER, run_shards


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A scheduler in this process without a worker, at an address."""
    import distributed

    local: Any = distributed.LocalCluster
    with local(
        n_workers=0,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
    ) as made:
        yield made


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What workers were given to write, in place of shards."""
    done: list[Any] = []
    monkeypatch.setattr(pretext_targets.run, "write_shard", done.append)
    return done


def test_a_scheduler_without_workers_is_waited_for_and_the_wait_is_told(
    cluster: Any, written: list[Any]
) -> None:
    told = []

    def progress(what: str, *, done: int, total: int | None) -> None:
        if isinstance(what, Waiting):
            told.append(what)
            cluster.scale(1)

    tasks: Any = iter(range(3))
    run_shards(tasks, 3, scheduler=cluster.scheduler_address, progress=progress)
    assert told == [f"no workers at {cluster.scheduler_address} yet, waiting (at most 30 min)"]
    assert sorted(written) == [0, 1, 2]


def test_a_scheduler_to_which_no_worker_comes_ends_in_one_line(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicomgeom.workers, "WORKERS_WAIT_S", 0.3)
    with pytest.raises(WrongUse, match=r"no worker came to tcp://.* within .*dask worker tcp://") as caught:
        run_shards(iter([]), 3, scheduler=cluster.scheduler_address)
    assert "\n" not in str(caught.value)


def test_nobody_is_asked_when_no_shard_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(pretext_targets.run, "_client", lambda *given: asked.append(given))
    run_shards(iter([]), 0, scheduler="tcp://127.0.0.1:9")
    assert asked == []


def test_workers_that_come_late_are_given_work(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    all_have_come = threading.Event()
    monkeypatch.setattr(
        pretext_targets.run, "write_shard", lambda number: number == 0 or all_have_come.wait()
    )
    monkeypatch.setattr(pretext_targets.run, "COUNTED_EVERY_S", 0.0)
    cluster.scale(1)
    handed_out = []

    def tasks() -> Iterator[int]:
        for number in range(12):
            handed_out.append(number)
            if len(handed_out) == 1 + 3 * TASKS_PER_WORKER:
                all_have_come.set()
            yield number

    def progress(what: str, *, done: int, total: int | None) -> None:
        if done == 1:
            cluster.scale(3)
            cluster.wait_for_workers(3, timeout=10)
            threading.Timer(10, all_have_come.set).start()  # ends the test where they get nothing

    waiting: Any = tasks()
    in_hand = []

    def counting(what: str, *, done: int, total: int | None) -> None:
        in_hand.append(len(handed_out) - done)
        progress(what, done=done, total=total)

    run_shards(waiting, 12, scheduler=cluster.scheduler_address, progress=counting)
    assert max(in_hand) == 3 * TASKS_PER_WORKER - 1
