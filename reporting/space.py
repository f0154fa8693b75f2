"""The planes of an exam as they lie in the patient, drawn in three dimensions.

Rectangles in LPS mm, seen from far away (a parallel projection), so that a plane's image is
laid on it by one affine map. The first look is drawn here, for paper and for browsers without
scripts, from where the plane seen most edge-on is seen best; `space.js` turns it with the same two
angles and the same equations:

    turn about the feet-head axis     x' = x cos t + y sin t,   y' = -x sin t + y cos t
    tilt about the line of the eyes   up = z cos e + y' sin e,  near = z sin e - y' cos e

with t the turn and e the elevation of the eye; the screen shows (x', -up).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomgeom.lines import lines_between
from dicomgeom.plane import ImagePlane
from reporting.space_pieces import UNIT_SQUARE, Piece, cut_up, painted_order

TURNS_DEG, ELEVATIONS_DEG = range(-70, 71, 5), (15, 25, 35)
"""First looks that are tried: from the patient's front and a little from above."""

RADIUS = 100.0
"""Half the drawing's width, in its own units."""

AXES = (("L", (1.0, 0.0, 0.0)), ("P", (0.0, 1.0, 0.0)), ("S", (0.0, 0.0, 1.0)))
"""DICOM's patient coordinates grow to the left, to the back and to the head (superior)."""

AXIS_LENGTH = 16.0
AXES_AT = (-RADIUS + 22.0, RADIUS - 22.0)
"""Where the axes stand on the screen."""

MOST_PLANES = 80
"""Rectangles drawn; of larger exams only the first, central and last plane of each stack."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """Where the eye stands, degrees: turn 0 in front of the patient, 90 at the left; elevation 90 above."""

    turn: float
    elevation: float


@dataclass(frozen=True, eq=False)
class StackPlanes:
    """A stack to be drawn: all its planes, and which is the central one."""

    name: str
    view: str
    colour: str
    told: str
    planes: tuple[ImagePlane, ...]
    central: int
    png: str = ""


@dataclass(frozen=True)
class Sheet:
    """One rectangle: its corners in the drawing's units, four points one after another."""

    stack: str
    colour: str
    told: str
    corners: str
    points: str
    central: bool
    matrix: str


@dataclass(frozen=True)
class Patch:
    """A piece of a central plane's image: `outline` in fractions of the image, empty for the whole of it."""

    number: int
    stack: str
    colour: str
    told: str
    png: str
    outline: str
    matrix: str


@dataclass(frozen=True)
class Crossing:
    """Where two central planes cross: both ends in the drawing's units, and on the screen."""

    told: str
    ends: str
    screen: tuple[float, float, float, float]
    stacks: str


@dataclass(frozen=True)
class Axis:
    """One direction of the patient, from `AXES_AT`."""

    name: str
    direction: str
    screen: tuple[float, float]


@dataclass(frozen=True)
class SpaceStack:
    """What the legend says of a stack."""

    name: str
    view: str
    colour: str
    told: str


@dataclass(frozen=True)
class Space:
    """What the template draws."""

    patches: tuple[Patch, ...]
    tree: str
    sheets: tuple[Sheet, ...]
    crossings: tuple[Crossing, ...]
    axes: tuple[Axis, ...]
    stacks: tuple[SpaceStack, ...]
    told: str
    width_mm: float
    look: Look
    note: str = ""


def space_of(stacks: Sequence[StackPlanes], note: str = "") -> Space | None:
    """Draw stacks that share a frame of reference; None when there are none."""
    if not stacks:
        return None
    total = sum(len(stack.planes) for stack in stacks)
    if total > MOST_PLANES:
        note = f"{note} Of each stack the first, the central and the last plane are drawn.".strip()
    central = [stack.planes[stack.central] for stack in stacks]
    corners = np.concatenate([plane.corners_mm for plane in central])
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    reach_mm = float(np.linalg.norm(corners - middle, axis=1).max())
    scale = RADIUS / reach_mm
    look = best_look(np.array([plane.normal for plane in central]))
    sheets = [
        _sheet(stack, place, scale * (plane.corners_mm - middle), look)
        for stack in stacks
        for place, plane in enumerate(stack.planes)
        if total <= MOST_PLANES or place in (0, stack.central, len(stack.planes) - 1)
    ]
    pieces, tree = cut_up([scale * (plane.corners_mm - middle) for plane in central])
    order = list(painted_order(tree, towards_eye(look))) or range(len(pieces))
    own = [sheet for sheet in sheets if sheet.central]
    return Space(
        patches=tuple(_patch(number, pieces[number], stacks, own) for number in order),
        tree="" if tree is None else json.dumps(tree.as_lists(), separators=(",", ":")),
        sheets=tuple(sheets),
        crossings=tuple(_crossings(stacks, central, middle, scale, look)),
        axes=tuple(_axes(look)),
        stacks=tuple(SpaceStack(one.name, one.view, one.colour, one.told) for one in stacks),
        told="; ".join(one.told for one in stacks),
        width_mm=2 * reach_mm,
        look=look,
        note=note,
    )


