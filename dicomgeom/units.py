"""Within one series: images of one contrast and one orientation, sorted into planes.

Whatever a series holds (a scout and a short-axis stack under one UID, three orientations,
several echoes), each `Unit` taken from it holds parallel planes of one kind.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from dicomgeom.cine import PhaseOrder, is_one_beat, order_phases
from dicomgeom.frames import FrameChoice, Row, choose_frames
from dicomgeom.plane import Floats
from dicomgeom.row_planes import centres_mm, plane_of

PARALLEL_TOLERANCE_DEG: Final = 1.0
"""Planes of one stack differ by less; a spine stack that tilts per disc level differs by more."""

IN_PLANE_TOLERANCE_DEG: Final = 5.0
"""How far the rows of a stack's images may be turned against each other in the plane."""

SAME_PLANE_MM: Final = 0.1
"""Images whose planes lie closer along the normal were taken at one plane."""

LOCALIZER_SPREAD_DEG: Final = 30.0
"""Static images of one series whose orientations differ by more are a localizer."""

RELATIVE_TOLERANCE: Final = {"echo_time_ms": 0.03, "repetition_time_ms": 0.08, "inversion_time_ms": 0.10}
"""TE, TR and TI of one contrast differ by less: TR and TI follow the heart rate a little."""

RECOVERY_RATIO: Final = 1.5
"""Inversion times at one plane that differ by more were meant to: TI of one contrast hardly changes."""

SPACING_TOLERANCE: Final = 1e-3
"""Pixel spacings of one grid differ by less: they are rounded, and hardly any are chosen so close."""

FLIP_ANGLE_TOLERANCE_DEG: Final = 3.0
"""Flip angles of one contrast differ by less (limits on absorbed power lower some slices)."""


class Contrast(NamedTuple):
    """What tells one contrast from another; numbers stand for the cluster they fall into."""

    sequence: str
    kind: str
    echo_time_ms: float | None
    repetition_time_ms: float | None
    inversion_time_ms: float | None
    flip_angle_deg: float | None
    b_value: float | None


Grid = tuple[Any, ...]
"""Rows, columns, and the spacings between them."""


@dataclass
class Unit:
    """Images of one series, one contrast and one orientation, sorted into planes."""

    rows: Sequence[Row]
    frame: FrameChoice
    contrast: Contrast
    grid: Grid
    normal: Floats
    right: Floats
    planes: list[list[int]]
    positions_mm: Floats
    order: PhaseOrder
    kind: str = ""

    @property
    def first(self) -> Row:
        return self.rows[self.planes[0][0]]

    @property
    def members(self) -> list[int]:
        return [i for plane in self.planes for i in plane]

    @property
    def n_phases(self) -> int:
        return max(len(plane) for plane in self.planes)

    @property
    def complete(self) -> bool:
        return len({len(plane) for plane in self.planes}) == 1

    @property
    def spacing_mm(self) -> float:
        return float(np.median(np.diff(self.positions_mm))) if len(self.planes) > 1 else 0.0

    @property
    def acquired_at(self) -> datetime:
        return max((self.rows[i]["acquired_at"] or datetime.min for i in self.members), default=datetime.min)

    @cached_property
    def centres_mm(self) -> Floats:
        """Middle of the first image of each plane, shape (n, 3)."""
        return centres_mm([self.rows[plane[0]] for plane in self.planes])

    @property
    def centre_mm(self) -> Floats:
        return np.asarray(self.centres_mm.mean(axis=0))


def units_of(rows: Sequence[Row], *, strict_frames: bool = False) -> list[Unit]:
    """Sort the images of one study into units, series by series."""
    frames = choose_frames(rows, strict=strict_frames)
    kinds = list(zip(frames, _contrasts(rows), _grids(rows), strict=True))
    units = [unit for group in _series_groups(rows, kinds) for unit in _units(rows, group, *kinds[group[0]])]
    _tell_flow(units)
    return units


def _contrasts(rows: Sequence[Row]) -> list[Contrast]:
    """What tells contrasts apart, numbers replaced by the mean of the cluster they fall into."""
    echo, repetition, inversion = (
        clustered([row[name] or None for row in rows], tolerance, relative=True)
        for name, tolerance in RELATIVE_TOLERANCE.items()
    )
    flip = clustered([row["flip_angle_deg"] for row in rows], FLIP_ANGLE_TOLERANCE_DEG, relative=False)
    return [
        Contrast(
            row["sequence"],
            row["contrast_kind"],
            echo_time_ms=echo[i],
            repetition_time_ms=repetition[i],
            inversion_time_ms=inversion[i],
            flip_angle_deg=flip[i],
            b_value=row["b_value"],
        )
        for i, row in enumerate(rows)
    ]


def _grids(rows: Sequence[Row]) -> list[Grid]:
    """Sizes and spacings of images, spacings replaced by the mean of their cluster."""
    spacings = [
        clustered([row[name] for row in rows], SPACING_TOLERANCE, relative=True)
        for name in ("row_spacing_mm", "column_spacing_mm")
    ]
    return [(row["rows"], row["columns"], *spacing) for row, *spacing in zip(rows, *spacings, strict=True)]


