"""Smooth regions of other tissues below the diaphragm: bowel, stomach, kidney and the fat between them.

What lies under a heart differs from patient to patient more than any fixed anatomy does. Regions
are where a smooth random field is high; each has a rim of its own, as organs have walls and fat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantoms.scene import Paint
from phantoms.shapes import Distances, Points
from phantoms.smooth_random import Texture, within
from phantoms.tissues import Tissue

_INSIDE_AND_RIM = (
    (Tissue.STOMACH, Tissue.MUSCLE),
    (Tissue.FAT, Tissue.FAT),
    (Tissue.SPLEEN, Tissue.FAT),
    (Tissue.LIVER, Tissue.FAT),
    (Tissue.AIR, Tissue.MUSCLE),
    (Tissue.SPINAL_FLUID, Tissue.MUSCLE),
    (Tissue.MUSCLE, Tissue.FAT),
)
"""Gas and fluid lie in a wall of muscle, solid organs in fat."""

MOST_REGIONS = 4


@dataclass(frozen=True)
class Organ:
    """Where one kind of region lies: a smooth field, stretched and shifted, above a height."""

    inside: Tissue
    rim: Tissue
    stretch: float
    shift_mm: NDArray[np.float32]
    height: float
    rim_mm: float

    def paints(self, points: Points, bounds: Distances, field: Texture) -> Iterator[Paint]:
        """Rim and inside at chest points (3, n), kept inside `bounds` (n,)."""
        moved = (points + self.shift_mm[:, None]) * np.float32(self.stretch)
        # The field's slope is about its standard deviation over half a grain of 34 mm.
        steep = np.float32(17 / self.stretch)
        distance = np.maximum((np.float32(self.height) - within(field, moved, bounds < 0)) * steep, bounds)
        yield Paint(distance, self.rim)
        yield Paint(distance + np.float32(self.rim_mm), self.inside)


def draw_organs(rng: np.random.Generator) -> tuple[Organ, ...]:
    """Draw the regions of one patient, none to four kinds."""
    organs = []
    for _ in range(int(rng.integers(MOST_REGIONS + 1))):
        inside, rim = _INSIDE_AND_RIM[int(rng.integers(len(_INSIDE_AND_RIM)))]
        organs.append(
            Organ(
                inside=inside,
                rim=rim,
                stretch=float(rng.uniform(0.5, 1.3)),
                shift_mm=rng.uniform(0, 400, 3).astype(np.float32),
                height=float(rng.uniform(0.4, 1.4)),
                rim_mm=float(rng.uniform(1.5, 5.0)),
            )
        )
    return tuple(organs)
