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
    """Relative location of a slice."""

    mapping: Literal["protocol", "linear", "sine"] = "protocol"
    """Location by place in the stack; the protocol of a store says linear for hearts, sine for knees."""


class MtlOptions(LocationOptions):
    """Lines and location together."""

    location_weight: float = Field(default=1.0, ge=0)
    """Weight of the location beside the orientation's 1."""


class JigsawOptions(Settings):
    """Order of nine tiles."""

    permutations: int = Field(default=100, ge=2, le=1000)
    """Orders of the nine tiles to tell apart."""


class GenesisOptions(Settings):
    """What damages images."""

    shuffle: float = Field(default=0.5, ge=0, le=1)
    """Chance that pixels are shuffled within small windows."""
    bezier: float = Field(default=0.9, ge=0, le=1)
    """Chance that grey values follow a random Bezier curve."""
    paint: float = Field(default=0.9, ge=0, le=1)
    """Chance that windows, or all but windows, are painted over."""
    paint_inside: float = Field(default=0.2, ge=0, le=1)
    """Of the painted images, the share that is painted inside the windows."""


class MimOptions(Settings):
    """What is masked."""

    patch_px: int = Field(default=32, ge=1)
    """Side of a patch, in pixels."""
    masked: float = Field(default=0.75, gt=0, lt=1)
    """Share of the patches that are masked."""


class SimclrOptions(Settings):
    """Head and loss of SimCLR."""

    temperature: float = Field(default=0.1, gt=0)
    """Temperature of the cosines."""
    hidden: int = Field(default=512, ge=1)
    """Width of the head's hidden layers."""
    size: int = Field(default=512, ge=2)
    """Width of the head's output."""
    norm: Literal["batch", "none"] = "batch"
    """Norm of the head."""


class PclOptions(SimclrOptions):
    """The same with positives by place."""

    threshold: float = Field(default=0.1, gt=0, lt=1)
    """Positives lie nearer than this share of their stacks."""
    threshold_mm: float = Field(default=0.0, ge=0)
    """Positives lie nearer than this, in mm; 0 goes by `threshold`."""


class ByolOptions(Settings):
    """Heads and teacher of BYOL."""

    hidden: int = Field(default=4096, ge=1)
    """Width of the hidden layers of projector and predictor."""
    size: int = Field(default=256, ge=2)
    """Width of their outputs."""
    average: float = Field(default=0.996, ge=0, le=1)
    """How much of itself the teacher keeps at the first step."""


class DinoOptions(Settings):
    """Crops, head, temperatures and averages of DINO."""

    local_crops: int = Field(default=6, ge=0)
    """Windows of each image beside its two whole views."""
    local_share: float = Field(default=0.5, gt=0, lt=1)
    """Side of a window, of the side of the image."""
    hidden: int = Field(default=2048, ge=1)
    """Width of the head's hidden layers."""
    size: int = Field(default=256, ge=2)
    """Width of what is compared with the prototypes."""
    prototypes: int = Field(default=8192, ge=2)
    """How many prototypes."""
    student_temperature: float = Field(default=0.1, gt=0)
    """Of the student's answers."""
    teacher_temperature_start: float = Field(default=0.02, gt=0)
    """Of the teacher's answers at the first step."""
    teacher_temperature: float = Field(default=0.04, gt=0)
    """Of the teacher's answers after the rise."""
    warmup_share: float = Field(default=0.3, ge=0, le=1)
    """Share of the run in which the teacher's temperature rises."""
    still_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of the run in which the student's prototypes stand still."""
    centre_average: float = Field(default=0.9, ge=0, le=1)
    """How much of itself the centre keeps at a step."""
    average: float = Field(default=0.996, ge=0, le=1)
    """How much of itself the teacher keeps at the first step."""


class SegmentationOptions(Settings):
    """Structures and loss."""

    structures: tuple[str, ...] = ()
    """Structures to learn; none named is all of the store."""
    cross_entropy: float = Field(default=1.0, ge=0)
    """Weight of the cross-entropy."""
    dice: float = Field(default=0.0, ge=0)
    """Weight of the Dice loss."""
    dice_smoothing_px: float = Field(default=1.0, gt=0)
    """Pixels added above and below in the Dice loss."""
    deep_supervision: bool = False
    """Whether coarser levels of the decoder learn, too."""

    @model_validator(mode="after")
    def _something_left(self) -> SegmentationOptions:
        if not self.cross_entropy and not self.dice:
            raise ValueError("cross_entropy and dice are both 0: nothing is left to learn")
        return self


class FindingsOptions(Settings):
    """Findings of a series."""

    labels: tuple[str, ...] = ()
    """Findings to learn, by the names that the store has for them; none named is all."""


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
    """Which store, by the name that `--store NAME=PATH` gives it."""
    task: TaskName
    """What is learned."""
    turns: int = Field(default=1, ge=1)
    """Steps in a row before the next stream has its turn."""
    unit: Literal["", "slice", "series"] = ""
    """What a batch is a number of, where the task leaves the choice; empty as the task has it."""
