"""Where one image plane cuts another.

A partner plane cuts an image along a straight line. In the image's own pixels that line
is a*x + b*y + c = 0 with a^2 + b^2 = 1 (x column, y row), so that abs(a*x + b*y + c) is
the distance of pixel (x, y) from it, in pixels. The sign is canonical: a > 0, or a = 0
and b > 0.

The coefficients come from one fact: the signed distance from the partner plane is an
affine function of the pixel, and the line is where it vanishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from dicomgeom.errors import GeometryError
from dicomgeom.plane import UNIT_TOLERANCE, Floats, ImagePlane

PARALLEL_TOLERANCE_DEG = 0.1
"""Planes that meet at a smaller angle have no line: rounded cosines alone give 0.02 degrees."""


@dataclass(frozen=True, eq=False)
class PatientLine:
    """A straight line in the patient: `point_mm` (foot of LPS' origin) and unit `direction`, both (3,)."""

    point_mm: Floats
    direction: Floats


@dataclass(frozen=True)
class ImageLine:
    """The line a*x + b*y + c = 0 in an image's pixels, a^2 + b^2 = 1, canonical sign."""

    a: float
    b: float
    c: float

    def __post_init__(self) -> None:
        if not abs(np.hypot(self.a, self.b) - 1) <= UNIT_TOLERANCE:
            raise GeometryError(f"a^2 + b^2 must be 1, found {self.a**2 + self.b**2:.6g}")

    def distance_px(self, points_px: ArrayLike) -> Floats:
        """Signed distance of (column, row) points, shape (..., 2), in pixels."""
        points = np.asarray(points_px, dtype=np.float64)
        return np.asarray(points @ np.array([self.a, self.b]) + self.c)

    def clipped(self, columns: int, rows: int) -> Floats | None:
        """The part on the image's pixels as two (column, row) ends, shape (2, 2), or None."""
        ends = clip_lines(np.array([[self.a, self.b, self.c]]), columns, rows)[0]
        return None if np.isnan(ends).any() else ends


@dataclass(frozen=True, eq=False)
class LineTable:
    """All pairs of n image planes and m partner planes.

    `coefficients` (n, m, 3): a, b, c in the image's pixels, NaN where parallel;
    `angle_deg` (n, m): dihedral angle, 0 to 90; `crosses` (n, m): whether the common
    line passes through both images at one place.
    """

    coefficients: Floats
    angle_deg: Floats
    crosses: NDArray[np.bool_]


def canonical_sign(coefficients: ArrayLike) -> Floats:
    """Lines (..., 3) with a > 0, or a = 0 and b > 0: one line, one triple."""
    lines = np.asarray(coefficients, dtype=np.float64)
    a, b = lines[..., 0], lines[..., 1]
    negative = (a < 0) | ((a == 0) & (b < 0))
    return np.where(negative[..., None], -lines, lines)


def dihedral_deg(normals: ArrayLike, partner_normals: ArrayLike) -> Floats:
    """Angle between planes with unit normals (n, 3) and (m, 3): shape (n, m), 0 to 90 degrees.

    By arctangent, which keeps its precision for planes that are nearly parallel.
    """
    first = np.asarray(normals, dtype=np.float64)[:, None, :]
    second = np.asarray(partner_normals, dtype=np.float64)[None, :, :]
    sine = np.linalg.norm(np.cross(first, second), axis=-1)
    cosine = np.abs((first * second).sum(axis=-1))
    return np.asarray(np.degrees(np.arctan2(sine, cosine)))


def intersect(plane: ImagePlane, partner: ImagePlane) -> PatientLine | None:
    """The line that two planes share, or None when they are parallel.

    Planes are endless here: whether the line passes through the images is another
    question (`LineTable.crosses`). The caller answers for the frame of reference.
    """
    if dihedral_deg([plane.normal], [partner.normal])[0, 0] < PARALLEL_TOLERANCE_DEG:
        return None
    direction = np.cross(plane.normal, partner.normal)
    direction /= np.linalg.norm(direction)
    # The first component that is not negligible is made positive: equal from either side.
    leading = direction[np.abs(direction) > UNIT_TOLERANCE][0]
    direction *= np.sign(leading)
    offsets = np.array([plane.normal @ plane.origin_mm, partner.normal @ partner.origin_mm, 0.0])
    point = np.linalg.solve(np.array([plane.normal, partner.normal, direction]), offsets)
    return PatientLine(point_mm=point, direction=direction)


def image_line(plane: ImagePlane, partner: ImagePlane) -> ImageLine | None:
    """The line along which `partner` cuts the image of `plane`, or None when parallel."""
    table = lines_between([plane], [partner])
    a, b, c = table.coefficients[0, 0]
    return None if np.isnan(a) else ImageLine(float(a), float(b), float(c))


def lines_between(planes: Sequence[ImagePlane], partners: Sequence[ImagePlane]) -> LineTable:
    """Cut every one of n images with every one of m partner planes at once."""
    normals = np.array([p.normal for p in planes]).reshape(-1, 3)
    partner_normals = np.array([p.normal for p in partners]).reshape(-1, 3)
    angle = dihedral_deg(normals, partner_normals)
    coefficients = _coefficients(planes, partners)
    coefficients[angle < PARALLEL_TOLERANCE_DEG] = np.nan
    return LineTable(coefficients, angle, _crosses(planes, partners, coefficients))


def _coefficients(planes: Sequence[ImagePlane], partners: Sequence[ImagePlane]) -> Floats:
    """Distance from each partner as an affine function of each image's pixel, normalised."""
    lines = np.full((len(planes), len(partners), 3), np.nan)
    if not planes or not partners:
        return lines
    matrices = np.array([p.patient_from_pixel for p in planes])
    normals = np.array([p.normal for p in partners])
    offsets = np.array([p.normal @ p.origin_mm for p in partners])
    lines[..., :2] = np.einsum("nij,mi->nmj", matrices[:, :3, :2], normals)
    lines[..., 2] = matrices[:, :3, 3] @ normals.T - offsets
    with np.errstate(divide="ignore", invalid="ignore"):
        lines /= np.linalg.norm(lines[..., :2], axis=-1, keepdims=True)
    return canonical_sign(lines)


def clip_lines(coefficients: Floats, columns: ArrayLike, rows: ArrayLike) -> Floats:
    """Clip lines (k, 3) to images of `columns` x `rows` pixels: ends (k, 2, 2), NaN where outside."""
    lines = np.asarray(coefficients, dtype=np.float64).reshape(-1, 3)
    size = np.stack(np.broadcast_arrays(columns, rows, lines[:, 0])[:2], axis=-1).astype(np.float64)
    known = ~np.isnan(lines).any(axis=-1)
    ends = np.full((len(lines), 2, 2), np.nan)
    if not known.any():
        return ends
    a, b, c = lines[known].T
    middle = (size[known] - 1) / 2
    reach = np.linalg.norm(size[known], axis=-1)[:, None]
    foot = middle - np.stack([a, b], axis=-1) * (a * middle[:, 0] + b * middle[:, 1] + c)[:, None]
    along = np.stack([-b, a], axis=-1) * reach
    segments = shapely.linestrings(np.stack([foot - along, foot + along], axis=1))
    images = shapely.box(-0.5, -0.5, size[known, 0] - 0.5, size[known, 1] - 0.5)
    parts = shapely.intersection(segments, images)
    inside = (shapely.get_type_id(parts) == shapely.GeometryType.LINESTRING) & ~shapely.is_empty(parts)
    places = np.flatnonzero(known)[inside]
    if len(places):
        ends[places] = shapely.get_coordinates(parts[inside]).reshape(-1, 2, 2)
    return ends


def _crosses(
    planes: Sequence[ImagePlane], partners: Sequence[ImagePlane], coefficients: Floats
) -> NDArray[np.bool_]:
    """Whether the part of each line that lies on the image also lies on the partner's image."""
    n, m = coefficients.shape[:2]
    if not (n and m):
        return np.zeros((n, m), dtype=bool)
    columns = np.repeat([p.columns for p in planes], m)
    rows = np.repeat([p.rows for p in planes], m)
    ends_px = clip_lines(coefficients.reshape(-1, 3), columns, rows).reshape(n, m, 2, 2)
    matrices = np.array([p.patient_from_pixel for p in planes])
    ends_mm = np.einsum("nij,nmej->nmei", matrices[:, :3, :2], ends_px)
    ends_mm += matrices[:, None, None, :3, 3]
    inverse = np.array([p.pixel_from_patient for p in partners])
    on_partner = np.einsum("mij,nmej->nmei", inverse[:, :2, :3], ends_mm) + inverse[None, :, None, :2, 3]
    crosses = np.zeros((n, m), dtype=bool)
    cut = ~np.isnan(on_partner).any(axis=(-1, -2))
    if cut.any():
        width = np.broadcast_to([p.columns for p in partners], (n, m))[cut]
        height = np.broadcast_to([p.rows for p in partners], (n, m))[cut]
        images = shapely.box(-0.5, -0.5, width - 0.5, height - 0.5)
        crosses[cut] = shapely.intersects(shapely.linestrings(on_partner[cut]), images)
    return crosses
