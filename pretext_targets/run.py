"""Run the tasks of a build: here, in local processes, or on a dask cluster."""

from __future__ import annotations

import logging
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from dicomgeom.errors import AnatprepError, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.shard import ShardTask, write_shard

TASKS_PER_WORKER = 2
"""Tasks handed out at once for each worker: enough to keep it busy, few enough to stay small."""

DEFAULT_PORT = 8786
"""Where dask schedulers listen unless told otherwise."""

WHAT = "writing shards"


def run_shards(
    tasks: Iterator[ShardTask],
    total: int,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = silent,
) -> None:
    """Write all shards, in any order.

    Parameters
    ----------
    tasks : iterator of ShardTask
        Made only when they are handed out.
    total : int
        How many there are.
    workers : int
        1: in this process. More: so many local processes of one thread.
    scheduler : str, optional
        Address of a dask scheduler to use instead, e.g. "tcp://host:8786".

    Raises
    ------
    WrongUse
        When the scheduler doesn't answer or `workers` makes no sense.
    AnatprepError
        When a task fails for good.
    """
    if workers < 1:
        raise WrongUse(f"workers must be at least 1, found {workers}")
    progress(WHAT, done=0, total=total)
    if scheduler is None and (workers == 1 or total <= 1):
        for done, task in enumerate(tasks):
            write_shard(task)
            progress(WHAT, done=done + 1, total=total)
        return
    with _client(min(workers, total), scheduler) as client:
        _run_on(client, tasks, total, progress)


def _run_on(client: Any, tasks: Iterator[ShardTask], total: int, progress: Progress) -> None:
    import distributed

    at_once = TASKS_PER_WORKER * max(1, sum(client.nthreads().values()))
    first = [client.submit(write_shard, task, pure=False) for task in islice(tasks, at_once)]
    running: Any = distributed.as_completed(first)  # type: ignore[no-untyped-call]
    for done, future in enumerate(running, start=1):
        try:
            future.result()
        except distributed.KilledWorker as error:
            raise AnatprepError(
                "a worker died again and again while it wrote a shard (out of memory?); "
                "run the same command with fewer workers, it goes on where it stopped"
            ) from error
        progress(WHAT, done=done, total=total)
        for task in islice(tasks, 1):
            running.add(client.submit(write_shard, task, pure=False))


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    import distributed

    # dask ships no types.
    connect: Any = distributed.Client
    cluster: Any = distributed.LocalCluster
    if scheduler is not None:
        _check_answers(scheduler)
        with connect(scheduler, timeout="30s") as client:
            yield client
        return
    with (
        tempfile.TemporaryDirectory(prefix="anatprep-") as scratch,
        cluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            # Any free port: without a dashboard the scheduler would still take 8787, or warn.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=None,
            local_directory=scratch,
            silence_logs=logging.ERROR,
        ) as local,
        connect(local) as client,
    ):
        yield client


def _check_answers(address: str) -> None:
    """Knock at a scheduler's door before dask does: its own refusal prints more than one line."""
    wrong = (
        f"no dask scheduler answers at {address}; start one with: dask scheduler, and give tcp://HOST:PORT"
    )
    parts = urlsplit(address)
    if parts.scheme not in ("tcp", "tls") or not parts.hostname:
        raise WrongUse(wrong)
    try:
        socket.create_connection((parts.hostname, parts.port or DEFAULT_PORT), timeout=10).close()
    except (OSError, ValueError) as error:
        raise WrongUse(wrong) from error
