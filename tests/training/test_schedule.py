from __future__ import annotations

import pytest

from training.schedule import learning_rate
from training.settings import ScheduleSettings


def test_stages_halve_the_rate_every_part_of_the_run() -> None:
    schedule = ScheduleSettings(kind="stages", stages=5, factor=0.5)
    rates = [learning_rate(schedule, 1e-3, step, 500) for step in (0, 99, 100, 250, 499)]
    assert rates == [1e-3, 1e-3, 5e-4, 2.5e-4, 6.25e-5]


def test_polynomial_and_cosine_go_to_zero() -> None:
    polynomial, cosine = ScheduleSettings(kind="polynomial", power=0.9), ScheduleSettings(kind="cosine")
    assert learning_rate(polynomial, 0.01, 50, 100) == pytest.approx(0.01 * 0.5**0.9)
    assert learning_rate(cosine, 0.1, 50, 100) == pytest.approx(0.05)
    assert 0 < learning_rate(polynomial, 0.01, 99, 100) < 0.001
    assert 0 < learning_rate(cosine, 0.1, 99, 100) < 0.001


def test_a_warm_up_goes_before() -> None:
    schedule = ScheduleSettings(warmup_steps=4)
    assert [learning_rate(schedule, 1.0, step, 10) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    share = ScheduleSettings(warmup_share=0.1)
    assert [learning_rate(share, 1.0, step, 40) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_a_cosine_begins_where_the_warm_up_ends() -> None:
    # 10 of 100 epochs of warm-up, as DINO has them: at its end the rate is whole, half-way from there half.
    schedule = ScheduleSettings(kind="cosine", warmup_share=0.1)
    rates = {step: learning_rate(schedule, 1.0, step, 1000) for step in (0, 99, 100, 550, 999)}
    assert rates == pytest.approx({0: 0.01, 99: 1.0, 100: 1.0, 550: 0.5, 999: 0.0}, abs=1e-5)


def test_a_run_that_is_all_warm_up_never_divides_by_nothing() -> None:
    schedule = ScheduleSettings(kind="polynomial", warmup_steps=10)
    assert [learning_rate(schedule, 1.0, step, 10) for step in (0, 9)] == [0.1, 1.0]