def projected(points: Floats, look: Look) -> Floats:
    """Points (..., 3) in LPS as (right, down, near) on the screen: the equations above."""
    turn, eye = math.radians(look.turn), math.radians(look.elevation)
    x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    across = x * math.cos(turn) + y * math.sin(turn)
    back = -x * math.sin(turn) + y * math.cos(turn)
    up = z * math.cos(eye) + back * math.sin(eye)
    near = z * math.sin(eye) - back * math.cos(eye)
    return np.stack([across, -up, near], axis=-1)


def towards_eye(look: Look) -> Floats:
    """Direction (3,) in LPS from the patient to the eye."""
    turn, eye = math.radians(look.turn), math.radians(look.elevation)
    return np.array([math.sin(turn) * math.cos(eye), -math.cos(turn) * math.cos(eye), math.sin(eye)])


def best_look(normals: Floats) -> Look:
    """Find the first look from which the plane that is seen most edge-on is seen best; normals (n, 3)."""
    looks = [Look(turn, elevation) for elevation in ELEVATIONS_DEG for turn in TURNS_DEG]
    return max(looks, key=lambda look: float(np.abs(projected(normals, look)[:, 2]).min()))


def crossing_ends(plane: ImagePlane, partner: ImagePlane) -> Floats | None:
    """Ends (2, 3), mm, of what two image rectangles have in common; None where they don't cross."""
    a, b, c = lines_between([plane], [partner]).coefficients[0, 0]
    if math.isnan(a):
        return None
    foot = plane.to_patient([-a * c, -b * c])
    along = plane.to_patient([-a * c - b, -b * c + a]) - foot
    low, high = -math.inf, math.inf
    for one in (plane, partner):
        start, step = one.to_pixel(foot), one.to_pixel(foot + along) - one.to_pixel(foot)
        for axis, size in enumerate((one.columns, one.rows)):
            if abs(step[axis]) < 1e-9:
                if not -0.5 <= start[axis] <= size - 0.5:
                    return None
                continue
            ends = sorted((edge - start[axis]) / step[axis] for edge in (-0.5, size - 0.5))
            low, high = max(low, ends[0]), min(high, ends[1])
    if not low < high:
        return None
    return np.array([foot + low * along, foot + high * along])


def _sheet(stack: StackPlanes, place: int, corners: Floats, look: Look) -> Sheet:
    screen = projected(corners, look)[:, :2]
    first, right, down = screen[0], screen[1] - screen[0], screen[3] - screen[0]
    return Sheet(
        stack=stack.name,
        colour=stack.colour,
        told=f"{stack.told}, slice {place + 1} of {len(stack.planes)}",
        corners=_spelled(corners.ravel()),
        points=_spelled(screen.ravel()),
        central=place == stack.central,
        matrix=_spelled(np.concatenate([right, down, first])),
    )


def _patch(number: int, piece: Piece, stacks: Sequence[StackPlanes], own: Sequence[Sheet]) -> Patch:
    stack, sheet = stacks[piece.sheet], own[piece.sheet]
    whole = np.array_equal(piece.outline, UNIT_SQUARE)
    return Patch(
        number=number,
        stack=stack.name,
        colour=stack.colour,
        told=sheet.told,
        png=stack.png,
        outline="" if whole else " ".join(f"{value:.4f}" for value in piece.outline.ravel().tolist()),
        matrix=sheet.matrix,
    )


def _crossings(
    stacks: Sequence[StackPlanes], central: Sequence[ImagePlane], middle: Floats, scale: float, look: Look
) -> list[Crossing]:
    found = []
    for first in range(len(stacks)):
        for second in range(first + 1, len(stacks)):
            ends_mm = crossing_ends(central[first], central[second])
            if ends_mm is None or stacks[first].view == stacks[second].view:
                continue
            ends = scale * (ends_mm - middle)
            (x1, y1), (x2, y2) = projected(ends, look)[:, :2].round(2).tolist()
            one, other = stacks[first], stacks[second]
            told = f"{one.view} (stack {one.name}) crosses {other.view} (stack {other.name})"
            found.append(Crossing(told, _spelled(ends.ravel()), (x1, y1, x2, y2), f"{one.name} {other.name}"))
    return found


def _axes(look: Look) -> list[Axis]:
    return [
        Axis(name, _spelled(np.array(direction)), (float(x), float(y)))
        for name, direction in AXES
        for x, y in [projected(AXIS_LENGTH * np.array(direction), look)[:2].round(2)]
    ]


def _spelled(values: Floats) -> str:
    return " ".join(f"{value:.2f}".rstrip("0").rstrip(".") for value in values.tolist())
