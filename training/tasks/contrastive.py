"""NT-Xent with any number of positives: the loss of SimCLR and of positional contrastive learning.

Chen et al., ICML 2020, equation 1, for one positive p of anchor i among the vectors z of a batch:

    l(i, p) = -log( exp(sim(z_i, z_p) / tau) / sum over a != i of exp(sim(z_i, z_a) / tau) )

with the cosine as sim. With several positives P(i) it is averaged over them (Khosla et al., NeurIPS 2020,
equation 2; Zeng et al., MICCAI 2021, equation 2): L_i = 1/|P(i)| * sum over p in P(i) of l(i, p).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from training.tasks.task import SumAndCount

FEWEST_VECTORS = 3
"""An anchor with a single other vector has nothing to tell it from: its loss is 0 whatever it says."""


def nt_xent(
    anchors: Tensor, vectors: Tensor, positive: Tensor, start: int, temperature: float
) -> SumAndCount:
    """The loss summed over the anchors that have a positive.

    Parameters
    ----------
    anchors
        (n, d), of any length: they are normalised here.
    vectors
        (m, d), all that anchors are compared with, themselves included.
    positive
        (n, m) bool; what it says of an anchor and itself does not count.
    start
        Anchor i is vector start + i.
    """
    count, others = positive.shape
    with torch.autocast(anchors.device.type, enabled=False):  # logits of 1 / tau need all digits
        cosines = normalize(anchors.float(), dim=1) @ normalize(vectors.float(), dim=1).T
        logits = cosines / temperature
    number = torch.arange(count, device=anchors.device)
    itself = torch.zeros_like(positive)
    itself[number, start + number] = True
    log_share = logits.masked_fill(itself, -torch.inf).log_softmax(dim=1)
    positive = positive & ~itself
    positives = positive.sum(dim=1)
    # Chosen before it is summed: -inf of an anchor and itself times 0 would be NaN.
    summed = torch.where(positive, log_share, 0.0).sum(dim=1)
    counted = (positives > 0) & (others >= FEWEST_VECTORS)
    each = torch.where(counted, -summed / positives.clamp(min=1), 0.0)
    return SumAndCount(each.sum(), counted.sum().float())
