"""The learning rate as a pure function of the step, so that nothing of it needs saving."""

from __future__ import annotations

import math

from training.settings import ScheduleSettings


def learning_rate(settings: ScheduleSettings, start: float, step: int, steps: int) -> float:
    """Learning rate of optimiser step `step` (from 0) out of `steps`, from the rate `start`.

    "stages": a rate halved every 100 of 500 epochs has 5 stages and factor 0.5, however many steps a run has;
    a warm-up is part of the first. "polynomial" and "cosine" come down from the end of the warm-up on.
    """
    warmup_steps = max(settings.warmup_steps, settings.warmup_share * steps)
    warmed = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    if settings.kind == "stages":
        return warmed * start * settings.factor ** math.floor(step / steps * settings.stages)
    done = max(0.0, step - warmup_steps) / (steps - warmup_steps) if warmup_steps < steps else 0.0
    if settings.kind == "polynomial":
        return warmed * start * math.pow(1.0 - done, settings.power)
    if settings.kind == "cosine":
        return warmed * start * 0.5 * (1.0 + math.cos(math.pi * done))
    return warmed * start
