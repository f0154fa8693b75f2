from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from training.backbones import AlexNetBackbone, Backbone, BasicUNetBackbone, DynUNetBackbone
from training.tasks.embedding import mlp
from training.tasks.moving_average import Teacher, encoder_of, towards_one


def student() -> tuple[Backbone, nn.Module]:
    torch.manual_seed(0)
    backbone = BasicUNetBackbone(4)
    return backbone, mlp(backbone.encoder_channels[-1], (8,), 6)


def learned_a_little(backbone: Backbone, head: nn.Module) -> None:
    """Other weights, and statistics of batch norm that have seen images."""
    head(backbone.encode(torch.randn(4, 1, 32, 32))[-1].mean(dim=(-2, -1)))
    with torch.no_grad():
        for parameter in (*backbone.parameters(), *head.parameters()):
            parameter.add_(torch.randn_like(parameter))


def test_the_share_kept_goes_from_its_start_to_one_along_a_cosine() -> None:
    assert towards_one(0.996, 0, 100) == pytest.approx(0.996)
    assert towards_one(0.996, 50, 100) == pytest.approx(0.998)
    assert towards_one(0.996, 25, 100) == pytest.approx(1 - 0.004 * (math.cos(math.pi / 4) + 1) / 2)
    assert towards_one(0.996, 100, 100) == 1.0


def test_a_teacher_becomes_a_copy_of_its_student_statistics_too() -> None:
    backbone, head = student()
    teacher = Teacher(backbone, head)
    learned_a_little(backbone, head)
    image = torch.randn(3, 1, 32, 32)
    teacher.become(backbone, head)
    for one in (backbone, head, teacher):
        one.eval()
    said = head(backbone.encode(image)[-1].mean(dim=(-2, -1)))
    assert torch.equal(teacher(image), said)
    own, new = teacher.head.state_dict(), head.state_dict()
    assert "1.running_mean" in own
    assert own["1.running_mean"].abs().sum() > 0
    assert all(torch.equal(values, new[name]) for name, values in own.items())
    assert all(a.data_ptr() != b.data_ptr() for a, b in zip(own.values(), new.values(), strict=True))


def test_a_teacher_follows_by_the_share_it_does_not_keep() -> None:
    backbone, head = student()
    teacher = Teacher(backbone, head)
    before = {name: values.clone() for name, values in teacher.named_parameters()}
    learned_a_little(backbone, head)
    for keep in (0.9, 0.75):
        teacher.follow(backbone, head, keep)
    students = {f"backbone.{name}": values for name, values in backbone.named_parameters()}
    students |= {f"head.{name}": values for name, values in head.named_parameters()}
    for name, values in teacher.named_parameters():
        once = 0.9 * before[name] + 0.1 * students[name]
        assert torch.allclose(values, 0.75 * once + 0.25 * students[name], atol=1e-6), name


def test_a_teacher_gets_no_gradients_and_takes_no_part_in_learning() -> None:
    teacher = Teacher(*student())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    said = teacher(torch.randn(2, 1, 32, 32, requires_grad=True))
    assert not said.requires_grad


@pytest.mark.parametrize("backbone", [BasicUNetBackbone(4), DynUNetBackbone(4, 4), AlexNetBackbone(8)])
def test_an_encoder_alone_says_the_same_and_holds_no_decoder(backbone: Backbone) -> None:
    image = torch.randn(2, 1, 64, 64)
    only = encoder_of(backbone.eval()).eval()
    for mine, whole in zip(only.encode(image), backbone.encode(image), strict=True):
        assert torch.equal(mine, whole)
    count = sum(parameter.numel() for parameter in only.parameters())
    assert count == sum(parameter.numel() for parameter in backbone.parameters_of("encoder"))
    assert count < sum(parameter.numel() for parameter in backbone.parameters())
