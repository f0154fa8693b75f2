"""Many hands for the work of `index`: this process, more processes on this machine, or dask workers.

Work comes as an iterator of tasks and is taken up a few tasks ahead, so that millions of
files never stand in a queue. This module imports nothing heavy: a new process loads it first.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Protocol, TypeVar

from dicomgeom.errors import AnatprepError, WrongUse

Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD: Final = 2
"""Tasks that wait for each worker: one to work on, one to take up next."""

SCHEDULER_WAIT_S: Final = 10.0
"""How long an answer of a dask scheduler is waited for."""


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
    """Other processes on this machine, and this one, which takes up tasks itself rather than wait."""

    def __init__(self, pool: ProcessPoolExecutor, others: int) -> None:
        self._pool = pool
        self._others = others
        self.hands = others + 1

    def run(self, do: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        waiting = iter(tasks)
        running: set[Future[Result]] = set()
        try:
            for task in waiting:
                running = yield from _taken(running)
                if len(running) < AHEAD * self._others:
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


@contextmanager
def team_of(workers: int, scheduler: str | None, needs: str = "dicomgeom") -> Iterator[Team]:
    """Call a team together and send it home afterwards.

    Parameters
    ----------
    workers
        Processes on this machine, this one included.
    scheduler
        Address of a dask scheduler, tcp://host:port; `workers` then says nothing.
    needs
        Module that new processes load at once, while this one begins the work.

    Raises
    ------
    WrongUse
        When there is nobody at the address, or for less than one worker.
    """
    if workers < 1:
        raise WrongUse(f"--workers is {workers}; at least 1 is needed")
    with ExitStack() as stack:
        if scheduler is not None:
            yield OnDask(stack.enter_context(_client_of(scheduler)))
        elif workers == 1:
            yield Alone()
        else:
            # Forking a process that has threads (polars starts some) may hang: start fresh ones.
            context = multiprocessing.get_context("forkserver")
            pool = ProcessPoolExecutor(workers - 1, mp_context=context, initializer=_settle)
            stack.callback(pool.shutdown, cancel_futures=True)
            for _ in range(workers - 1):
                pool.submit(_load, needs)
            yield Together(pool, workers - 1)


def _settle() -> None:
    """One process is one worker: tables are packed by one thread in each."""
    os.environ["POLARS_MAX_THREADS"] = "1"


def _load(module: str) -> None:
    importlib.import_module(module)


def _client_of(scheduler: str) -> Any:
    from distributed import Client

    try:
        return Client(scheduler, timeout=SCHEDULER_WAIT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise WrongUse(
            f"no dask scheduler answers at {scheduler}; start one, or leave --scheduler out"
        ) from error
