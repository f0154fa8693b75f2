"""Images -> stacks of parallel planes, by geometry and across series.

Within a series, images of one contrast and one orientation form a `Unit` (`units.py`).
Here units of different series join one stack when contrast, kind, grid and orientation
agree and their planes do not coincide: six one-slice cine series are one SAX stack,
while knee PD and T1 at the same places stay two. A unit that repeats planes already
covered becomes a stack of its own, superseded by the chosen one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from dicomgeom.frames import FrameChoice, Row
from dicomgeom.plane import Floats, ImagePlane
from dicomgeom.row_planes import centres_mm, plane_of
from dicomgeom.units import (
    IN_PLANE_TOLERANCE_DEG,
    PARALLEL_TOLERANCE_DEG,
    SAME_PLANE_MM,
    Unit,
    units_of,
)

BEATING_KINDS: Final = ("cine", "flow-magnitude", "flow-phase")

BEATING_TR_RATIO: Final = 1.5
"""Some makers state the temporal resolution of a cine as TR: it follows the heart rate and the segments."""

BEATING_FLIP_DEG: Final = 15.0
"""Limits on absorbed power lower the flip angle of some slices of a cine by up to so much."""

WHOLE_SHARE: Final = 0.8
"""An acquisition with a smaller share of the planes of another one at its place was broken off."""

REPEAT_TOLERANCE_MM: Final = 1.0
"""Planes of different series nearer than this show the same place: a repeat, not a neighbour."""

SAME_PLACE_MM: Final = 50.0
"""Stacks whose images are shifted further against each other in the plane show another place."""

LARGEST_JOIN_GAP_MM: Final = 30.0
"""Units further apart along the normal are not joined (left and right knee)."""

REGULAR_SPACING_FRACTION: Final = 0.05
"""Departures from the median spacing, as a fraction of it, up to which a stack is regular."""

GAP_FACTOR: Final = 1.75
"""A distance of neighbouring planes larger than this many usual ones means that a slice is missing."""

REGULAR_SHEAR_DEG: Final = 1.0
"""Angle between the normal and the line through the middles up to which a stack is not sheared."""


@dataclass
class Stack:
    """Parallel planes that belong together, ordered along `normal`; indices point into the study's rows."""

    stack_id: str
    rows: Sequence[Row]
    frame: FrameChoice
    kind: str
    contrast_key: str
    normal: Floats
    planes: list[list[int]]
    positions_mm: Floats
    phase_source: str
    superseded_by: str = ""
    reasons: list[str] = field(default_factory=list)

    def plane(self, slice_index: int) -> ImagePlane:
        """The plane of a slice (that of its first image)."""
        return plane_of(self.rows[self.planes[slice_index][0]])

    @property
    def members(self) -> list[int]:
        return [i for plane in self.planes for i in plane]

    @property
    def n_phases(self) -> int:
        return max(len(plane) for plane in self.planes)

    @property
    def central_slice(self) -> int:
        """The slice nearest the median position; of two, the one earlier along the normal (the basal one)."""
        distance = np.abs(self.positions_mm - np.median(self.positions_mm))
        return int(np.flatnonzero(distance <= distance.min() + SAME_PLANE_MM)[0])

    def texts(self) -> list[str]:
        """Distinct series descriptions and protocol names."""
        found = {self.rows[i][name] for i in self.members for name in ("series_description", "protocol_name")}
        return sorted(text for text in found if text)

    def reverse(self) -> None:
        """Turn the stack round, so that slices count the other way."""
        self.normal = -self.normal
        self.planes.reverse()
        self.positions_mm = -self.positions_mm[::-1]


def build_stacks(rows: Sequence[Row], *, strict_frames: bool = False) -> list[Stack]:
    """Sort the images of one study into stacks.

    Parameters
    ----------
    rows
        Rows of the images table of one study (role original or localizer, no copies).
    strict_frames
        Do not see through missing or per-file frames of reference across series.
    """
    names = _names(rows)
    units = units_of(rows, strict_frames=strict_frames)
    stacks = [stack for alike in _alike(units) for stack in _join(alike, names)]
    return sorted(stacks, key=lambda stack: stack.stack_id)


