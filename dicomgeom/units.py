"""Within one series: images of one contrast and one orientation, sorted into planes.

Whatever a series holds (a scout and a short-axis stack under one UID, three orientations,
several echoes), each `Unit` taken from it holds parallel planes of one kind.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from dicomgeom.catalogue import plane_of
from dicomgeom.cine import PhaseOrder, is_one_beat, order_phases
from dicomgeom.plane import Floats

Row = Mapping[str, Any]

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

FLIP_ANGLE_TOLERANCE_DEG: Final = 3.0
"""Flip angles of one contrast differ by less (limits on absorbed power lower some slices)."""


@dataclass(frozen=True)
class FrameChoice:
    """The frame of reference images are compared in; `reason` says why it had to be assumed."""

    key: str
    uid: str
    reason: str = ""

    @property
    def assumed(self) -> bool:
        return bool(self.reason)


@dataclass
class Unit:
    """Images of one series, one contrast and one orientation, sorted into planes."""

    rows: Sequence[Row]
    frame: FrameChoice
    contrast: tuple[Any, ...]
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

    @property
    def centre_mm(self) -> Floats:
        centres = np.array([plane_of(self.rows[plane[0]]).centre_mm for plane in self.planes])
        return np.asarray(centres.mean(axis=0))


def units_of(rows: Sequence[Row], *, strict_frames: bool = False) -> list[Unit]:
    """Sort the images of one study into units, series by series."""
    frames = _frames(rows, strict_frames)
    contrasts = _contrasts(rows)
    return [
        unit
        for group in _series_groups(rows, frames, contrasts)
        for unit in _units(rows, group, frames, contrasts)
    ]


def _frames(rows: Sequence[Row], strict: bool) -> list[FrameChoice]:
    """See through frames of reference that de-identification replaced or removed."""
    by_series: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        by_series[row["series_instance_uid"]].append(i)
    choices: list[FrameChoice] = [FrameChoice("", "")] * len(rows)
    for series, members in by_series.items():
        stated = {rows[i]["frame_of_reference"] for i in members}
        files = {(rows[i]["root"], rows[i]["path"]) for i in members}
        one_for_each = len(stated) >= 3 and len(stated) >= len(files) / 2
        for i in members:
            uid = rows[i]["frame_of_reference"]
            if uid and not one_for_each:
                choices[i] = FrameChoice(key=f"stated:{uid}", uid=uid)
                continue
            reason = (
                "every file of the series has a frame of reference of its own"
                if uid
                else "no frame of reference stated"
            )
            key = f"assumed:{series if strict else rows[i]['study_instance_uid']}"
            choices[i] = FrameChoice(key=key, uid="", reason=reason)
    return choices


def _contrasts(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """What tells contrasts apart, numbers replaced by the mean of the cluster they fall into."""
    columns: list[list[Any]] = [[row["sequence"] for row in rows], [row["contrast_kind"] for row in rows]]
    for name, tolerance in RELATIVE_TOLERANCE.items():
        columns.append(_clustered([row[name] or None for row in rows], tolerance, relative=True))
    columns.append(
        _clustered([row["flip_angle_deg"] for row in rows], FLIP_ANGLE_TOLERANCE_DEG, relative=False)
    )
    columns.append([row["b_value"] for row in rows])
    return list(zip(*columns, strict=True))


def _clustered(values: Sequence[float | None], tolerance: float, *, relative: bool) -> list[float | None]:
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
    rows: Sequence[Row], frames: Sequence[FrameChoice], contrasts: Sequence[tuple[Any, ...]]
) -> Iterator[list[int]]:
    """Images of one series, frame, contrast and grid."""
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        groups[row["series_instance_uid"], frames[i].key, contrasts[i], grid_of(row), row["role"]].append(i)
    yield from groups.values()


def grid_of(row: Row) -> tuple[Any, ...]:
    """Size and spacing of an image: images of one stack share them."""
    return row["rows"], row["columns"], round(row["row_spacing_mm"], 3), round(row["column_spacing_mm"], 3)


def _units(
    rows: Sequence[Row],
    group: Sequence[int],
    frames: Sequence[FrameChoice],
    contrasts: Sequence[tuple[Any, ...]],
) -> list[Unit]:
    """Split a group of one series by orientation, and each part into planes."""
    units = []
    for members in _by_orientation(rows, group):
        axes = plane_of(rows[members[0]])
        position = np.array([np.dot(rows[i]["origin_mm"], axes.normal) for i in members])
        planes, positions_mm = _by_position(members, position)
        order = order_phases(rows, planes)
        units.append(
            Unit(
                rows,
                frames[members[0]],
                contrasts[members[0]],
                axes.normal,
                axes.right,
                order.planes,
                positions_mm,
                order,
            )
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
    for i in sorted(group, key=lambda i: (rows[i]["sop_instance_uid"], rows[i]["frame"])):
        right = np.asarray(rows[i]["right"])
        normal = np.cross(right, rows[i]["down"])
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


def _kind(unit: Unit) -> str:
    stated = str(unit.first["contrast_kind"])
    if stated:
        return stated
    if unit.n_phases == 1:
        return "static"
    return "cine" if is_one_beat(unit.rows, unit.order) else "dynamic"
