"""The parts of a recipe, each a checked, frozen model with the defaults of its settings."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Base of all parts of a recipe: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BackboneSettings(Settings):
    """The network. `width` is the number of channels of its finest level: 8 or 16 do for a CPU.

    The published networks: "basic-unet" of width 64 (Zhang, Wei et al.), "dyn-unet" of width 32 with 7
    `levels` (de Mooij et al.), "alexnet" of width 64.
    """

    kind: Literal["basic-unet", "dyn-unet", "alexnet"] = "basic-unet"
    width: int = Field(default=64, ge=1)
    levels: int | None = Field(default=None, ge=3, le=8)
    norm: Literal["batch", "instance"] = "batch"

    @model_validator(mode="after")
    def _fits_the_kind(self) -> BackboneSettings:
        if self.levels is not None and self.kind != "dyn-unet":
            raise ValueError(f"backbone.levels is for dyn-unet; {self.kind} has a fixed number of levels")
        if self.norm != "batch" and self.kind == "alexnet":
            raise ValueError("backbone.norm is for U-Nets; alexnet has none in its encoder")
        return self


class OptimiserSettings(Settings):
    """Optimiser; `l1` is the weight of the sum of absolute values of all trained parameters.

    `weight_decay` shrinks the parameters that `decayed` names: "all", or "kernels", which leaves out biases
    and the scales of norms.
    """

    kind: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    decayed: Literal["all", "kernels"] = "all"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    l1: float = Field(default=0.0, ge=0)
    clip_norm: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> OptimiserSettings:
        if self.kind == "sgd" and self.nesterov and not self.momentum:
            raise ValueError(
                "optimiser.nesterov looks ahead along the momentum, which is 0: "
                "set optimiser.momentum above 0, or optimiser.nesterov=false"
            )
        return self


class ScheduleSettings(Settings):
    """Learning rate over the steps.

    "stages" cuts the run into `stages` equal parts and multiplies the rate by `factor` at each cut;
    "polynomial" is (1 - done)^power; "cosine" goes to 0; "plateau" multiplies by `factor` when more
    than `patience` validations in a row brought no smaller loss. A linear warm-up goes before, of
    `warmup_steps` or of `warmup_share` of the run, whichever is longer; what is done counts from its end.
    """

    kind: Literal["constant", "stages", "polynomial", "cosine", "plateau"] = "constant"
    stages: int = Field(default=1, ge=1)
    factor: float = Field(default=0.5, gt=0, le=1)
    power: float = Field(default=0.9, gt=0)
    patience: int = Field(default=5, ge=0)
    warmup_steps: int = Field(default=0, ge=0)
    warmup_share: float = Field(default=0.0, ge=0, le=1)


def _round_one(value: Any) -> Any:
    """A spread s round no change -> the factors 1 - s to 1 + s."""
    return (1.0 - value, 1.0 + value) if isinstance(value, int | float) else value


def _round_zero(value: Any) -> Any:
    return (-value, value) if isinstance(value, int | float) else value


def _round_one_in_the_logarithm(value: Any) -> Any:
    return (math.exp(-value), math.exp(value)) if isinstance(value, int | float) else value


Factors = Annotated[tuple[float, float], BeforeValidator(_round_one)]
Offsets = Annotated[tuple[float, float], BeforeValidator(_round_zero)]
Powers = Annotated[tuple[float, float], BeforeValidator(_round_one_in_the_logarithm)]
Chance = Annotated[float, Field(ge=0, le=1)]
SequenceName = Literal["balanced", "spin-echo"]


class AugmentSettings(Settings):
    """Ranges of the augmentation; 0 (or 1 to 1 for the scale) leaves a part out.

    Intensities change after the normalisation, so offsets and noise are in standard deviations where that is
    a z-score. `intensity_scale`, `intensity_shift` and `gamma` are a range [low, high] or one number, the
    spread round no change: 0.3 is [0.7, 1.3], [-0.3, 0.3] and [exp(-0.3), exp(0.3)]. The noise's standard
    deviation lies between 0 and `noise_sd`, the blur's between `blur_min_px` and `blur_max_px`, along rows
    and columns apart. Each part has the chance in which an image gets it.

    `redraw_contrast` is the chance that a phantom's contrast is drawn anew, before the normalisation, as a
    sequence of one of the kinds in `redraw_sequences` would show it (`training.contrast`).
    """

    rotation_deg: float = Field(default=0.0, ge=0, le=180)
    scale_min: float = Field(default=1.0, gt=0)
    scale_max: float = Field(default=1.0, gt=0)
    shift_fraction: float = Field(default=0.0, ge=0, le=0.5)
    flip_left_right: float = Field(default=0.0, ge=0, le=1)
    flip_up_down: float = Field(default=0.0, ge=0, le=1)
    noise_sd: float = Field(default=0.0, ge=0)
    noise_chance: Chance = 1.0
    blur_min_px: float = Field(default=0.0, ge=0)
    blur_max_px: float = Field(default=0.0, ge=0)
    blur_chance: Chance = 1.0
    intensity_scale: Factors = (1.0, 1.0)
    intensity_scale_chance: Chance = 1.0
    intensity_shift: Offsets = (0.0, 0.0)
    intensity_shift_chance: Chance = 1.0
    gamma: Powers = (1.0, 1.0)
    gamma_chance: Chance = 1.0
    redraw_contrast: Chance = 0.0
    redraw_sequences: tuple[SequenceName, ...] = Field(default=("balanced",), min_length=1)

    @property
    def moves(self) -> bool:
        """Whether any part of it moves pixels."""
        scales = (self.scale_min, self.scale_max) != (1.0, 1.0)
        return scales or any(
            (self.rotation_deg, self.shift_fraction, self.flip_left_right, self.flip_up_down)
        )

    @model_validator(mode="after")
    def _ranges_in_order(self) -> AugmentSettings:
        for name, (low, high) in {
            "scale": (self.scale_min, self.scale_max),
            "blur_px": (self.blur_min_px, self.blur_max_px),
            "intensity_scale": self.intensity_scale,
            "intensity_shift": self.intensity_shift,
            "gamma": self.gamma,
        }.items():
            if low > high:
                lower, upper = _ends_of(name)
                raise ValueError(f"{lower} {low} is larger than {upper} {high}")
        if self.intensity_scale[0] < 0 or self.gamma[0] <= 0:
            raise ValueError("intensity_scale must not be below 0, and gamma must be above 0")
        return self


def _ends_of(name: str) -> tuple[str, str]:
    """How messages call the two ends of a range."""
    if name == "scale":
        return "scale_min", "scale_max"
    if name == "blur_px":
        return "blur_min_px", "blur_max_px"
    return f"the lower end of {name},", "its upper end,"


class InitSettings(Settings):
    """Loading of pretrained weights.

    The least share of the pretrained parts that must fit the network, and whether a stream goes on with the
    head of the same task with the same outputs.
    """

    least_coverage: float = Field(default=0.9, ge=0, le=1)
    heads: bool = True