def _names(rows: Sequence[Row]) -> list[str]:
    """What tells each image from all others: its UID, its path where it has none of its own, and whose it is.

    One study may be filed under two patients. The patient stands for the hash of its key, which has no salt.
    """
    uids = [f"{row['sop_instance_uid']}#{row['frame']}" for row in rows]
    times = Counter(uids)
    return [
        f"{uid if row['sop_instance_uid'] and times[uid] == 1 else (row['root'], row['path'], row['frame'])}"
        f" of {row['split_position']!r}"
        for row, uid in zip(rows, uids, strict=True)
    ]


def _alike(units: Sequence[Unit]) -> list[list[Unit]]:
    """Groups of units that could be parts or repeats of one stack."""
    groups: list[list[Unit]] = []
    for unit in sorted(units, key=_preference, reverse=True):
        for group in groups:
            if _agree(unit, group[0]):
                group.append(unit)
                break
        else:
            groups.append([unit])
    return groups


def _preference(unit: Unit) -> tuple[Any, ...]:
    """Latest complete acquisition first: time, then series number, then a recorded tie (the UID)."""
    first = unit.first
    return (
        unit.complete,
        unit.acquired_at,
        first["series_number"] or 0,
        first["series_instance_uid"],
        first["sop_instance_uid"],
    )


def _agree(unit: Unit, other: Unit) -> bool:
    if (unit.frame.key, unit.kind, unit.grid) != (other.frame.key, other.kind, other.grid):
        return False
    if not _same_contrast(unit, other):
        return False
    if unit.normal @ other.normal < np.cos(np.radians(PARALLEL_TOLERANCE_DEG)):
        return False
    if unit.right @ other.right < np.cos(np.radians(IN_PLANE_TOLERANCE_DEG)):
        return False
    shift = unit.centre_mm - other.centre_mm
    return bool(np.linalg.norm(shift - (shift @ other.normal) * other.normal) <= SAME_PLACE_MM)


def _same_contrast(unit: Unit, other: Unit) -> bool:
    """Whether contrasts agree; in a beating heart TR and flip angle may differ from slice to slice."""
    if unit.contrast == other.contrast:
        return True
    if unit.kind not in BEATING_KINDS:
        return False
    mine, theirs = unit.contrast, other.contrast
    alike = mine._replace(repetition_time_ms=theirs.repetition_time_ms, flip_angle_deg=theirs.flip_angle_deg)
    if alike != theirs or None in (mine.repetition_time_ms, theirs.repetition_time_ms):
        return False
    one, two = sorted((mine.repetition_time_ms or 0.0, theirs.repetition_time_ms or 0.0))
    turn_deg = abs((mine.flip_angle_deg or 0.0) - (theirs.flip_angle_deg or 0.0))
    return two <= BEATING_TR_RATIO * one and turn_deg <= BEATING_FLIP_DEG


def _join(units: Sequence[Unit], names: Sequence[str]) -> list[Stack]:
    """Units in order of preference -> stacks; what repeats planes already covered is superseded."""
    layers: list[list[Unit]] = []
    for unit in sorted(units, key=lambda unit: not _is_whole(unit, units)):  # stable: else as preferred
        for layer in layers:
            if not any(_coincide(unit, other) for other in layer):
                layer.append(unit)
                break
        else:
            layers.append([unit])
    stacks: list[Stack] = []
    for layer in layers:
        for part in _without_gaps(layer):
            stack = _stack(part, names)
            covering = [other for other in stacks if _repeats(stack, other)]
            if covering:
                stack.superseded_by = covering[0].stack_id
                stack.reasons.append("repeated")
                covering[0].reasons.append("chosen-of-repeats")
            stacks.append(stack)
    return stacks


def _is_whole(unit: Unit, units: Sequence[Unit]) -> bool:
    """Whether no other acquisition of the same place has many more planes: a repeat broken off has fewer."""
    most = max(len(other.planes) for other in units if other is unit or _coincide(unit, other))
    return len(unit.planes) >= WHOLE_SHARE * most


def _coincide(unit: Unit, other: Unit) -> bool:
    normal = other.normal
    first, second = unit.centres_mm @ normal, other.centres_mm @ normal
    return bool((np.abs(first[:, None] - second[None, :]) <= REPEAT_TOLERANCE_MM).any())


