"""A core of its own for each worker, where there are just as many workers as cores.

Workers, client and scheduler then want more cores than there are, and the kernel moves the workers
about: now and then two share a core while the other idles, and each move loses what the core's cache
held. That was a tenth of the time of two workers on two cores (docs/results/build.md). With fewer
workers than cores there is room, and a worker that stayed would only meet another program's.
"""

from __future__ import annotations

import contextlib
import os

from distributed import Worker, WorkerPlugin


def cores_for(workers: int) -> list[int]:
    """The core of each worker; empty where they had better not be bound to any.

    Parameters
    ----------
    workers : int
        Processes of one thread on this machine.
    """
    if not hasattr(os, "sched_getaffinity"):  # only Linux tells, and binds
        return []
    usable = sorted(os.sched_getaffinity(0))
    return usable if workers == len(usable) > 1 else []


class KeepToCore(WorkerPlugin):
    """Binds a worker of a local cluster, whose names count from 0, when it starts.

    Threads inherit the core of the thread that starts them; a worker starts those that compute later.
    """

    def __init__(self, cores: list[int]) -> None:
        self.cores = cores

    def setup(self, worker: Worker) -> None:
        """Bind the calling thread, the worker's first."""
        with contextlib.suppress(OSError):  # nothing but speed depends on it
            os.sched_setaffinity(0, {self.cores[int(worker.name)]})
