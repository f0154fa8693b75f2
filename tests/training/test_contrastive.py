from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.losses.contrastive import ContrastiveLoss
from numpy.typing import NDArray

from training.tasks.contrastive import nt_xent


def by_hand(vectors: NDArray[np.float64], positive: NDArray[np.bool_], temperature: float) -> list[float]:
    """L_i of each vector with a positive, from the equation, in float64."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    losses = []
    for i in range(len(unit)):
        others = [a for a in range(len(unit)) if a != i]
        share = {a: np.exp(unit[i] @ unit[a] / temperature) for a in others}
        chosen = [p for p in others if positive[i, p]]
        if chosen:
            each = [-np.log(share[p] / sum(share.values())) for p in chosen]
            losses.append(sum(each) / len(each))
    return losses


@pytest.fixture
def vectors() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(10, 7))).float()


def pairs(images: int) -> torch.Tensor:
    number = torch.arange(images).repeat(2)
    return number[:, None] == number[None]


def test_the_loss_of_pairs_equals_a_computation_in_float64(vectors: torch.Tensor) -> None:
    found = nt_xent(vectors, vectors, pairs(5), 0, 0.1)
    expected = by_hand(vectors.double().numpy(), pairs(5).numpy(), 0.1)
    assert float(found.count) == len(expected) == 10
    assert float(found.sum) == pytest.approx(sum(expected), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.07, 0.1, 0.5])
def test_the_loss_of_pairs_is_monais(vectors: torch.Tensor, temperature: float) -> None:
    found = nt_xent(vectors, vectors, pairs(5), 0, temperature)
    monai = ContrastiveLoss(temperature=temperature)(vectors[:5], vectors[5:])
    assert float(found.mean()) == pytest.approx(float(monai), rel=1e-5)


def test_several_positives_are_averaged_and_anchors_without_any_left_out(vectors: torch.Tensor) -> None:
    positive = torch.from_numpy(np.random.default_rng(1).random((10, 10)) < 0.3)
    positive[4] = False
    positive[4, 4] = True  # an anchor is never its own positive
    found = nt_xent(vectors, vectors, positive, 0, 0.2)
    expected = by_hand(vectors.double().numpy(), positive.numpy(), 0.2)
    assert float(found.count) == len(expected) < 10
    assert float(found.sum) == pytest.approx(sum(expected), rel=1e-5)


def test_a_share_of_the_anchors_knows_where_it_stands_among_all(vectors: torch.Tensor) -> None:
    whole = nt_xent(vectors, vectors, pairs(5), 0, 0.1)
    parts = [nt_xent(vectors[s], vectors, pairs(5)[s], s.start, 0.1) for s in (slice(0, 4), slice(4, 10))]
    assert float(sum(part.sum for part in parts)) == pytest.approx(float(whole.sum), rel=1e-6)
    assert float(sum(part.count for part in parts)) == float(whole.count)


def test_a_tiny_temperature_leaves_loss_and_gradients_finite(vectors: torch.Tensor) -> None:
    vectors[3] = vectors[8] = vectors[0]
    vectors[6] = 0.0
    vectors.requires_grad_()
    loss = nt_xent(vectors, vectors, pairs(5), 0, 1e-3).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    assert bool(loss.isfinite())
    assert vectors.grad is not None
    assert bool(vectors.grad.isfinite().all())


def test_logits_have_all_digits_under_autocast(vectors: torch.Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = nt_xent(vectors, vectors, pairs(5), 0, 0.01)
    assert found.sum.dtype == torch.float32
    assert float(found.sum) == float(nt_xent(vectors, vectors, pairs(5), 0, 0.01).sum)


def test_two_views_of_one_image_alone_have_nothing_to_be_told_from() -> None:
    found = nt_xent(torch.randn(2, 4), torch.randn(2, 4), pairs(1), 0, 0.1)
    assert (float(found.sum), float(found.count)) == (0.0, 0.0)
