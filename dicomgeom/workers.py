"""Many hands for the work of `index`: this process, more processes on this machine, or dask workers.

Work comes as an iterator of tasks and is taken up a few tasks ahead, so that millions of
files never stand in a queue. This module imports nothing heavy: a new process loads it first.
"""

from __future__ import annotations

import fcntl
import importlib
import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import wait as wait_for
from types import ModuleType
from typing import Any, Final, Protocol, TypeVar

from dicomgeom.errors import AnatprepError, WrongUse
from dicomgeom.progress import Progress, Waiting, silent
from dicomgeom.scheduler import check_answers

Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD: Final = 2
"""Tasks that wait for each worker: one to work on, one to take up next."""

NEEDS: Final = "dicomgeom.reading"
"""Module that new processes load at once, while this one begins the work."""

SHARED: Final = "dicomgeom.scan"
"""Module that all of them share: it starts no thread, as polars does, so that a fork is safe."""

PIPE_BYTES: Final = 1 << 20
"""Pipes to and from other processes hold a whole task or result, so that nobody waits to be heard."""

SWITCH_S: Final = 5e-4
"""How soon the thread that takes in results gets its turn; with Python's own 5 ms, and 64 KB that fit
into a pipe, the other process waits for a good part of its time."""

SCHEDULER_WAIT_S: Final = 10.0
"""How long an answer of a dask scheduler is waited for."""

WORKERS_WAIT_S: Final = 1800.0
"""How long the first worker of a dask scheduler is waited for: batch systems start them late."""


class Team(Protocol):
    """Whoever does the work."""

    @property
    def hands(self) -> int:
        """How many tasks are worked on at once."""

    def run(self, do: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Results of all tasks, in the order in which they are done."""


class Alone:
    """Nobody but this process."""

    hands = 1

    def run(self, do: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        return map(do, tasks)


class Together:
    """Other processes on this machine, and this one, which takes up tasks itself rather than wait.

    Parameters
    ----------
    called
        Done when the others have been called: until then this process does everything.
    """

    def __init__(self, pool: ProcessPoolExecutor, others: int, called: Future[None]) -> None:
        self._pool = pool
        self._others = others
        self._called = called
        self.hands = others + 1

    def run(self, do: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        waiting = iter(tasks)
        running: set[Future[Result]] = set()
        try:
            for task in waiting:
                running = yield from _taken(running)
                if self._are_there() and len(running) < AHEAD * self._others:
                    running.add(self._pool.submit(do, task))
                else:
                    yield do(task)
            while running:
                wait(running, return_when=FIRST_COMPLETED)
                running = yield from _taken(running)
        except BrokenProcessPool as error:
            raise AnatprepError(
                "a worker process died (out of memory?); run the same command again with fewer --workers: "
                "what was read is kept"
            ) from error

    def _are_there(self) -> bool:
        if not self._called.done():
            return False
        self._called.result()  # complains when no process could be started
        return True


def _taken(running: set[Future[Result]]) -> Generator[Result, None, set[Future[Result]]]:
    """Results that are there; returns what still runs."""
    done = {future for future in running if future.done()}
    for future in done:
        yield future.result()
    return running - done


class OnDask:
    """Workers of a dask cluster, which must see the sources under the same paths."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.hands = max(1, sum(client.ncores().values()))

    def run(self, do: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        running: deque[Any] = deque()
        for task in tasks:
            running.append(self._client.submit(do, task, pure=False))
            if len(running) >= AHEAD * self.hands:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def check_one_kind(workers: int, scheduler: str | None) -> None:
    """Refuse processes of this machine beside a scheduler, whose workers are its own.

    Raises
    ------
    WrongUse
        When both were asked for, or less than one worker.
    """
    if workers < 1:
        raise WrongUse(f"--workers must be at least 1, found {workers}")
    if scheduler is not None and workers > 1:
        raise WrongUse(
            f"--workers {workers} is for processes on this machine, --scheduler {scheduler} for a cluster, "
            "which has its own workers; give one of the two"
        )


def wait_for_workers(client: Any, address: str, *, progress: Progress = silent) -> None:
    """Wait until a dask cluster has a worker, and say so when it has none yet.

    Raises
    ------
    WrongUse
        When none has come after `WORKERS_WAIT_S`.
    """
    if client.nthreads():
        return
    span = f"{WORKERS_WAIT_S / 60:.3g} min"
    progress(Waiting(f"no workers at {address} yet, waiting (at most {span})"), done=0, total=None)
    try:
        client.wait_for_workers(1, timeout=WORKERS_WAIT_S)
    except TimeoutError as error:
        raise WrongUse(
            f"no worker came to {address} within {span}; start some with: dask worker {address}, "
            "and run the same command again"
        ) from error


@contextmanager
def team_of(workers: int, scheduler: str | None, *, progress: Progress = silent) -> Iterator[Team]:
    """Call a team together and send it home afterwards.

    Parameters
    ----------
    workers
        Processes on this machine, this one included.
    scheduler
        Address of a dask scheduler, tcp://host:port; `workers` must then be 1.

    Raises
    ------
    WrongUse
        When there is nobody at the address, for both kinds of worker, or for less than one.
    """
    check_one_kind(workers, scheduler)
    with ExitStack() as stack:
        if scheduler is not None:
            client = stack.enter_context(_client_of(scheduler))
            wait_for_workers(client, scheduler, progress=progress)
            yield OnDask(client)
        elif workers == 1:
            yield Alone()
        else:
            # Forking a process that has threads (polars starts some) may hang: fork a fresh one.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([SHARED])
            pool = ProcessPoolExecutor(workers - 1, mp_context=context, initializer=_settle)
            stack.callback(pool.shutdown, cancel_futures=True)
            _widen_pipes(pool)
            stack.callback(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(SWITCH_S)
            called = stack.enter_context(ThreadPoolExecutor(1)).submit(_call, pool, workers - 1)
            yield Together(pool, workers - 1, called)


def _widen_pipes(pool: ProcessPoolExecutor) -> None:
    """Enlarge the pipes of a pool, where the system can; nothing but speed depends on it."""
    for queue in ("_call_queue", "_result_queue"):
        with suppress(AttributeError, OSError):
            fcntl.fcntl(getattr(pool, queue)._reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _call(pool: ProcessPoolExecutor, others: int) -> None:
    """Start the processes of a pool, which takes a while when it is the first."""
    with _without_main():
        for _ in range(others):
            pool.submit(_load, NEEDS)


@contextmanager
def _without_main() -> Iterator[None]:
    """Show new processes an empty main module: they would import it, and need nothing of it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _settle() -> None:
    """One process is one worker: tables are packed by one thread in each."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """End with the process that gives the work, which cannot say so when it is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _load(module: str) -> None:
    importlib.import_module(module)


def _client_of(scheduler: str) -> Any:
    from distributed import Client

    check_answers(scheduler, SCHEDULER_WAIT_S)
    try:
        return Client(scheduler, timeout=SCHEDULER_WAIT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise WrongUse(f"the dask scheduler at {scheduler} went away; run the same command again") from error
