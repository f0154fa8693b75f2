from __future__ import annotations

import numpy as np
import pytest
import torch

from training.tasks.collapse import COLLAPSED_BELOW, MONITORED, monitored, told_of_collapse


def values(embedded: torch.Tensor) -> dict[str, float]:
    return {name: float(part.mean()) for name, part in monitored(embedded).items()}


def test_directions_all_over_the_sphere_have_a_spread_of_one_and_all_dimensions() -> None:
    found = values(torch.randn(4000, 16, generator=torch.Generator().manual_seed(0)) * 7)
    assert found["spread"] == pytest.approx(1.0, abs=0.02)
    assert found["dimensions"] == pytest.approx(16, abs=0.5)


def test_one_vector_for_all_has_no_spread_and_no_dimension() -> None:
    found = values(torch.ones(8, 16) * torch.arange(1, 9)[:, None])
    assert found["spread"] < 1e-6
    assert found["dimensions"] < 16
    assert found["spread"] < COLLAPSED_BELOW


def test_both_equal_a_computation_in_float64() -> None:
    vectors = np.random.default_rng(1).normal(size=(9, 5)) + np.array([3, 0, 0, 1, 0])
    for some in (vectors, vectors[:4]):
        unit = some / np.linalg.norm(some, axis=1, keepdims=True)
        eigenvalues = np.linalg.eigvalsh(np.cov(unit.T))
        found = values(torch.from_numpy(some))
        assert found["spread"] == pytest.approx(unit.std(axis=0).mean() * 5**0.5, rel=1e-5)
        assert found["dimensions"] == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum(), rel=1e-4)


def test_watching_changes_neither_loss_nor_gradients() -> None:
    embedded = torch.randn(4, 3, requires_grad=True)
    assert not any(part.sum.requires_grad for part in monitored(embedded).values())
    assert set(MONITORED.values()) == {0.0}
    assert set(MONITORED) == set(monitored(embedded))


def test_a_collapse_is_told_with_its_task() -> None:
    told = told_of_collapse({"byol@a/spread": 0.01, "byol@a/distance": 0.0, "simclr/spread": 0.6})
    assert len(told) == 1
    assert told[0].startswith("byol@a: its embeddings have collapsed, with a spread of 0.010")
