"""The parts of a recipe, each a checked, frozen model with the defaults of its settings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Base of all parts of a recipe: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BackboneSettings(Settings):
    """The network. `width` is the number of channels at full size: 64 in the papers, 8 or 16 for a CPU."""

    kind: Literal["basic-unet"] = "basic-unet"
    width: int = Field(default=64, ge=1)


class OptimiserSettings(Settings):
    """Optimiser; `l1` is the weight of the sum of absolute values of all trained parameters."""

    kind: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    l1: float = Field(default=0.0, ge=0)
    clip_norm: float = Field(default=0.0, ge=0)


class ScheduleSettings(Settings):
    """Learning rate over the steps.

    "stages" cuts the run into `stages` equal parts and multiplies the rate by `factor` at each cut;
    "polynomial" is (1 - step/steps)^power; "cosine" goes to 0. A linear warm-up of
    `warmup_steps` goes before.
    """

    kind: Literal["constant", "stages", "polynomial", "cosine"] = "constant"
    stages: int = Field(default=1, ge=1)
    factor: float = Field(default=0.5, gt=0, le=1)
    power: float = Field(default=0.9, gt=0)
    warmup_steps: int = Field(default=0, ge=0)


class AugmentSettings(Settings):
    """Ranges of the augmentation; 0 (or 1 to 1 for the scale) leaves a part out."""

    rotation_deg: float = Field(default=0.0, ge=0, le=180)
    scale_min: float = Field(default=1.0, gt=0)
    scale_max: float = Field(default=1.0, gt=0)
    shift_fraction: float = Field(default=0.0, ge=0, le=0.5)
    flip_left_right: float = Field(default=0.0, ge=0, le=1)
    flip_up_down: float = Field(default=0.0, ge=0, le=1)
    intensity_scale: float = Field(default=0.0, ge=0)
    intensity_shift: float = Field(default=0.0, ge=0)
    gamma: float = Field(default=0.0, ge=0)
    noise_sd: float = Field(default=0.0, ge=0)

    @property
    def moves(self) -> bool:
        """Whether any part of it moves pixels."""
        scales = (self.scale_min, self.scale_max) != (1.0, 1.0)
        return scales or any(
            (self.rotation_deg, self.shift_fraction, self.flip_left_right, self.flip_up_down)
        )

    @model_validator(mode="after")
    def _scales_in_order(self) -> AugmentSettings:
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is larger than scale_max {self.scale_max}")
        return self


class InitSettings(Settings):
    """Loading of pretrained weights: the least share of the pretrained parts that must fit the network."""

    least_coverage: float = Field(default=0.9, ge=0, le=1)
