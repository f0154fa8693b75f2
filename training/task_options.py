"""The tasks that a stream can name, and the options of those that have any, each under the task's name."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from training.settings import Settings

TaskName = Literal["app", "orientation", "location", "mtl", "segmentation"]

DOWNSTREAM = ("segmentation",)
"""Tasks that learn from annotations: `subjects` limits these where a recipe has any."""


class LocationOptions(Settings):
    """With "protocol" the store decides: linear for the heart, sine for the knee."""

    mapping: Literal["protocol", "linear", "sine"] = "protocol"


class MtlOptions(LocationOptions):
    """Weight of the location beside the orientation's 1."""

    location_weight: float = Field(default=1.0, ge=0)


class SegmentationOptions(Settings):
    """Weights of the parts of the loss, and the structures to learn (none named: all of the store)."""

    structures: tuple[str, ...] = ()
    cross_entropy: float = Field(default=1.0, ge=0)
    dice: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _something_left(self) -> SegmentationOptions:
        if not self.cross_entropy and not self.dice:
            raise ValueError("cross_entropy and dice are both 0: nothing is left to learn")
        return self


class TaskOptions(Settings):
    """Options of the tasks, each under the task's name."""

    location: LocationOptions = LocationOptions()
    mtl: MtlOptions = MtlOptions()
    segmentation: SegmentationOptions = SegmentationOptions()


class Stream(Settings):
    """One store and what is learned from it; `turns` steps in a row before the next stream has its turn."""

    store: str = Field(default="main", pattern="^[A-Za-z0-9_-]+$")
    task: TaskName
    turns: int = Field(default=1, ge=1)
