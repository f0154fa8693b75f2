"""A dask cluster of processes on this machine, for a build with several workers.

Where there are just as many workers as cores each keeps to one of them: workers, client and scheduler then
want more cores than there are, and that two workers shared one now and then was a tenth of the time of two
workers on two cores (docs/results/build.md).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import dask
from distributed import LocalCluster, Worker, WorkerPlugin

from dicomgeom.cores import cores_for, keep_to_core

LOCAL_SETTINGS: Final[dict[str, Any]] = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.scheduler.work-stealing": False,
}
"""For a cluster of our own: what only dashboards show took a fortieth of every worker's time."""


class KeepToCore(WorkerPlugin):
    """Binds a worker of a local cluster, whose names count from 0, when it starts.

    Threads inherit the core of the thread that starts them; a worker starts those that compute later.
    """

    def __init__(self, cores: list[int]) -> None:
        self.cores = cores

    def setup(self, worker: Worker) -> None:
        """Bind the calling thread, the worker's first."""
        keep_to_core(self.cores[int(worker.name)])


@contextmanager
def local_cluster(workers: int) -> Iterator[Any]:
    """A dask cluster of so many processes of one thread on this machine."""
    cluster: Any = LocalCluster  # dask ships no types
    cores = cores_for(workers)
    with (
        tempfile.TemporaryDirectory(prefix="anatprep-") as scratch,
        dask.config.set(LOCAL_SETTINGS),
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
            plugins=(KeepToCore(cores),) if cores else (),
        ) as local,
    ):
        yield local
