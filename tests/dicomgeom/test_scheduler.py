"""Whoever is no dask scheduler is told in one line, in good time, and without dask's own words."""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicomgeom.errors import WrongUse
from dicomgeom.scheduler import check_answers


@pytest.mark.parametrize("address", ["foo", "foo://x", "tcp://", "tcp://host", "tcp://host:port", ""])
def test_what_is_no_address_is_refused_at_once(address: str) -> None:
    started_s = time.monotonic()
    with pytest.raises(WrongUse, match=r"no dask scheduler answers at .*no address of one; give tcp"):
        check_answers(address, wait_s=60)
    assert time.monotonic() - started_s < 30


def test_an_address_without_the_certificates_it_needs_is_refused() -> None:
    with pytest.raises(WrongUse, match="cannot be spoken to"):
        check_answers("tls://127.0.0.1:9", wait_s=0.3)


@pytest.mark.parametrize("listening", [True, False])
def test_where_nobody_answers_the_wait_is_as_long_as_was_said(listening: bool) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        if listening:
            deaf.listen()
        started_s = time.monotonic()
        with pytest.raises(WrongUse, match=r"no dask scheduler answers at .* within 0\.3 s"):
            check_answers(f"tcp://127.0.0.1:{deaf.getsockname()[1]}", wait_s=0.3)
        assert time.monotonic() - started_s < 10


def test_a_scheduler_is_heard_and_its_worker_is_not_taken_for_one_even_from_a_running_loop() -> None:
    from distributed import LocalCluster

    async def from_a_notebook(address: str) -> None:
        check_answers(address, wait_s=10)

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        with ThreadPoolExecutor(1) as elsewhere:  # asyncio.run takes its thread's loop away
            elsewhere.submit(asyncio.run, from_a_notebook(cluster.scheduler_address)).result()
        (worker,) = cluster.workers.values()
        with pytest.raises(WrongUse, match="a dask Worker answers at"):
            check_answers(worker.address, wait_s=10)
