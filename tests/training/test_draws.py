from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from training.draws import mixed, normal, shuffled, uniform


def test_the_same_keys_give_the_same_numbers_in_whatever_company() -> None:
    many = uniform(7, torch.arange(100), 3)
    assert float(uniform(7, torch.tensor([42]), 3)[0]) == float(many[42])


def test_each_key_and_its_place_matter() -> None:
    numbers = {int(mixed(1, 2)), int(mixed(2, 1)), int(mixed(1, 3)), int(mixed(1)), int(mixed(1, 2, 0))}
    assert len(numbers) == 5


def test_the_numbers_are_those_of_splitmix64() -> None:
    # First outputs of the reference implementation for the seeds 0 and 1234567.
    assert int(mixed(0)) == 0xE220A8397B1DCDAF - (1 << 64)
    assert int(mixed(1234567)) == 6457827717110365317


def test_numbers_and_tensors_are_mixed_alike() -> None:
    keys = (3, -4, (1 << 63) - 1, -(1 << 63), 0)
    for tensors_at in ((0,), (2,), (4,), (0, 3), (0, 1, 2, 3, 4)):
        given = [torch.tensor([key]) if place in tensors_at else key for place, key in enumerate(keys)]
        assert int(mixed(*given)[0]) == int(mixed(*keys))


def test_uniform_numbers_are_uniform() -> None:
    numbers = uniform(3, torch.arange(20_000)).numpy()
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    assert stats.kstest(numbers, "uniform").pvalue > 0.01


def test_normal_numbers_are_normal() -> None:
    assert stats.kstest(normal(5, torch.arange(20_000)).numpy(), "norm").pvalue > 0.01


def test_a_shuffle_is_a_permutation() -> None:
    assert np.array_equal(np.sort(shuffled(50, 1, 2).numpy()), np.arange(50))
    assert not torch.equal(shuffled(50, 1, 2), shuffled(50, 1, 3))
