"""The parts of a recipe, each a checked, frozen model with the defaults of its settings."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Base of all parts of a recipe: frozen, and closed to keys it does not know.

    The line below a setting is its meaning in the reference, too (`recipe_keys.py`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class BackboneSettings(Settings):
    """The network.

    The published networks: "basic-unet" of width 64 (Zhang, Wei et al.), "dyn-unet" of width 32 with 7
    `levels` (de Mooij et al.), "alexnet" of width 64.
    """

    kind: Literal["basic-unet", "dyn-unet", "alexnet"] = "basic-unet"
    """The network."""
    width: int = Field(default=64, ge=1)
    """Channels of its finest level; 8 or 16 do for a CPU."""
    levels: int | None = Field(default=None, ge=3, le=8)
    """Resolutions of a dyn-unet, 7 where none are given; the others have a fixed number."""
    norm: Literal["batch", "instance"] = "batch"
    """Normalisation within a U-Net."""

    @model_validator(mode="after")
    def _fits_the_kind(self) -> BackboneSettings:
        if self.levels is not None and self.kind != "dyn-unet":
            raise ValueError(f"backbone.levels is for dyn-unet; {self.kind} has a fixed number of levels")
        if self.norm != "batch" and self.kind == "alexnet":
            raise ValueError("backbone.norm is for U-Nets; alexnet has none in its encoder")
        return self


class OptimiserSettings(Settings):
    """How the weights change at a step."""

    kind: Literal["adam", "sgd"] = "adam"
    """How the weights follow their gradients."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size; the schedule changes it."""
    weight_decay: float = Field(default=0.0, ge=0)
    """How much weights shrink at each step."""
    decayed: Literal["all", "kernels"] = "all"
    """What shrinks: all, or kernels without biases and the scales of norms."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of sgd: how much of the last direction is kept."""
    nesterov: bool = False
    """Of sgd: whether it looks ahead along the momentum."""
    l1: float = Field(default=0.0, ge=0)
    """Weight of the sum of absolute values of all trained parameters in the loss."""
    clip_norm: float = Field(default=0.0, ge=0)
    """Longest gradient; longer ones are scaled down to it, 0 leaves them."""

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> OptimiserSettings:
        if self.kind == "sgd" and self.nesterov and not self.momentum:
            raise ValueError(
                "optimiser.nesterov looks ahead along the momentum, which is 0: "
                "set optimiser.momentum above 0, or optimiser.nesterov=false"
            )
        return self


class ScheduleSettings(Settings):
    """Learning rate over the steps: constant, in stages, (1 - done)^power, a cosine to 0, or by validations.

    A linear warm-up goes before; what is done counts from its end.
    """

    kind: Literal["constant", "stages", "polynomial", "cosine", "plateau"] = "constant"
    """How the learning rate falls."""
    stages: int = Field(default=1, ge=1)
    """Of stages: equal parts of the run, with a fall at each cut."""
    factor: float = Field(default=0.5, gt=0, le=1)
    """Of stages and plateau: what the rate is multiplied by."""
    power: float = Field(default=0.9, gt=0)
    """Of polynomial: the rate is (1 - done)^power."""
    patience: int = Field(default=5, ge=0)
    """Of plateau: validations in a row without a smaller loss that are borne."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps of a linear rise before."""
    warmup_share: float = Field(default=0.0, ge=0, le=1)
    """The same as a share of the run; the longer one counts."""


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
    a z-score. The noise's standard deviation lies between 0 and `noise_sd`, the blur's differs along rows and
    columns. Each part has the chance in which an image gets it. A contrast is drawn anew before the
    normalisation (`training.contrast`).
    """

    rotation_deg: float = Field(default=0.0, ge=0, le=180)
    """Largest turn either way."""
    scale_min: float = Field(default=1.0, gt=0)
    """Smallest zoom."""
    scale_max: float = Field(default=1.0, gt=0)
    """Largest zoom."""
    shift_fraction: float = Field(default=0.0, ge=0, le=0.5)
    """Largest shift either way, of the side of the image."""
    flip_left_right: float = Field(default=0.0, ge=0, le=1)
    """Chance of a flip; a mirrored heart is not a heart."""
    flip_up_down: float = Field(default=0.0, ge=0, le=1)
    """Chance of a flip."""
    noise_sd: float = Field(default=0.0, ge=0)
    """Largest standard deviation of the noise, after the normalisation."""
    noise_chance: Chance = 1.0
    """Chance of noise."""
    blur_min_px: float = Field(default=0.0, ge=0)
    """Smallest standard deviation of the blur."""
    blur_max_px: float = Field(default=0.0, ge=0)
    """Largest standard deviation of the blur; 0 is none."""
    blur_chance: Chance = 1.0
    """Chance of blur."""
    intensity_scale: Factors = (1.0, 1.0)
    """Grey values are multiplied; one number s is 1 - s to 1 + s."""
    intensity_scale_chance: Chance = 1.0
    """Chance that grey values are multiplied."""
    intensity_shift: Offsets = (0.0, 0.0)
    """Grey values are shifted; one number s is -s to s."""
    intensity_shift_chance: Chance = 1.0
    """Chance that grey values are shifted."""
    gamma: Powers = (1.0, 1.0)
    """Grey values are raised to a power; one number s is exp(-s) to exp(s)."""
    gamma_chance: Chance = 1.0
    """Chance that grey values are raised."""
    redraw_contrast: Chance = 0.0
    """Chance that a phantom's contrast is drawn anew; needs a store with tissues."""
    redraw_sequences: tuple[SequenceName, ...] = Field(default=("balanced",), min_length=1)
    """Kinds of sequence that are drawn."""

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
    """Loading of pretrained weights."""

    least_coverage: float = Field(default=0.9, ge=0, le=1)
    """Least share of the pretrained parts that must fit the network."""
    heads: bool = True
    """Whether heads of the same task with the same outputs are taken over, too."""
