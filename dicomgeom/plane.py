"""Where an image lies in the patient.

Patient coordinates are DICOM's LPS (+x to the patient's left, +y to the back, +z to
the head) in millimetres. Pixel coordinates are (column, row): integers are pixel
centres, so an image covers -0.5 to columns - 0.5 and -0.5 to rows - 0.5.

DICOM gives Pixel Spacing (0028,0030) as (between rows, between columns). The pair is
split into two named fields when a plane is made and never carried as a pair again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomgeom.errors import GeometryError

Floats = NDArray[np.float64]

UNIT_TOLERANCE = 1e-6
"""How far the axes of a finished plane may be from orthonormal (absolute, no unit)."""

COSINE_TOLERANCE = 2e-3
"""How far raw direction cosines may be from orthonormal and still be mended.

Cosines rounded to four decimals are off by up to 1.5e-4; 2e-3 is 0.11 degrees.
"""


def orthonormal_axes(right: ArrayLike, down: ArrayLike) -> tuple[Floats, Floats, float]:
    """Mend rounded direction cosines.

    Parameters
    ----------
    right, down : array_like, shape (3,)
        Image Orientation (Patient) (0020,0037): the direction of a row (growing column
        index) and of a column (growing row index). No unit.

    Returns
    -------
    right, down : array, shape (3,)
        Orthonormal, the pair nearest to the given one (polar decomposition).
    residual : float
        The largest entry by which the given axes missed orthonormality.

    Raises
    ------
    GeometryError
        When the residual exceeds `COSINE_TOLERANCE`.
    """
    axes = np.array([right, down], dtype=np.float64)
    if axes.shape != (2, 3) or not np.isfinite(axes).all():
        raise GeometryError("direction cosines must be six finite numbers")
    residual = float(np.abs(axes @ axes.T - np.eye(2)).max())
    if residual > COSINE_TOLERANCE:
        raise GeometryError(
            f"direction cosines miss orthonormality by {residual:.2g}, "
            f"at most {COSINE_TOLERANCE:g} is rounding; the image has no usable orientation"
        )
    u, _, vt = np.linalg.svd(axes, full_matrices=False)
    nearest = u @ vt
    return nearest[0], nearest[1], residual


@dataclass(frozen=True, eq=False)
class ImagePlane:
    """The plane of one image, with its pixel grid (DICOM PS3.3 C.7.6.2).

    Parameters
    ----------
    origin_mm : array, shape (3,)
        Centre of pixel (0, 0), LPS: Image Position (Patient) (0020,0032).
    right, down : array, shape (3,)
        Unit vectors of growing column and growing row.
    column_spacing_mm, row_spacing_mm : float
        Distance between the centres of neighbouring columns, and of neighbouring rows.
    columns, rows : int
        Size of the image.
    frame_of_reference : str
        Only planes with an equal, non-empty frame may be compared without a further reason.
    """

    origin_mm: Floats
    right: Floats
    down: Floats
    column_spacing_mm: float
    row_spacing_mm: float
    columns: int
    rows: int
    frame_of_reference: str = ""

    def __post_init__(self) -> None:
        for name in ("origin_mm", "right", "down"):
            vector = np.array(getattr(self, name), dtype=np.float64)
            if vector.shape != (3,) or not np.isfinite(vector).all():
                raise GeometryError(f"{name} must be three finite numbers, found {vector!r}")
            vector.setflags(write=False)
            object.__setattr__(self, name, vector)
        axes = np.array([self.right, self.down])
        if not np.allclose(axes @ axes.T, np.eye(2), rtol=0, atol=UNIT_TOLERANCE):
            raise GeometryError("right and down must be unit vectors at a right angle")
        for name in ("column_spacing_mm", "row_spacing_mm"):
            spacing = float(getattr(self, name))
            if not (np.isfinite(spacing) and spacing > 0):
                raise GeometryError(f"{name} must be a positive number of mm, found {spacing!r}")
            object.__setattr__(self, name, spacing)
        for name in ("columns", "rows"):
            if int(getattr(self, name)) < 1:
                raise GeometryError(f"{name} must be at least 1, found {getattr(self, name)!r}")
            object.__setattr__(self, name, int(getattr(self, name)))

    @classmethod
    def from_dicom(
        cls,
        position: Sequence[float],
        orientation: Sequence[float],
        pixel_spacing: Sequence[float],
        columns: int,
        rows: int,
        frame_of_reference: str = "",
    ) -> ImagePlane:
        """Make a plane from the raw attribute values, mending rounded cosines.

        Parameters
        ----------
        position
            Image Position (Patient) (0020,0032), three numbers, mm.
        orientation
            Image Orientation (Patient) (0020,0037), six numbers.
        pixel_spacing
            Pixel Spacing (0028,0030), DICOM's order: between rows, between columns, mm.

        Raises
        ------
        GeometryError
            When the numbers are no plane.
        """
        if len(orientation) != 6:
            raise GeometryError(f"orientation must have six numbers, found {len(orientation)}")
        if len(pixel_spacing) != 2:
            raise GeometryError(f"pixel spacing must have two numbers, found {len(pixel_spacing)}")
        right, down, _ = orthonormal_axes(orientation[:3], orientation[3:])
        row_spacing_mm, column_spacing_mm = pixel_spacing
        return cls(
            origin_mm=np.asarray(position, dtype=np.float64),
            right=right,
            down=down,
            column_spacing_mm=column_spacing_mm,
            row_spacing_mm=row_spacing_mm,
            columns=columns,
            rows=rows,
            frame_of_reference=frame_of_reference,
        )

    @cached_property
    def normal(self) -> Floats:
        """Unit vector right x down, shape (3,)."""
        return np.cross(self.right, self.down)

    @cached_property
    def patient_from_pixel(self) -> Floats:
        """4x4: (column, row, mm along the normal, 1) -> (x, y, z, 1) in mm LPS (C.7.6.2.1.1)."""
        matrix = np.eye(4)
        matrix[:3, 0] = self.right * self.column_spacing_mm
        matrix[:3, 1] = self.down * self.row_spacing_mm
        matrix[:3, 2] = self.normal
        matrix[:3, 3] = self.origin_mm
        return matrix

    @cached_property
    def pixel_from_patient(self) -> Floats:
        """4x4 inverse of `patient_from_pixel`: third coordinate = signed distance in mm."""
        matrix = np.eye(4)
        matrix[0, :3] = self.right / self.column_spacing_mm
        matrix[1, :3] = self.down / self.row_spacing_mm
        matrix[2, :3] = self.normal
        matrix[:3, 3] = -matrix[:3, :3] @ self.origin_mm
        return matrix

    @property
    def centre_mm(self) -> Floats:
        """Middle of the image, shape (3,), mm LPS."""
        return self.to_patient([(self.columns - 1) / 2, (self.rows - 1) / 2])

    @property
    def corners_mm(self) -> Floats:
        """The outer corners of the corner pixels, shape (4, 3), mm LPS, round the image."""
        right, bottom = self.columns - 0.5, self.rows - 0.5
        return self.to_patient([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]])

    def to_patient(self, points_px: ArrayLike) -> Floats:
        """Pixel (column, row), shape (..., 2) -> mm LPS, shape (..., 3)."""
        points = np.asarray(points_px, dtype=np.float64)
        matrix = self.patient_from_pixel
        return points @ matrix[:3, :2].T + matrix[:3, 3]

    def to_pixel(self, points_mm: ArrayLike) -> Floats:
        """mm LPS, shape (..., 3) -> (column, row) of the foot of the perpendicular, shape (..., 2)."""
        points = np.asarray(points_mm, dtype=np.float64)
        matrix = self.pixel_from_patient
        return points @ matrix[:2, :3].T + matrix[:2, 3]

    def distance_mm(self, points_mm: ArrayLike) -> Floats:
        """Signed distance from the plane along its normal, shape (...,), mm."""
        points = np.asarray(points_mm, dtype=np.float64)
        return (points - self.origin_mm) @ self.normal

    def contains_px(self, points_px: ArrayLike) -> NDArray[np.bool_]:
        """Whether (column, row) points, shape (..., 2), lie on the image's pixels."""
        points = np.asarray(points_px, dtype=np.float64)
        size = np.array([self.columns, self.rows]) - 0.5
        return np.asarray(((points >= -0.5) & (points <= size)).all(axis=-1))

    def moved(self, rotation: ArrayLike, translation_mm: ArrayLike) -> ImagePlane:
        """The plane after a rigid motion of the patient: x -> rotation @ x + translation."""
        turn = np.asarray(rotation, dtype=np.float64)
        return ImagePlane(
            origin_mm=turn @ self.origin_mm + np.asarray(translation_mm, dtype=np.float64),
            right=turn @ self.right,
            down=turn @ self.down,
            column_spacing_mm=self.column_spacing_mm,
            row_spacing_mm=self.row_spacing_mm,
            columns=self.columns,
            rows=self.rows,
            frame_of_reference=self.frame_of_reference,
        )