def clustered(values: Sequence[float | None], tolerance: float, *, relative: bool) -> list[float | None]:
    """Replace each value by its cluster's mean; a gap above the tolerance starts a new cluster."""
    distinct = sorted({v for v in values if v is not None})
    means: dict[float, float] = {}
    cluster: list[float] = []
    for value, following in itertools.pairwise([*distinct, float("inf")]):
        cluster.append(value)
        if following - value > tolerance * (value if relative else 1.0):
            means.update(dict.fromkeys(cluster, round(sum(cluster) / len(cluster), 3)))
            cluster = []
    return [None if v is None else means[v] for v in values]


def _series_groups(
    rows: Sequence[Row], kinds: Sequence[tuple[FrameChoice, Contrast, Grid]]
) -> Iterator[list[int]]:
    """Images of one series, frame, contrast and grid."""
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, (row, (frame, contrast, grid)) in enumerate(zip(rows, kinds, strict=True)):
        groups[row["series_instance_uid"], frame.key, contrast, grid, row["role"]].append(i)
    yield from groups.values()


def _units(
    rows: Sequence[Row], group: Sequence[int], frame: FrameChoice, contrast: Contrast, grid: Grid
) -> list[Unit]:
    """Split a group of one series by orientation, and each part into planes."""
    units = []
    for members in _by_orientation(rows, group):
        axes = plane_of(rows[members[0]])
        position = centres_mm([rows[i] for i in members]) @ axes.normal
        planes, positions_mm = _by_position(members, position)
        order = order_phases(rows, planes)
        units.append(
            Unit(rows, frame, contrast, grid, axes.normal, axes.right, order.planes, positions_mm, order)
        )
    localizer = rows[group[0]]["role"] == "localizer" or _is_localizer(units)
    for unit in units:
        unit.kind = _kind(unit)
        if localizer and unit.kind in ("static", "dynamic"):  # a cine that is called so is not one
            unit.kind = "localizer"
    return units


def _by_orientation(rows: Sequence[Row], group: Sequence[int]) -> list[list[int]]:
    normal_limit = np.cos(np.radians(PARALLEL_TOLERANCE_DEG))
    right_limit = np.cos(np.radians(IN_PLANE_TOLERANCE_DEG))
    clusters: list[tuple[Floats, Floats, list[int]]] = []
    ranked = sorted(group, key=lambda i: (rows[i]["sop_instance_uid"], rows[i]["frame"]))
    rights = np.array([rows[i]["right"] for i in ranked])
    normals = np.cross(rights, np.array([rows[i]["down"] for i in ranked]))
    for i, right, normal in zip(ranked, rights, normals, strict=True):
        for leading_normal, leading_right, members in clusters:
            if normal @ leading_normal >= normal_limit and right @ leading_right >= right_limit:
                members.append(i)
                break
        else:
            clusters.append((normal, right, [i]))
    return [members for _, _, members in clusters]


def _by_position(members: Sequence[int], position_mm: Floats) -> tuple[list[list[int]], Floats]:
    ranked = np.argsort(position_mm, kind="stable")
    starts = np.flatnonzero(np.diff(position_mm[ranked]) > SAME_PLANE_MM) + 1
    parts = np.split(ranked, starts)
    return [[members[i] for i in part] for part in parts], np.array(
        [position_mm[part].mean() for part in parts]
    )


def _is_localizer(units: Sequence[Unit]) -> bool:
    if any(unit.n_phases > 1 for unit in units):
        return False
    limit = np.cos(np.radians(LOCALIZER_SPREAD_DEG))
    normals = np.array([unit.normal for unit in units])
    return bool((np.abs(normals @ normals.T) < limit).any())


def _tell_flow(units: Sequence[Unit]) -> None:
    """Phase images over a heartbeat show flow, whatever their names; and so do their magnitudes."""
    beating = [unit for unit in units if is_one_beat(unit.rows, unit.order)]
    for flow in [unit for unit in beating if unit.kind in ("phase", "flow-phase")]:
        flow.kind = "flow-phase"
        for unit in units:
            if unit.kind == "cine" and _is_magnitude_of(unit, flow):
                unit.kind = "flow-magnitude"


def _is_magnitude_of(unit: Unit, flow: Unit) -> bool:
    """Whether two units were measured together: same timing and planes, the component apart.

    Scanners file them in one series or in two; no other cine shares echo time, flip angle and planes.
    """
    return (
        unit.frame.key == flow.frame.key
        and flow.contrast.sequence.startswith(unit.contrast.sequence)  # it may name its velocity behind
        and unit.contrast._replace(kind=flow.contrast.kind, sequence=flow.contrast.sequence) == flow.contrast
        and len(unit.positions_mm) == len(flow.positions_mm)
        and bool((np.abs(unit.positions_mm - flow.positions_mm) <= SAME_PLANE_MM).all())
        and bool(unit.normal @ flow.normal > np.cos(np.radians(PARALLEL_TOLERANCE_DEG)))
    )


def _kind(unit: Unit) -> str:
    stated = str(unit.first["contrast_kind"])
    if stated:
        return stated
    if unit.n_phases == 1:
        return "static"
    one_beat = is_one_beat(unit.rows, unit.order) and not _recovers(unit)
    return "cine" if one_beat else "dynamic"


def _recovers(unit: Unit) -> bool:
    """Whether the images of a plane differ in inversion time, as those of a scout for it (Look-Locker) do.

    Their inversion times follow each other so closely that they look like one contrast.
    """
    times_ms = [unit.rows[i]["inversion_time_ms"] for i in max(unit.planes, key=len)]
    stated_ms = [time_ms for time_ms in times_ms if time_ms]
    return bool(stated_ms) and max(stated_ms) > RECOVERY_RATIO * min(stated_ms)
