from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from dicomgeom.errors import WrongUse
from training.backbones import BasicUNetBackbone
from training.tasks.dino import Dino, pair_cross_entropy
from training.tasks.embedding import pooled
from training.tasks.task import Batch, StoreFacts

SMALL: dict[str, Any] = {"local_crops": 2, "local_share": 0.7, "hidden": 16, "size": 8, "prototypes": 12}


def crops(images: int = 3) -> list[Batch]:
    """Two global crops and two windows."""
    generator, number = torch.Generator().manual_seed(1), torch.arange(images)
    sides = (48, 48, 34, 34)
    return [
        Batch(
            torch.randn(images, 1, side, side, generator=generator),
            {},
            torch.eye(3).expand(images, 3, 3),
            number,
            number,
            number,
        )
        for side in sides
    ]


@pytest.fixture
def backbone() -> BasicUNetBackbone:
    torch.manual_seed(0)
    return BasicUNetBackbone(4)


def test_the_loss_equals_a_computation_in_float64_pair_by_pair(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    task = Dino(backbone, facts, **SMALL)
    with torch.no_grad():
        task.centre.copy_(torch.linspace(-0.2, 0.3, 12))
        for parameter in task.teacher.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    backbone.eval(), task.eval()
    with torch.no_grad():
        found = task.loss(backbone, crops())
        said = [task.head(pooled(backbone, one.image)).double().numpy() for one in crops()]
        slow = [task.teacher(one.image).double().numpy() for one in crops()[:2]]
    sharp = [softmax((one - task.centre.double().numpy()) / 0.04, axis=1) for one in slow]
    each = [
        -(sharp[t] * log_softmax(said[s] / 0.1, axis=1)).sum() for t in range(2) for s in range(4) if s != t
    ]
    assert len(each) == 6
    assert float(found["cross_entropy"].sum) == pytest.approx(np.mean(each), rel=1e-4)
    assert float(found["cross_entropy"].count) == 3
    entropy = -sum((one * np.log(one)).sum() for one in sharp) / 2
    assert float(found["teacher_entropy"].sum) == pytest.approx(entropy, rel=1e-4)


def test_prototypes_give_cosines(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task = Dino(backbone, facts, **SMALL)
    vector = torch.randn(5, 8)
    weight = task.head[1].weight.detach()
    expected = torch.nn.functional.cosine_similarity(vector[:, None], weight[None], dim=2)
    assert torch.allclose(task.head[1](3 * vector), expected, atol=1e-6)


def test_one_crop_is_never_paired_with_itself() -> None:
    teacher = torch.eye(4)[:2, None].expand(2, 3, 4)
    student = torch.full((3, 3, 4), -1.0)
    student[0, :, 0] = student[1, :, 1] = -1000.0  # only a crop with itself
    assert float(pair_cross_entropy(teacher, student)) == pytest.approx(3.0)


def test_the_centre_follows_the_mean_of_what_the_teacher_says_in_training_only(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    task = Dino(backbone, facts, **SMALL)
    task.begin(backbone)
    task.eval(), backbone.eval()
    task.loss(backbone, crops())
    assert not task.centre.any()
    task.train(), backbone.train()
    expected = torch.zeros(12)
    for _ in range(2):
        said = task.teacher(torch.cat([one.image for one in crops()[:2]]))
        expected = 0.9 * expected + 0.1 * said.mean(dim=0)
        task.loss(backbone, crops())
        assert torch.allclose(task.centre, expected, atol=1e-6)


def test_the_teachers_temperature_rises_over_its_share_of_the_run(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    task = Dino(backbone, facts, **SMALL)
    found = []
    for step in (0, 15, 30, 99):
        task.before_step(step, 100)
        found.append(task.teacher_temperature)
    assert found == pytest.approx([0.02, 0.03, 0.04, 0.04])
    at_once = Dino(backbone, facts, **SMALL, warmup_share=0.0)
    at_once.before_step(0, 100)
    assert at_once.teacher_temperature == 0.04


def test_the_prototypes_stand_still_at_first(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task = Dino(backbone, facts, **SMALL)
    for step, learns in ((0, False), (1, False), (2, True)):
        task.before_step(step, 200)
        task.zero_grad(set_to_none=True)
        task.loss(backbone, crops())["cross_entropy"].mean().backward()  # type: ignore[no-untyped-call]
        assert (task.head[1].weight.grad is not None) is learns
        assert task.head[0][0].weight.grad is not None
        assert all(parameter.grad is None for parameter in task.teacher.parameters())


def test_a_run_has_two_global_crops_and_its_windows(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    assert [one.share for one in Dino(backbone, facts, **SMALL).crops] == [1.0, 1.0, 0.7, 0.7]
    alone = Dino(backbone, facts, **{**SMALL, "local_crops": 0, "local_share": 0.1})
    assert float(alone.loss(backbone, crops()[:2])["cross_entropy"].count) == 3


def test_windows_too_small_for_the_network_are_refused_before_anything_is_learned(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    with pytest.raises(WrongUse, match=r"dino's windows, tasks.dino.local_share = 0.5 of a side: .*24 x 24"):
        Dino(backbone, facts)