def _repeats(stack: Stack, other: Stack) -> bool:
    """Whether most planes of a stack lie on planes of another."""
    mine = centres_mm([stack.rows[plane[0]] for plane in stack.planes]) @ other.normal
    near = np.abs(mine[:, None] - other.positions_mm[None, :]).min(axis=1) <= REPEAT_TOLERANCE_MM
    return bool(near.mean() > 0.5)


def _without_gaps(layer: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Split units of a layer where the distance along the normal is too large for one stack."""
    normal = layer[0].normal
    ranked = sorted(layer, key=lambda unit: float(unit.centres_mm[0] @ normal))
    part = [ranked[0]]
    end = _extent(ranked[0], normal)[1]
    for unit in ranked[1:]:
        start, stop = _extent(unit, normal)
        if start - end > max(LARGEST_JOIN_GAP_MM, 2.5 * unit.spacing_mm):
            yield part
            part = []
        part.append(unit)
        end = max(end, stop)
    yield part


def _extent(unit: Unit, normal: Floats) -> tuple[float, float]:
    positions = unit.centres_mm @ normal
    return float(positions.min()), float(positions.max())


def _stack(units: Sequence[Unit], names: Sequence[str]) -> Stack:
    rows, normal = units[0].rows, units[0].normal
    planes = [plane for unit in units for plane in unit.planes]
    positions = centres_mm([rows[plane[0]] for plane in planes]) @ normal
    ranked = np.argsort(positions, kind="stable")
    sources = sorted({unit.order.source for unit in units})
    members = sorted(names[i] for plane in planes for i in plane)
    stack = Stack(
        stack_id="st-" + hashlib.sha256("\n".join(members).encode()).hexdigest()[:12],
        rows=rows,
        frame=units[0].frame,
        kind=units[0].kind,
        contrast_key="/".join("" if part is None else str(part) for part in units[0].contrast),
        normal=normal,
        planes=[planes[i] for i in ranked],
        positions_mm=positions[ranked],
        phase_source="+".join(sources),
    )
    stack.reasons.extend(_reasons(stack, joined=len(units) > 1))
    return stack


def _reasons(stack: Stack, *, joined: bool) -> Iterator[str]:
    """What a user should know of a stack, as words of `reasons.STACK_REASONS`."""
    evenness = regularity(stack)
    if joined:
        yield "joined"
    if stack.frame.assumed:
        yield stack.frame.reason
    if "" in stack.phase_source.split("+"):
        yield "phases-unordered"
    if len({len(plane) for plane in stack.planes}) > 1:
        yield "phases-uneven"
    if _has_gap(stack.positions_mm):
        yield "gap"
    if evenness.shear_deg > REGULAR_SHEAR_DEG:
        yield "sheared"


def _has_gap(positions_mm: Floats) -> bool:
    """Whether a distance is about twice the usual one, or more: unlike uneven spacing, a slice is missing."""
    if len(positions_mm) < 3:
        return False
    distances = np.diff(positions_mm)
    return bool((distances > GAP_FACTOR * np.median(distances)).any())


@dataclass(frozen=True)
class Regularity:
    """How evenly planes follow each other."""

    spacing_mm: float | None
    spacing_max_deviation_mm: float | None
    shear_deg: float
    regular: bool


def regularity(stack: Stack) -> Regularity:
    """Measure spacing and shear of a stack (names follow the Imaging Data Commons' volume geometry)."""
    if len(stack.planes) < 2:
        return Regularity(None, None, 0.0, regular=True)
    gaps = np.diff(stack.positions_mm)
    spacing = float(np.median(gaps))
    deviation = float(np.abs(gaps - spacing).max())
    along = stack.plane(len(stack.planes) - 1).centre_mm - stack.plane(0).centre_mm
    across = np.linalg.norm(along - (along @ stack.normal) * stack.normal)
    shear_deg = float(np.degrees(np.arctan2(across, abs(along @ stack.normal))))
    even = deviation <= REGULAR_SPACING_FRACTION * spacing
    return Regularity(spacing, deviation, shear_deg, bool(even and shear_deg <= REGULAR_SHEAR_DEG))
