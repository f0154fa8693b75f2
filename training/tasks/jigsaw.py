"""Jigsaw: in which order the nine tiles of an image were laid out.

Noroozi and Favaro, ECCV 2016, "Unsupervised learning of visual representations by solving jigsaw puzzles".
The image is cut into 3 x 3 cells, a tile of 64/75 of the cell's side is taken at a random place of each, so
that no edge leads on into the next tile, and each tile is normalised by its own mean and standard deviation,
so that no brightness tells where it was. The tiles are laid out by one of a fixed set of permutations, each
passes through the shared encoder, and fully connected layers on all nine say which permutation it was:

    tile j of the puzzle = tile p_k(j) of the image,   loss = cross-entropy of k.

The set is made greedily: each next permutation differs at the most places from those before. The paper
settled on 1,000 for its millions of photographs; 100 is our choice, as are the widths of the layers. Rows and
columns beyond a multiple of three are left out. A tile smaller than the network takes (27 pixels on a grid of
96, where a U-Net of five levels wants 32) is enlarged to the least side that it does.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.backbones import Backbone
from training.draws import uniform
from training.tasks.task import Batch, StoreFacts, SumAndCount, Task

TILES_A_SIDE, TILES = 3, 9
TILE_SHARE = 64 / 75
"""Side of a tile over the side of its cell."""

TILE_WIDTH, HIDDEN = 128, 512
"""Widths of the layers on each tile and on all nine."""

SMALLEST_SPREAD = 1e-6
"""A tile that varies less than this is constant."""

_PERMUTATION, _ROW, _COLUMN = 311, 312, 313


class Jigsaw(Task):
    """Classification of permutations from the encoder's end.

    Parameters
    ----------
    permutations
        How many there are to tell apart.
    """

    trains = "encoder"
    order: Tensor

    def __init__(self, backbone: Backbone, facts: StoreFacts, permutations: int = 100) -> None:
        super().__init__()
        self.register_buffer("order", torch.from_numpy(permutation_set(permutations)), persistent=False)
        self.on_tile = nn.Sequential(nn.Linear(backbone.encoder_channels[-1], TILE_WIDTH), nn.ReLU())
        self.on_all = nn.Sequential(
            nn.Linear(TILES * TILE_WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, permutations)
        )

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """Cross-entropy of the permutation."""
        (batch,) = crops
        count = batch.image.shape[0]
        which = (uniform(batch.draw, _PERMUTATION) * len(self.order)).long()
        tiles = tiles_of(batch.image, batch.draw)
        laid = tiles[torch.arange(count, device=tiles.device)[:, None], self.order[which]]
        logits = self.solved(backbone, laid)
        total = nn.functional.cross_entropy(logits.float(), which, reduction="sum")
        return {"permutation": SumAndCount(total, torch.full_like(total, count))}

    def solved(self, backbone: Backbone, laid: Tensor) -> Tensor:
        """Scores (b, permutations) of tiles (b, 9, rows, columns) as they are laid out."""
        size = [_accepted_side(backbone, side) for side in laid.shape[-2:]]
        each = laid.flatten(0, 1)[:, None]
        if list(each.shape[-2:]) != size:
            each = nn.functional.interpolate(each, size=size, mode="bilinear")
        pooled = backbone.encode(each)[-1].mean(dim=(-2, -1))
        return self.on_all(self.on_tile(pooled).view(laid.shape[0], -1))  # type: ignore[no-any-return]


def tiles_of(image: Tensor, draw: Tensor) -> Tensor:
    """Tiles (b, 9, rows, columns) of images (b, 1, rows, columns), row by row, each normalised on its own."""
    starts, spans = [], []
    for side, what in ((image.shape[-2], _ROW), (image.shape[-1], _COLUMN)):
        cell = side // TILES_A_SIDE
        span = round(TILE_SHARE * cell)
        number = torch.arange(TILES, device=image.device)
        of_cell = number // TILES_A_SIDE if what == _ROW else number % TILES_A_SIDE
        within = (uniform(draw[:, None], what, number) * (cell - span + 1)).long()
        starts.append(of_cell * cell + within)
        spans.append(torch.arange(span, device=image.device))
    rows = (starts[0][..., None] + spans[0])[..., :, None]
    columns = (starts[1][..., None] + spans[1])[..., None, :]
    tiles = image[:, 0][torch.arange(image.shape[0], device=image.device)[:, None, None, None], rows, columns]
    spread, middle = torch.std_mean(tiles, dim=(-2, -1), correction=0, keepdim=True)
    return (tiles - middle) / spread.clamp(min=SMALLEST_SPREAD)


@lru_cache(maxsize=4)
def permutation_set(count: int) -> NDArray[np.int64]:
    """The first `count` permutations (count, 9) of a greedy order, always the same.

    The first is the identity. Each next one has the largest smallest Hamming distance to those before, of
    equals the largest sum of distances, of equals the first in lexicographic order.
    """
    # One column a permutation: sums along the first axis are fast.
    left = np.array(list(itertools.permutations(range(TILES))), dtype=np.int8).T.copy()
    nearest, total = np.full(left.shape[1], TILES, np.int64), np.zeros(left.shape[1], np.int64)
    chosen = np.zeros((count, TILES), np.int64)
    place = 0
    for number in range(count):
        chosen[number] = left[:, place]
        distance = (left != left[:, place : place + 1]).sum(axis=0, dtype=np.int8)
        nearest, total = np.minimum(nearest, distance), total + distance
        place = int(np.argmax(nearest * (TILES * count + 1) + total))
    return chosen


def _accepted_side(backbone: Backbone, side: int) -> int:
    """The least side, from this one on, that the network takes."""
    return math.ceil(max(side, backbone.smallest_side) / backbone.divisor) * backbone.divisor
