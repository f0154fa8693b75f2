"""Where a radiographer puts the planes.

In-plane orientation follows the scanners' habit: an image that is mostly axial is shown
with +x to the right and +y down, mostly coronal with +x right and -z down, mostly sagittal
with +y right and -z down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomgeom.plane import ImagePlane
from phantoms.cardiac_patient import tilted

Floats = NDArray[np.float64]

LONG_AXIS_VIEWS_DEG = {"4CH": 7.7, "2CH": 65.9, "3CH": 128.7}
"""Angle of each plane's trace round the LV axis, from projected patient-left toward
axis x patient-left, axis from base to apex: measured on the biv-me example exam."""

SAX_SPACINGS_MM = (8.0, 9.0, 10.0)


_FACING = {"2CH": 0, "3CH": 0}
"""Views always shown as sagittal ones, whichever axis their normal is nearest to."""


@dataclass(frozen=True)
class OperatorError:
    """Standard deviations of what a radiographer misses by; cut at two of them."""

    angle_deg: float = 3.0
    shift_mm: float = 2.0

    def angles_rad(self, rng: np.random.Generator, count: int) -> Floats:
        """Drawn angular errors, shape (count,)."""
        return np.deg2rad(np.clip(rng.normal(0, 1, count), -2, 2) * self.angle_deg)

    def shifts_mm(self, rng: np.random.Generator, count: int) -> Floats:
        """Drawn shifts, shape (count,)."""
        shifts: Floats = np.clip(rng.normal(0, 1, count), -2, 2) * self.shift_mm
        return shifts


@dataclass(frozen=True)
class PlannedStack:
    """Planes to be imaged together: their view, the slice thickness, whether they beat."""

    view: str
    planes: tuple[ImagePlane, ...]
    thickness_mm: float
    cine: bool
    segmented: bool = True


@dataclass(frozen=True)
class Grid:
    """Pixel grid of an exam."""

    spacing_mm: float
    columns: int
    rows: int
    row_spacing_mm: float | None = None
    """Distance of rows where it is not that of columns."""

    @property
    def down_mm(self) -> float:
        """Distance of neighbouring rows."""
        return self.row_spacing_mm or self.spacing_mm


def in_plane_axes(normal: Floats, roll_rad: float = 0.0, main: int | None = None) -> tuple[Floats, Floats]:
    """Row and column directions of an image with this normal (either sign), turned by `roll_rad`.

    `main` says which patient axis the image is taken to face (0 sagittal, 1 coronal, 2 axial);
    default: the one nearest to the normal.
    """
    main = int(np.argmax(np.abs(normal))) if main is None else main
    right = np.eye(3)[1 if main == 0 else 0]
    down = np.eye(3)[1] if main == 2 else -np.eye(3)[2]
    right = right - normal * (right @ normal)
    right /= np.linalg.norm(right)
    across = np.cross(normal, right)
    across *= np.sign(across @ down)
    return np.cos(roll_rad) * right + np.sin(roll_rad) * across, np.cos(roll_rad) * across - np.sin(
        roll_rad
    ) * right


def plane_at(
    centre_mm: Floats,
    normal: Floats,
    grid: Grid,
    frame_of_reference: str,
    roll_rad: float = 0.0,
    main: int | None = None,
) -> ImagePlane:
    """A plane whose image is centred on `centre_mm`."""
    right, down = in_plane_axes(normal / np.linalg.norm(normal), roll_rad, main)
    half = np.array([(grid.columns - 1) / 2 * grid.spacing_mm, (grid.rows - 1) / 2 * grid.down_mm])
    return ImagePlane(
        origin_mm=centre_mm - right * half[0] - down * half[1],
        right=right,
        down=down,
        column_spacing_mm=grid.spacing_mm,
        row_spacing_mm=grid.down_mm,
        columns=grid.columns,
        rows=grid.rows,
        frame_of_reference=frame_of_reference,
    )


def trace_angle_deg(normal: Floats, axis: Floats) -> float:
    """Angle of a long-axis plane's trace round the axis (base to apex), 0 to 180 degrees."""
    axis = axis / np.linalg.norm(axis)
    left = np.array([1.0, 0.0, 0.0]) - axis * axis[0]
    left /= np.linalg.norm(left)
    trace = np.cross(normal, axis)
    return float(np.degrees(np.arctan2(trace @ np.cross(axis, left), trace @ left)) % 180.0)


