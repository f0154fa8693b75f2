"""Which class stands behind the name of a task; one line a task."""

from __future__ import annotations

from collections.abc import Mapping

from training.tasks.app import AnatomicalPosition
from training.tasks.byol import Byol
from training.tasks.dino import Dino
from training.tasks.findings import Findings
from training.tasks.genesis import ModelsGenesis
from training.tasks.jigsaw import Jigsaw
from training.tasks.location import Location
from training.tasks.mim import MaskedImageModelling
from training.tasks.mtl import OrientationAndLocation
from training.tasks.orientation import Orientation
from training.tasks.pcl import Pcl
from training.tasks.segmentation import Segmentation
from training.tasks.simclr import SimClr
from training.tasks.slice_ordering import SliceOrdering
from training.tasks.task import Task

TASKS: Mapping[str, type[Task]] = {
    "app": AnatomicalPosition,
    "orientation": Orientation,
    "location": Location,
    "mtl": OrientationAndLocation,
    "slice-ordering": SliceOrdering,
    "jigsaw": Jigsaw,
    "genesis": ModelsGenesis,
    "mim": MaskedImageModelling,
    "simclr": SimClr,
    "byol": Byol,
    "pcl": Pcl,
    "dino": Dino,
    "segmentation": Segmentation,
    "findings": Findings,
}
"""Each is made with the backbone, the facts of its store, and its options of the recipe as keywords."""
