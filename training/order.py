"""The order in which a stream passes through its units.

It is a function of (seed, stream, epoch, unit) alone, so a run goes on from its step number without any
state of a sampler. An epoch is one pass through all units; batches run on across its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.draws import mixed, shuffled
from training.sources import Rows

_ORDER, _DRAW = 101, 102


@dataclass
class Order:
    """Endless shuffled passes through rows, seekable at any place.

    Parameters
    ----------
    rows
        (n,) the rows to pass through.
    seed, stream
        Keys of the shuffling.
    """

    rows: Rows
    seed: int
    stream: int

    def __post_init__(self) -> None:
        self._passes: dict[int, NDArray[np.int64]] = {}

    def _pass(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._passes:
            shuffle = shuffled(len(self.rows), self.seed, self.stream, _ORDER, epoch).numpy()
            self._passes = {epoch - 1: self._passes[epoch - 1]} if epoch - 1 in self._passes else {}
            self._passes[epoch] = self.rows[shuffle]
        return self._passes[epoch]

    def batch(self, turn: int, size: int) -> tuple[Rows, Tensor]:
        """Rows (size,) of the stream's turn number `turn` and their keys for random draws (size,) int64.

        A key is a function of (seed, stream, epoch, row): a row that comes twice, even in one batch of a
        small store, comes in two epochs, and is augmented anew.
        """
        places = np.arange(turn * size, (turn + 1) * size)
        epochs, within = np.divmod(places, len(self.rows))
        rows = np.array(
            [self._pass(int(e))[int(w)] for e, w in zip(epochs, within, strict=True)], dtype=np.int64
        )
        keys = mixed(self.seed, self.stream, _DRAW, torch.from_numpy(epochs), torch.from_numpy(rows))
        return rows, keys
