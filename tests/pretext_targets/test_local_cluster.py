"""Workers of a local cluster that are as many as the cores stay on one each."""

from __future__ import annotations

import os

import pytest

from pretext_targets.local_cluster import local_cluster

USABLE = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

pytestmark = pytest.mark.skipif(not USABLE, reason="only Linux tells which cores a process may use")


def allowed() -> set[int]:
    """Cores of the thread that computes; asked in a worker."""
    return os.sched_getaffinity(0)


def on_machine_with(cores: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores))


@pytest.mark.skipif(len(USABLE) < 2, reason="needs two cores")
def test_threads_that_compute_keep_to_their_workers_core(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    two = USABLE[:2]
    on_machine_with(set(two), monkeypatch)
    with local_cluster(2) as cluster, distributed.Client(cluster) as client:  # type: ignore[no-untyped-call]
        names = {name: address for address, name in client.run(name_of_worker).items()}
        assert [client.submit(allowed, workers=names[number], pure=False).result() for number in (0, 1)] == [
            {core} for core in two
        ]


def name_of_worker(dask_worker: object) -> object:
    """What the cluster calls a worker; asked in it."""
    return dask_worker.name  # type: ignore[attr-defined]
