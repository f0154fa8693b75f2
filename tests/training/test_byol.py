from __future__ import annotations

import pytest
import torch

from dicomgeom.errors import WrongUse
from training.backbones import BasicUNetBackbone
from training.tasks.byol import Byol
from training.tasks.embedding import pooled
from training.tasks.task import Batch, StoreFacts


def crop(images: int, seed: int) -> Batch:
    image = torch.randn(images, 1, 48, 48, generator=torch.Generator().manual_seed(seed))
    number = torch.arange(images)
    return Batch(image, {}, torch.eye(3).expand(images, 3, 3), number, number, number)


@pytest.fixture
def backbone() -> BasicUNetBackbone:
    torch.manual_seed(0)
    return BasicUNetBackbone(4)


def test_the_loss_is_four_less_two_cosines_both_ways(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task, views = Byol(backbone, facts, hidden=16, size=8), [crop(3, 1), crop(3, 2)]
    with torch.no_grad():
        for parameter in task.teacher.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    backbone.eval(), task.eval()
    with torch.no_grad():
        found = task.loss(backbone, views)["distance"]
        said = [task.predictor(task.projector(pooled(backbone, view.image))).double() for view in views]
        slow = [task.teacher(view.image).double() for view in views]

    def unit(vector: torch.Tensor) -> torch.Tensor:
        return vector / vector.norm(dim=1, keepdim=True)

    expected = sum(
        float((unit(said[here]) - unit(slow[there])).square().sum()) for here, there in ((0, 1), (1, 0))
    )
    assert float(found.sum) == pytest.approx(expected, rel=1e-4)
    assert float(found.count) == 3


def test_no_gradient_reaches_the_teacher_and_all_of_the_student_learns(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    task = Byol(backbone, facts, hidden=16, size=8)
    task.begin(backbone)
    task.loss(backbone, [crop(3, 1), crop(3, 2)])["distance"].mean().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in task.teacher.parameters())
    learning = (
        *backbone.parameters_of("encoder"),
        *task.projector.parameters(),
        *task.predictor.parameters(),
    )
    assert all(parameter.grad is not None for parameter in learning)


def test_the_teacher_follows_after_each_step(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task = Byol(backbone, facts, hidden=16, size=8, average=0.5)
    task.begin(backbone)
    before = task.teacher.head[0].weight.clone()
    with torch.no_grad():
        task.projector[0].weight.add_(1.0)
    task.after_step(backbone, 0, 10)
    assert torch.allclose(task.teacher.head[0].weight, before + 0.5)
    task.after_step(backbone, 10, 10)
    assert torch.allclose(task.teacher.head[0].weight, before + 0.5)


def test_a_batch_of_one_is_refused_in_training_only(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task = Byol(backbone, facts, hidden=16, size=8)
    with pytest.raises(
        WrongUse, match="byol learns from several images at a time, and a process got 1"
    ) as caught:
        task.loss(backbone, [crop(1, 1), crop(1, 2)])
    assert "\n" not in str(caught.value)
    backbone.eval(), task.eval()
    assert float(task.loss(backbone, [crop(1, 1), crop(1, 2)])["distance"].count) == 1
