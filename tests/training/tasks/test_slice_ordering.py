from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from training.backbones import BasicUNetBackbone
from training.tasks.slice_ordering import SliceOrdering
from training.tasks.task import Batch, StoreFacts

SIDE = 48


@pytest.fixture
def backbone() -> BasicUNetBackbone:
    torch.manual_seed(0)
    return BasicUNetBackbone(4).eval()


def slices_at(place: list[int], seed: int) -> Batch:
    count = len(place)
    image = torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    number = torch.arange(count)
    labels = {"slice_index": torch.tensor(place, dtype=torch.int32)}
    return Batch(image, labels, torch.eye(3).expand(count, 3, 3), number, number, number)


def pooled(backbone: BasicUNetBackbone, image: Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    with torch.no_grad():
        return backbone.encode(image)[-1].mean(dim=(-2, -1)).double().numpy()


def test_the_loss_equals_the_equation_in_float64(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task = SliceOrdering(backbone, facts)
    first, second = slices_at([0, 5, 3], 1), slices_at([2, 1, 4], 2)
    into, _, out = task.head
    W, b, v = (p.detach().double().numpy() for p in (into.weight, into.bias, out.weight))

    def g(one: np.ndarray, other: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.maximum(np.concatenate([one, other], axis=1) @ W.T + b, 0) @ v[0]

    f1, f2 = pooled(backbone, first.image), pooled(backbone, second.image)
    chance = 1 / (1 + np.exp(-(g(f1, f2) - g(f2, f1))))
    by_hand = -np.log(np.array([chance[0], 1 - chance[1], chance[2]])).sum()
    with torch.no_grad():
        found = task.loss(backbone, [first, second])["order"]
    assert float(found.sum) == pytest.approx(by_hand, rel=1e-5)
    assert float(found.count) == 3


def test_exchanging_the_slices_exchanges_the_answer(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task = SliceOrdering(backbone, facts)
    one, other = torch.randn(5, 64), torch.randn(5, 64)
    assert torch.equal(task.compared(one, other), -task.compared(other, one))
    assert task.compared(one, one).tolist() == [0.0] * 5
    first, second = slices_at([0, 5, 3], 1), slices_at([2, 1, 4], 2)
    with torch.no_grad():
        there, back = (task.loss(backbone, pair)["order"].sum for pair in ([first, second], [second, first]))
    assert float(back) == pytest.approx(float(there), rel=1e-6)


def test_two_rows_at_one_place_count_neither_way(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task = SliceOrdering(backbone, facts)
    with torch.no_grad():
        found = task.loss(backbone, [slices_at([1, 2], 1), slices_at([1, 4], 2)])["order"]
        alone = task.loss(backbone, [slices_at([1, 2], 1), slices_at([1, 2], 2)])["order"]
    assert (float(found.count), float(alone.count), float(alone.sum)) == (1.0, 0.0, 0.0)


def test_only_the_encoder_learns(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task = SliceOrdering(backbone, facts)
    assert (task.trains, task.unit, len(task.crops)) == ("encoder", "pair", 2)
    task.loss(backbone, [slices_at([0, 5], 1), slices_at([2, 1], 2)])["order"].mean().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters_of("encoder"))
    assert all(parameter.grad is None for parameter in backbone.parameters_of("decoder"))
