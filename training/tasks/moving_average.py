"""A teacher: an encoder and its head that follow those of a student slowly, and never learn themselves.

theta_teacher <- m * theta_teacher + (1 - m) * theta_student after each step (He et al., CVPR 2020), with m
from its start to 1 along a cosine (Grill et al., NeurIPS 2020):

    m(step) = 1 - (1 - m_start) * (cos(pi * step / steps) + 1) / 2

Only the encoder is kept, as no loss reaches a decoder. A teacher is part of the checkpoint and of the run's
weights, which it makes larger by one encoder and one head: without it a run could not go on. `--init` never
takes it: what transfers is the student's backbone.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from training.backbones import Backbone
from training.tasks.embedding import pooled


def towards_one(start: float, step: int, steps: int) -> float:
    """How much of itself a teacher keeps at step `step` (from 0) of `steps`."""
    return 1.0 - (1.0 - start) * (math.cos(math.pi * step / steps) + 1.0) / 2.0


class Teacher(nn.Module):
    """A slow copy of the encoder of `backbone` and of `head`.

    It normalises by the batch while the student trains, as the student does, and keeps running statistics
    of its own, which begin as the student's.
    """

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = encoder_of(backbone)
        self.head = copy.deepcopy(head)
        self.requires_grad_(False)

    def become(self, backbone: Backbone, head: nn.Module) -> None:
        """Be a copy of the student, the statistics of its batch norm included."""
        own, students = self.backbone.parts()["encoder"], backbone.parts()["encoder"]
        for mine, new in zip((*own, self.head), (*students, head), strict=True):
            mine.load_state_dict(new.state_dict())

    @torch.no_grad()
    def follow(self, backbone: Backbone, head: nn.Module, keep: float) -> None:
        """Move every weight by 1 - `keep` of the way to the student's."""
        mine = (*self.backbone.parameters_of("encoder"), *self.head.parameters())
        for slow, fast in zip(mine, (*backbone.parameters_of("encoder"), *head.parameters()), strict=True):
            slow.lerp_(fast, 1.0 - keep)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Images (b, 1, rows, columns) through encoder, pooling and head, without gradients."""
        said: Tensor = self.head(pooled(self.backbone, image))
        return said


def encoder_of(backbone: Backbone) -> Backbone:
    """A copy that can encode, and holds no weights of a decoder."""
    only = copy.deepcopy(backbone)
    decoder = only.parts()["decoder"]
    for name in [name for name, module in only.named_modules() if any(module is one for one in decoder)]:
        only.set_submodule(name, nn.Identity())
    return only
