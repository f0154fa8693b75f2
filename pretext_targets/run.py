"""Run the tasks of a build: here, in local processes, or on a dask cluster."""

from __future__ import annotations

import pickle
import time
from asyncio import CancelledError as AsyncioCancelledError
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

from dicomgeom.errors import HalfWritten
from dicomgeom.progress import Progress, silent
from dicomgeom.scheduler import check_answers
from dicomgeom.workers import SCHEDULER_WAIT_S, check_one_kind, wait_for_workers
from pretext_targets.allocation import keep_freed_memory
from pretext_targets.shard import ShardTask, write_shard

TASKS_PER_WORKER = 2
"""Tasks handed out at once for each worker: enough to keep it busy, few enough to stay small."""

COUNTED_EVERY_S = 10.0
"""How often the workers are counted again: some come while others work."""

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
        When the scheduler doesn't answer or has no worker for long, or `workers` makes no sense.
    HalfWritten
        When workers die of a task again and again, or the scheduler goes away.
    """
    check_one_kind(workers, scheduler)
    if not total:
        return
    progress(WHAT, done=0, total=total)
    if scheduler is None and (workers == 1 or total <= 1):
        for done, task in enumerate(tasks):
            # Of a lone shard images are counted: half a minute at "0 of 1" looks like nothing.
            write_shard(task, progress=progress if total == 1 else silent)
            progress(WHAT, done=done + 1, total=total)
        return
    with _client(min(workers, total), scheduler) as client:
        if scheduler is not None:
            wait_for_workers(client, scheduler, progress=progress)
        _run_on(client, tasks, total, progress)


def _run_on(client: Any, tasks: Iterator[ShardTask], total: int, progress: Progress) -> None:
    import distributed

    def at_once() -> int:
        return TASKS_PER_WORKER * max(1, int(sum(client.nthreads().values())))

    def handed_out(count: int) -> list[Any]:
        # Packed here, a task is one message; dask would send each of its small arrays by itself.
        packed = (pickle.dumps(task, protocol=pickle.HIGHEST_PROTOCOL) for task in islice(tasks, count))
        return [client.submit(write_packed, one, pure=False) for one in packed]

    running: Any = distributed.as_completed(handed_out(at_once()))  # type: ignore[no-untyped-call]
    counted_at_s = time.monotonic()
    for done, future in enumerate(running, start=1):
        _raise_failure(future)
        progress(WHAT, done=done, total=total)
        room = 1
        if time.monotonic() - counted_at_s > COUNTED_EVERY_S:
            with suppress(OSError):  # a scheduler that went away is told of by the next task
                room = at_once() - int(running.count())
            counted_at_s = time.monotonic()
        for new in handed_out(max(1, room)):
            running.add(new)


def _raise_failure(future: Any) -> None:
    """Raise what went wrong with a task; a finished one is not asked for anything.

    Raises
    ------
    HalfWritten
        When workers died of it, or the scheduler went away.
    """
    import distributed

    if future.status == "finished":
        return
    try:
        future.result()
    except distributed.KilledWorker as error:
        raise HalfWritten(
            "the store is half-written: a worker died again and again of a shard (out of memory?); "
            "run the same command with fewer workers, it goes on where it stopped"
        ) from error
    except (CancelledError, AsyncioCancelledError, distributed.client.FutureCancelledError) as error:
        raise HalfWritten(
            "the store is half-written: the scheduler went away; finished shards are kept, "
            "run the same command again when it is back"
        ) from error


def write_packed(packed: bytes) -> None:
    """Write the shard of a pickled task; what workers are given to do."""
    keep_freed_memory()
    write_shard(pickle.loads(packed))


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    import distributed

    from pretext_targets.local_cluster import local_cluster

    connect: Any = distributed.Client  # dask ships no types
    if scheduler is not None:
        check_answers(scheduler, SCHEDULER_WAIT_S)
        with connect(scheduler, timeout="30s") as client:
            yield client
        return
    with local_cluster(workers) as cluster, connect(cluster) as client:
        yield client
