"""DINO: a student that sees a part of an image says what a slow teacher says that sees all of it.

Caron et al., ICCV 2021, "Emerging properties in self-supervised vision transformers". A head sends each
crop to K = 8,192 prototypes: three layers to 256 numbers, made a unit vector, times unit vectors of the
prototypes. The teacher, a moving average of encoder and head, sees the 2 global crops, the student these and
6 windows of half the side. With P = softmax, over all pairs of different crops (its equation 3):

    L = mean over t in global, s != t of - sum_k P_k((teacher_t - c) / tau_t) log P_k(student_s / tau_s)

The centre c is a moving average of what the teacher says, c <- .9 c + .1 mean (its equation 4); it keeps one
prototype from taking all, and tau_t < tau_s keeps the teacher from saying the same of all: .02 at first and
.04 from 30 % of the run on. The prototypes of the student stand still for the first 1 %, its first epoch.
Batch norm in the head as de Mooij et al. 2024 have it. Crops of equal size are encoded together.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from dicomgeom.errors import WrongUse
from training.backbones import Backbone
from training.gathering import team_mean
from training.tasks.collapse import MONITORED, monitored
from training.tasks.embedding import SMALLEST_BATCH, check_batch, pooled, stacked
from training.tasks.moving_average import Teacher, towards_one
from training.tasks.task import Batch, Crop, StoreFacts, SumAndCount, Task

GLOBAL_CROPS = 2
WATCHED: Mapping[str, float] = {**MONITORED, "teacher_entropy": 0.0}


class Prototypes(nn.Module):
    """Unit vectors (b, size) -> cosines with `count` prototypes (b, count), in float32."""

    def __init__(self, size: int, count: int) -> None:
        super().__init__()
        # Their directions alone count, but short ones turn faster: those of torch's linear layers.
        self.weight = nn.Parameter(torch.empty(count, size).uniform_(-(size**-0.5), size**-0.5))

    def forward(self, bottleneck: Tensor) -> Tensor:
        """The cosines; lengths count neither of vectors nor of prototypes."""
        with torch.autocast(bottleneck.device.type, enabled=False):
            return linear(normalize(bottleneck.float(), dim=1), normalize(self.weight.float(), dim=1))


def dino_head(channels: int, hidden: int, size: int, prototypes: int) -> nn.Sequential:
    """(b, channels) -> bottleneck (b, size), the first entry -> cosines (b, prototypes), the second."""
    bottleneck = nn.Sequential(
        nn.Linear(channels, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.GELU(),
        nn.Linear(hidden, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.GELU(),
        nn.Linear(hidden, size),
    )
    return nn.Sequential(bottleneck, Prototypes(size, prototypes))


class Dino(Task):
    """Distillation without labels; parameters as in `training.task_options.DinoOptions`."""

    trains = "encoder"
    least_images = SMALLEST_BATCH
    weights = WATCHED
    centre: Tensor

    def __init__(
        self,
        backbone: Backbone,
        facts: StoreFacts,
        local_crops: int = 6,
        local_share: float = 0.5,
        hidden: int = 2048,
        size: int = 256,
        prototypes: int = 8192,
        student_temperature: float = 0.1,
        teacher_temperature_start: float = 0.02,
        teacher_temperature: float = 0.04,
        warmup_share: float = 0.3,
        still_share: float = 0.01,
        centre_average: float = 0.9,
        average: float = 0.996,
    ) -> None:
        super().__init__()
        if local_crops:
            check_windows(backbone, facts, local_share)
        self.crops = (Crop(),) * GLOBAL_CROPS + (Crop(local_share),) * local_crops
        self.student_temperature = student_temperature
        self.teacher_temperatures = (teacher_temperature_start, teacher_temperature)
        self.teacher_temperature = teacher_temperature
        self.warmup_share, self.still_share = warmup_share, still_share
        self.centre_average, self.average = centre_average, average
        self.head = dino_head(backbone.encoder_channels[-1], hidden, size, prototypes)
        self.teacher = Teacher(backbone, self.head)
        self.register_buffer("centre", torch.zeros(prototypes))

    def begin(self, backbone: Backbone) -> None:
        """The teacher begins as the student."""
        self.teacher.become(backbone, self.head)

    def before_step(self, step: int, steps: int) -> None:
        """Temperature of the teacher, and whether the prototypes learn: functions of the step alone."""
        start, end = self.teacher_temperatures
        warmed = min(1.0, step / (self.warmup_share * steps)) if self.warmup_share else 1.0
        self.teacher_temperature = start + (end - start) * warmed
        self.head[1].weight.requires_grad_(step >= self.still_share * steps)

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """Cross-entropy summed over images, what is watched, and the next centre."""
        check_batch(crops[0], "dino", training=self.training)
        whole, windows = stacked(crops[:GLOBAL_CROPS]), crops[GLOBAL_CROPS:]
        vectors = [pooled(backbone, whole), *([pooled(backbone, stacked(windows))] if windows else [])]
        bottleneck: Tensor = self.head[0](torch.cat(vectors))
        student, teacher = self.head[1](bottleneck), self.teacher(whole)
        said = torch.log_softmax(student / self.student_temperature, dim=1)
        sharp = torch.softmax((teacher - self.centre) / self.teacher_temperature, dim=1)
        cross_entropy = pair_cross_entropy(by_crop(sharp, GLOBAL_CROPS), by_crop(said, len(crops)))
        if self.training:
            self.centre.lerp_(team_mean(teacher, training=True), 1.0 - self.centre_average)
        images = torch.tensor(float(crops[0].image.shape[0]), device=whole.device)
        entropy = torch.special.entr(sharp).sum() / GLOBAL_CROPS
        return {
            "cross_entropy": SumAndCount(cross_entropy, images),
            "teacher_entropy": SumAndCount(entropy, images),
            **monitored(bottleneck[: len(whole)]),
        }

    def after_step(self, backbone: Backbone, step: int, steps: int) -> None:
        """The teacher follows."""
        self.teacher.follow(backbone, self.head, towards_one(self.average, step, steps))


def check_windows(backbone: Backbone, facts: StoreFacts, share: float) -> None:
    """Raise `WrongUse` when the network cannot take windows of this share of the grid."""
    try:
        backbone.check_side(max(1, round(share * facts.rows)), max(1, round(share * facts.columns)))
    except WrongUse as error:
        raise WrongUse(f"dino's windows, tasks.dino.local_share = {share:g} of a side: {error}") from error


def by_crop(rows: Tensor, crops: int) -> Tensor:
    """Rows (crops x b, K), one crop after the other -> (crops, b, K)."""
    return rows.view(crops, -1, rows.shape[-1])


def pair_cross_entropy(teacher: Tensor, student: Tensor) -> Tensor:
    """Cross-entropy averaged over pairs of different crops, summed over images.

    Parameters
    ----------
    teacher
        (g, b, K) probabilities of the first g crops.
    student
        (c, b, K) logarithms of probabilities of all crops.
    """
    with torch.autocast(student.device.type, enabled=False):
        each = -torch.einsum("tbk,sbk->ts", teacher, student)
    pairs = each.numel() - len(teacher)
    return (each.sum() - each.diagonal().sum()) / pairs