class HeartPrescription:
    """Plans the views of one heart.

    Parameters
    ----------
    landmarks
        `apex`, `base_centre` and `lv_centre`, LPS mm.
    toward_mm : array, shape (3,)
        Middle of the chest: images are centred between it and the heart.
    """

    def __init__(
        self,
        landmarks: Mapping[str, Floats],
        toward_mm: Floats,
        grid: Grid,
        frame_of_reference: str,
        error: OperatorError,
        rng: np.random.Generator,
    ) -> None:
        self._landmarks, self._toward_mm, self._grid = landmarks, toward_mm, grid
        self._frame, self._error, self._rng = frame_of_reference, error, rng
        axis = landmarks["apex"] - landmarks["base_centre"]
        self.length_mm = float(np.linalg.norm(axis))
        tilt = abs(float(error.angles_rad(rng, 1)[0]))
        self.axis = tilted(axis, tilt, float(rng.uniform(0, 2 * np.pi)))

    def _centred(self, point_mm: Floats, normal: Floats, share: float = 0.25) -> Floats:
        """A point of the plane through `point_mm`, moved part of the way to the middle of the chest."""
        offset = share * (self._toward_mm - point_mm)
        moved: Floats = point_mm + offset - normal * (normal @ offset)
        return moved

    def short_axis(self) -> PlannedStack:
        """Planes across the axis, from above the base to beyond the apex, 8 to 12 of them."""
        needed_mm = self.length_mm + 8.0
        enough = [spacing for spacing in SAX_SPACINGS_MM if needed_mm <= 11 * spacing] or [10.0]
        spacing_mm = float(self._rng.choice(enough))
        slices = int(np.clip(np.ceil(needed_mm / spacing_mm) + 1, 8, 12))
        shift = float(self._error.shifts_mm(self._rng, 1)[0])
        start = self._landmarks["base_centre"] - self.axis * (
            0.5 * ((slices - 1) * spacing_mm - self.length_mm)
        )
        roll = float(self._error.angles_rad(self._rng, 1)[0]) * 3
        middle = self._centred(self._landmarks["lv_centre"], self.axis)
        middle = middle + self.axis * (self.axis @ (start - middle) + shift)
        planes = tuple(
            plane_at(middle + self.axis * (i * spacing_mm), self.axis, self._grid, self._frame, roll, main=1)
            for i in range(slices)
        )
        thickness_mm = min(spacing_mm, float(self._rng.choice([6.0, 8.0])))
        return PlannedStack("SAX", planes, thickness_mm, cine=True)

    def long_axis(self, view: str) -> PlannedStack:
        """2CH, 3CH or 4CH: through the axis, at the view's angle round it."""
        left = np.array([1.0, 0.0, 0.0]) - self.axis * self.axis[0]
        left /= np.linalg.norm(left)
        usual = np.deg2rad(LONG_AXIS_VIEWS_DEG[view]) + float(self._rng.normal(0, np.deg2rad(2)))
        angle = usual + float(self._error.angles_rad(self._rng, 1)[0])
        trace = np.cos(angle) * left + np.sin(angle) * np.cross(self.axis, left)
        tilt = float(self._error.angles_rad(self._rng, 1)[0])
        along = np.cos(tilt) * self.axis + np.sin(tilt) * np.cross(trace, self.axis)
        normal = np.cross(along, trace)
        normal /= np.linalg.norm(normal)
        base = self._landmarks["base_centre"]
        middle = base + self.axis * (self.axis @ (self._landmarks["lv_centre"] - base))
        centre = middle + normal * float(self._error.shifts_mm(self._rng, 1)[0])
        roll = float(self._rng.normal(0, np.deg2rad(6)))
        plane = plane_at(
            self._centred(centre, normal), normal, self._grid, self._frame, roll, _FACING.get(view)
        )
        return PlannedStack(view, (plane,), 6.0, cine=True)

    def localizers(self, planes_each: int = 3) -> tuple[PlannedStack, ...]:
        """Axial, coronal and sagittal scouts round the heart, on a coarser and larger grid."""
        columns = max(32, round(self._grid.columns * 0.75))
        rows = max(32, round(self._grid.rows * 0.75))
        field_mm = self._grid.spacing_mm * max(self._grid.columns, self._grid.rows) * 1.3
        grid = Grid(field_mm / max(columns, rows), columns, rows)
        stacks = []
        for axis, view in ((2, "AX"), (1, "COR"), (0, "SAG")):
            normal = np.eye(3)[axis]
            middle = self._centred(self._landmarks["lv_centre"], normal, share=0.7)
            offsets = (np.arange(planes_each) - (planes_each - 1) / 2) * 25.0
            planes = tuple(plane_at(middle + normal * o, normal, grid, self._frame) for o in offsets)
            stacks.append(PlannedStack(view, planes, 8.0, cine=False))
        return tuple(stacks)
