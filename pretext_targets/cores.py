"""A core of its own for each worker of a local cluster, where there are just as many workers as cores.

Workers, client and scheduler then want more cores than there are; that two workers shared one now and then
was a tenth of the time of two workers on two cores (docs/results/build.md).
"""

from __future__ import annotations

from distributed import Worker, WorkerPlugin

from dicomgeom.cores import cores_for, keep_to_core

__all__ = ["KeepToCore", "cores_for"]


class KeepToCore(WorkerPlugin):
    """Binds a worker of a local cluster, whose names count from 0, when it starts.

    Threads inherit the core of the thread that starts them; a worker starts those that compute later.
    """

    def __init__(self, cores: list[int]) -> None:
        self.cores = cores

    def setup(self, worker: Worker) -> None:
        """Bind the calling thread, the worker's first."""
        keep_to_core(self.cores[int(worker.name)])
