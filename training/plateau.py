"""The learning rate falls when validation stops getting better: the one schedule that has a memory.

The rule of PyTorch's `ReduceLROnPlateau` in its relative mode, which MRNet (Bien et al., PLOS Medicine 2018)
trains with; a test holds the two equal. What it remembers goes into the checkpoint, so that a run that was
interrupted ends as if it had not been.
"""

from __future__ import annotations

import math

from training.settings import ScheduleSettings

LEAST_GAIN = 1e-4
"""A loss counts as better when it is smaller by this share at least."""


class Plateau:
    """How often the rate has fallen, decided by one validation loss after the other.

    Parameters
    ----------
    settings
        `patience`: so many validations in a row may bring nothing better; `factor`: what the rate is
        multiplied by after one more.
    """

    def __init__(self, settings: ScheduleSettings) -> None:
        self._settings = settings
        self._best, self._worse, self._falls = math.inf, 0, 0

    @property
    def scale(self) -> float:
        """What the learning rate is to be multiplied by now."""
        return self._settings.factor**self._falls

    def see(self, loss: float) -> None:
        """Take one more validation loss into account."""
        if loss < self._best * (1.0 - LEAST_GAIN):
            self._best, self._worse = loss, 0
        else:
            self._worse += 1
        if self._worse > self._settings.patience:
            self._falls, self._worse = self._falls + 1, 0

    def state(self) -> dict[str, float]:
        """What it remembers; empty before the first loss."""
        if math.isinf(self._best):
            return {}
        return {"best": self._best, "worse": self._worse, "falls": self._falls}

    def restore(self, state: dict[str, float]) -> None:
        """The inverse of `state`."""
        self._best = state.get("best", math.inf)
        self._worse, self._falls = int(state.get("worse", 0)), int(state.get("falls", 0))
