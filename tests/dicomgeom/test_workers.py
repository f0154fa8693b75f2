"""Many hands do what one does, and say so when one of them dies."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dicomgeom.errors import AnatprepError, WrongUse
from dicomgeom.workers import AHEAD, Alone, Together, team_of


def test_one_worker_starts_no_other_process() -> None:
    with team_of(1, None) as team:
        assert isinstance(team, Alone)
        assert list(team.run(abs, [-1, 2])) == [1, 2]


def test_two_workers_do_every_task_once_and_take_up_few_ahead() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for number in range(60):
            taken.append(number)
            yield -number

    with team_of(2, None) as team:
        assert isinstance(team, Together)
        results = team.run(abs, tasks())
        first = next(results)
        assert len(taken) <= AHEAD + 2
        assert sorted([first, *results]) == list(range(60))


def test_a_worker_that_dies_is_told_with_what_to_do() -> None:
    with team_of(2, None) as team:
        assert isinstance(team, Together)
        team._pool.submit(os._exit, 1)
        with pytest.raises(AnatprepError, match="fewer --workers"):
            list(team.run(abs, range(100_000)))


def test_less_than_one_worker_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="at least 1"), team_of(0, None):
        pass
