"""Processes that are as many as the cores get one each."""

from __future__ import annotations

import os

import pytest

from dicomgeom.cores import cores_for, keep_to_core

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="only Linux tells which cores a process may use"
)


def on_machine_with(cores: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores))


def test_each_worker_gets_a_core_where_there_are_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    on_machine_with({5, 2, 9}, monkeypatch)
    assert cores_for(3) == [2, 5, 9]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_roam_where_cores_are_more_or_fewer(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    on_machine_with({0, 1, 2}, monkeypatch)
    assert cores_for(workers) == []


def test_a_lone_core_is_nobodys_own(monkeypatch: pytest.MonkeyPatch) -> None:
    on_machine_with({0}, monkeypatch)
    assert cores_for(1) == []


def test_a_bound_thread_stays_and_a_core_that_is_not_there_does_no_harm() -> None:
    before = os.sched_getaffinity(0)
    try:
        keep_to_core(max(before))
        assert os.sched_getaffinity(0) == {max(before)}
        keep_to_core(1 << 15)
        assert os.sched_getaffinity(0) == {max(before)}
    finally:
        os.sched_setaffinity(0, before)
