"""The tasks that a stream can name, and the options of those that have any, each under the task's name."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from training.settings import Settings

TaskName = Literal[
    "app",
    "orientation",
    "location",
    "mtl",
    "slice-ordering",
    "jigsaw",
    "genesis",
    "mim",
    "simclr",
    "byol",
    "pcl",
    "dino",
    "segmentation",
    "findings",
]

DOWNSTREAM = ("segmentation", "findings")
"""Tasks that learn from annotations: `subjects` limits these where a recipe has any."""


class LocationOptions(Settings):
    """With "protocol" the store decides: linear for the heart, sine for the knee."""

    mapping: Literal["protocol", "linear", "sine"] = "protocol"


class MtlOptions(LocationOptions):
    """Weight of the location beside the orientation's 1."""

    location_weight: float = Field(default=1.0, ge=0)


class JigsawOptions(Settings):
    """How many permutations of the nine tiles there are to tell apart."""

    permutations: int = Field(default=100, ge=2, le=1000)


class GenesisOptions(Settings):
    """Chances of each kind of damage; of the painted images, the share that is painted inside the windows."""

    shuffle: float = Field(default=0.5, ge=0, le=1)
    bezier: float = Field(default=0.9, ge=0, le=1)
    paint: float = Field(default=0.9, ge=0, le=1)
    paint_inside: float = Field(default=0.2, ge=0, le=1)


class MimOptions(Settings):
    """Side of a patch in pixels, and the share of the patches that are masked."""

    patch_px: int = Field(default=32, ge=1)
    masked: float = Field(default=0.75, gt=0, lt=1)


class SimclrOptions(Settings):
    """Temperature of the cosines; width of the head's hidden layers and of its output, and its norm."""

    temperature: float = Field(default=0.1, gt=0)
    hidden: int = Field(default=512, ge=1)
    size: int = Field(default=512, ge=2)
    norm: Literal["batch", "none"] = "batch"


class PclOptions(SimclrOptions):
    """Positives are nearer than `threshold` of their stacks, or than `threshold_mm` where that is not 0."""

    threshold: float = Field(default=0.1, gt=0, lt=1)
    threshold_mm: float = Field(default=0.0, ge=0)


class ByolOptions(Settings):
    """Widths of projector and predictor; how much of itself the teacher keeps at the first step."""

    hidden: int = Field(default=4096, ge=1)
    size: int = Field(default=256, ge=2)
    average: float = Field(default=0.996, ge=0, le=1)


class DinoOptions(Settings):
    """Crops, head, temperatures and averages.

    The temperature of the teacher rises over `warmup_share` of the run; the prototypes of the student stand
    still for `still_share` of it. `average` and `centre_average` are what teacher and centre keep of
    themselves at a step, the teacher at the first.
    """

    local_crops: int = Field(default=6, ge=0)
    local_share: float = Field(default=0.5, gt=0, lt=1)
    hidden: int = Field(default=2048, ge=1)
    size: int = Field(default=256, ge=2)
    prototypes: int = Field(default=8192, ge=2)
    student_temperature: float = Field(default=0.1, gt=0)
    teacher_temperature_start: float = Field(default=0.02, gt=0)
    teacher_temperature: float = Field(default=0.04, gt=0)
    warmup_share: float = Field(default=0.3, ge=0, le=1)
    still_share: float = Field(default=0.01, ge=0, lt=1)
    centre_average: float = Field(default=0.9, ge=0, le=1)
    average: float = Field(default=0.996, ge=0, le=1)


class SegmentationOptions(Settings):
    """Weights of the parts of the loss, and the structures to learn (none named: all of the store)."""

    structures: tuple[str, ...] = ()
    cross_entropy: float = Field(default=1.0, ge=0)
    dice: float = Field(default=0.0, ge=0)
    dice_smoothing_px: float = Field(default=1.0, gt=0)
    deep_supervision: bool = False

    @model_validator(mode="after")
    def _something_left(self) -> SegmentationOptions:
        if not self.cross_entropy and not self.dice:
            raise ValueError("cross_entropy and dice are both 0: nothing is left to learn")
        return self


class FindingsOptions(Settings):
    """The findings to learn, by the names the store has for them (none named: all of the store)."""

    labels: tuple[str, ...] = ()


class TaskOptions(Settings):
    """Options of the tasks, each under the task's name."""

    location: LocationOptions = LocationOptions()
    mtl: MtlOptions = MtlOptions()
    jigsaw: JigsawOptions = JigsawOptions()
    genesis: GenesisOptions = GenesisOptions()
    mim: MimOptions = MimOptions()
    simclr: SimclrOptions = SimclrOptions()
    byol: ByolOptions = ByolOptions()
    pcl: PclOptions = PclOptions()
    dino: DinoOptions = DinoOptions()
    segmentation: SegmentationOptions = SegmentationOptions()
    findings: FindingsOptions = FindingsOptions()


class Stream(Settings):
    """One store and what is learned from it; `turns` steps in a row before the next stream has its turn."""

    store: str = Field(default="main", pattern="^[A-Za-z0-9_-]+$")
    task: TaskName
    turns: int = Field(default=1, ge=1)
    unit: Literal["", "slice", "series"] = ""
    """What a batch is a number of, where the task leaves the choice; "" as the task has it."""
