"""Which class stands behind the name of a task; one line a task."""

from __future__ import annotations

from collections.abc import Mapping

from training.tasks.app import AnatomicalPosition
from training.tasks.location import Location
from training.tasks.mtl import OrientationAndLocation
from training.tasks.orientation import Orientation
from training.tasks.segmentation import Segmentation
from training.tasks.task import Task

TASKS: Mapping[str, type[Task]] = {
    "app": AnatomicalPosition,
    "orientation": Orientation,
    "location": Location,
    "mtl": OrientationAndLocation,
    "segmentation": Segmentation,
}
"""Each is made with the backbone, the facts of its store, and its options of the recipe as keywords."""
