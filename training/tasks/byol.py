"""BYOL: from one view of an image foretell what a slow copy of the network says of the other view.

Grill et al., NeurIPS 2020, "Bootstrap your own latent". The student is encoder, pooling, projector g and
predictor q; the teacher is a moving average of encoder and projector without a predictor. With unit vectors
of both, and the views exchanged (its equations 2 and 3; the teacher gets no gradient):

    L = || q(z_1) - z'_2 ||^2 + || q(z_2) - z'_1 ||^2 = 4 - 2 cos(q(z_1), z'_2) - 2 cos(q(z_2), z'_1)

There are no negatives: the predictor and the slow teacher keep the network from saying the same of all
images, and the log tells whether they do (`training.tasks.collapse`). The teacher keeps .996 of itself at
each step in the beginning and 1 in the end.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from training.backbones import Backbone
from training.tasks.collapse import MONITORED, monitored
from training.tasks.embedding import SMALLEST_BATCH, check_batch, mlp, pooled, stacked
from training.tasks.moving_average import Teacher, towards_one
from training.tasks.task import Batch, Crop, StoreFacts, SumAndCount, Task


class Byol(Task):
    """Symmetric regression of a teacher's embedding.

    Parameters
    ----------
    hidden, size
        Width of the hidden layer of projector and predictor, and of their outputs.
    average
        How much of itself the teacher keeps at the first step.
    """

    trains = "encoder"
    least_images = SMALLEST_BATCH
    crops = (Crop(), Crop())
    weights = MONITORED

    def __init__(
        self,
        backbone: Backbone,
        facts: StoreFacts,
        hidden: int = 4096,
        size: int = 256,
        average: float = 0.996,
    ) -> None:
        super().__init__()
        self.average = average
        self.projector = mlp(backbone.encoder_channels[-1], (hidden,), size)
        self.predictor = mlp(size, (hidden,), size)
        self.teacher = Teacher(backbone, self.projector)

    def begin(self, backbone: Backbone) -> None:
        """The teacher begins as the student."""
        self.teacher.become(backbone, self.projector)

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """Squared distance of unit vectors, both ways, summed over images, and what is watched."""
        check_batch(crops[0], "byol", training=self.training)
        image, images = stacked(crops), crops[0].image.shape[0]
        projected: Tensor = self.projector(pooled(backbone, image))
        foretold: Tensor = self.predictor(projected)
        of_other_view = self.teacher(image).roll(images, dims=0)
        with torch.autocast(image.device.type, enabled=False):
            distance = 2.0 - 2.0 * cosine_similarity(foretold.float(), of_other_view.float(), dim=1)
        counted = torch.tensor(float(images), device=image.device)
        return {"distance": SumAndCount(distance.sum(), counted), **monitored(projected)}

    def after_step(self, backbone: Backbone, step: int, steps: int) -> None:
        """The teacher follows."""
        self.teacher.follow(backbone, self.projector, towards_one(self.average, step, steps))
