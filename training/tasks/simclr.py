"""SimCLR: two augmented views of an image shall be nearer to each other than to all other images.

Chen et al., ICML 2020, "A simple framework for contrastive learning of visual representations". Both views
of the b images of a batch go through encoder, pooling and a head g; for each of the 2b vectors z the other
view of its image is the positive, the 2b - 2 views of other images are negatives:

    L = 1/2b * sum over i of -log( exp(sim(z_i, z_p(i)) / tau) / sum over a != i of exp(sim(z_i, z_a) / tau) )

The heads stay behind when weights are transferred. An image that comes twice in a batch of a small store is
a positive of itself, not a negative. With several processes each compares its share with the images of all.
"""

from __future__ import annotations

from torch import Tensor

from training.backbones import Backbone
from training.gathering import gathered
from training.tasks.collapse import MONITORED, monitored
from training.tasks.contrastive import nt_xent
from training.tasks.embedding import SMALLEST_BATCH, check_batch, mlp, pooled, stacked
from training.tasks.task import Batch, Crop, StoreFacts, SumAndCount, Task


class SimClr(Task):
    """NT-Xent on two views.

    Parameters
    ----------
    temperature
        tau.
    hidden, size
        Width of the head's two hidden layers, and of its output.
    norm
        "batch" or "none", between the layers of the head: Chen et al. have it, de Mooij et al. 2024 do not.
    """

    trains = "encoder"
    least_images = SMALLEST_BATCH
    crops = (Crop(), Crop())
    weights = MONITORED

    def __init__(
        self,
        backbone: Backbone,
        facts: StoreFacts,
        temperature: float = 0.1,
        hidden: int = 512,
        size: int = 512,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.head = mlp(backbone.encoder_channels[-1], (hidden, hidden), size, norm)

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """`nt_xent` over the views of all images, and what is watched."""
        check_batch(crops[0], "simclr", training=self.training)
        embedded: Tensor = self.head(pooled(backbone, stacked(crops))).float()
        image = crops[0].example.repeat(len(crops))
        vectors, start = gathered(embedded, training=self.training)
        images, _ = gathered(image, training=self.training)
        same_image = image[:, None] == images[None]
        return {
            "nt_xent": nt_xent(embedded, vectors, same_image, start, self.temperature),
            **monitored(embedded),
        }
