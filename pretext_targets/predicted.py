"""Classes that a network gave to the images of a stack, on their way back to the user.

The store knows a stack by its salted key and its slices by their matrices; that is all that NIfTI needs
(`predicted_nifti.py`). With the catalogue the images themselves are found again (`predicted_seg.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import GeometryError
from dicomgeom.plane import ImagePlane


@dataclass(frozen=True)
class PredictedStack:
    """One stack, all of its slices and phases that a store has.

    Attributes
    ----------
    patient_key, stack_key
        As the store has them.
    slices, phases
        Indices of the axes of `classes`, ascending.
    classes
        (phases, slices, rows, columns) uint8, 0 = background.
    known
        (phases, slices): which of the images were there and could be read; the classes of the others are 0.
    patient_from_pixel
        (slices, 4, 4), LPS in mm from the store's pixels; NaN where a set has no geometry.
    spacing_mm
        Of the store's pixels.
    segment_names
        Meaning of the classes, background first.
    """

    patient_key: bytes
    stack_key: bytes
    slices: tuple[int, ...]
    phases: tuple[int, ...]
    classes: NDArray[np.uint8]
    known: NDArray[np.bool_]
    patient_from_pixel: NDArray[np.float64]
    spacing_mm: float
    segment_names: tuple[str, ...]

    @property
    def placed(self) -> bool:
        """Whether it is known where its slices lie in the patient."""
        return bool(np.isfinite(self.patient_from_pixel).all())

    def plane(self, place: int, frame_of_reference: str = "") -> ImagePlane:
        """The plane of the slice at a place of `slices`, on the store's grid."""
        if not self.placed:
            raise GeometryError("this stack has no place in the patient: its set came without geometry")
        matrix, (rows, columns) = self.patient_from_pixel[place], self.classes.shape[-2:]
        right, down = matrix[:3, 0], matrix[:3, 1]
        column_spacing_mm, row_spacing_mm = float(np.linalg.norm(right)), float(np.linalg.norm(down))
        return ImagePlane(
            origin_mm=matrix[:3, 3],
            right=right / column_spacing_mm,
            down=down / row_spacing_mm,
            column_spacing_mm=column_spacing_mm,
            row_spacing_mm=row_spacing_mm,
            columns=columns,
            rows=rows,
            frame_of_reference=frame_of_reference,
        )
