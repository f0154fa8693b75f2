"""Where the heart lies in a study, told by the planes themselves, and which views they then are.

Nobody says where the heart's axis and the centre of the left ventricle are. So they are
unknowns: every direction the axis could have, and every place the LV centre could be, is
tried on a grid; each is as likely as the planes of the study are under it (each plane being
one of the views, missing it by an operator's error), and a plane's views are averaged over
all hearts with these weights. What follows without further rules: two long-axis planes
always cross, so their crossing says little; a third plane that passes by says much; a view
near the limit of two names has a low confidence; and all that is said by a study without a
short-axis stack is less sure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicomgeom.plane import Floats
from dicomgeom.view_names import BODY_VIEWS, LONG_AXIS_VIEWS

TOWARD_APEX: Final[Floats] = np.array([1.0, -1.0, -1.0]) / math.sqrt(3)
"""Typical direction from the base of the heart to its apex, LPS (7 to 17 degrees off in real exams)."""

ORTHOGONAL: Final[dict[str, Floats]] = {"SAG": np.eye(3)[0], "COR": np.eye(3)[1], "AX": np.eye(3)[2]}

WEIGHED: Final = ("SAX", *LONG_AXIS_VIEWS, *BODY_VIEWS, "OTHER")
"""Order of the views in every array here."""


@dataclass(frozen=True)
class LongAxisView:
    """Where a view lies: angle of its trace from projected patient-left; how far it passes the LV centre."""

    name: str
    angle_deg: float
    miss_mm: float


LONG_AXIS: Final = (
    LongAxisView("4CH", 8, 0),
    LongAxisView("2CH", 66, 0),
    LongAxisView("3CH", 129, 0),
    LongAxisView("RV2CH", 68, 38),
    LongAxisView("RVOT", 93, 27),
)
"""Measured on a real exam; a miss is positive toward patient-right, the RV's side."""

AXIS_SPREAD_DEG: Final = 14.0
"""The axis against `TOWARD_APEX`: patients differ, operators err."""

ODD_AXIS_SHARE: Final = 0.03
"""Hearts that point anywhere (mirrored, displaced), and headers that say so."""

LEFT_LIMIT: Final = 0.9
"""Along patient-left itself no axis is tried: round it, there is no left to count angles from."""

SAX_SPREAD_DEG: Final = 6.0
"""Normal of a short-axis stack against the axis of the long-axis planes."""

TILT_SPREAD_DEG: Final = 14.0
TURN_SPREAD_DEG: Final = 15.0
MISS_SPREAD_MM: Final = 10.0
"""Long-axis planes: out of the axis, round the axis, past the LV centre."""

BODY_SPREAD_DEG: Final = 5.0
"""Among cardiac images only planes very near a body axis are called by it."""

CENTRE_SPREAD_MM: Final = 30.0
"""The LV centre against the middle of the images."""

HEMISPHERE_DEG2: Final = 2 * math.pi * (180 / math.pi) ** 2
ROOM_MM: Final = 150.0
"""A plane of no cardiac view has any normal, and passes anywhere within this length."""

SHARES: Final = {
    "SAX": (0.09, 0.07, 0.74),
    **dict.fromkeys(("4CH", "2CH", "3CH"), (0.75, 0.03, 0.02)),
    **dict.fromkeys(("RV2CH", "RVOT"), (0.22, 0.01, 0.01)),
    "SAG": (0.01, 0.02, 0.05),
    "COR": (0.01, 0.02, 0.05),
    "AX": (0.02, 0.03, 0.12),
    "OTHER": (0.13, 0.02, 0.02),
}
"""How many places of a cardiac exam are of the view, with 1 or 2, 3 or 4, and more planes."""

STEP_DEG: Final = 10.0
CONE_DEG: Final = 45.0
STEP_MM: Final = 10.0
REACH_MM: Final = 60.0
"""Grids of axes and centres: finer than the spreads, so that sums are as good as integrals."""

TAKEN_SHARE: Final = 0.8
"""An exam seldom holds one view at two places; repeats at one place count once."""

ROUNDS: Final = 2
"""How often places tell each other what they are."""

KEPT_AXES: Final = 12
"""Axes for which centres are tried; the others are far less likely already."""


@dataclass(frozen=True)
class Place:
    """One plane, or parallel planes, of a study: normal, a point of the central plane, number of planes.

    `voices` is what is said of it, as log-likelihoods in the order of `WEIGHED` (descriptions,
    the user).
    """

    normal: Floats
    point_mm: Floats
    planes: int
    voices: Floats


@dataclass(frozen=True)
class Heart:
    """The likeliest heart: axis (unit, base to apex), LV centre and how sure that is."""

    axis: Floats
    centre_mm: Floats
    centre_spread_mm: float

    def trace_angle_deg(self, normal: Floats) -> float:
        """Angle of a long-axis plane's trace round the axis, from projected patient-left, 0 to 180."""
        return self.lies(normal, self.centre_mm)[0]

    def lies(self, normal: Floats, point_mm: Floats) -> tuple[float, float]:
        """Trace angle of a long-axis plane, and its miss of the LV centre, mm, positive at patient-right."""
        traces = _traces(np.asarray(normal)[None], self.axis[None])
        miss_mm = traces.facing_left[0, 0] @ (self.centre_mm - point_mm)
        return float(traces.angle_deg[0, 0]), float(miss_mm)


@dataclass(frozen=True)
class Weighed:
    """Probabilities of the views of each place, shape (places, views), and the likeliest heart.

    `apex_odds` has for each place the odds that the heart's axis runs along its normal
    rather than against it.
    """

    views: Floats
    heart: Heart
    apex_odds: Floats


@dataclass(frozen=True)
class _Traces:
    """Places against axes: all arrays start with (places, axes)."""

    angle_deg: Floats
    off_axis_deg: Floats
    facing_left: Floats


def weigh(places: Sequence[Place]) -> Weighed:
    """Probabilities of the views of all places of one study and frame of reference."""
    normals = np.array([place.normal for place in places])
    points = np.array([place.point_mm for place in places])
    axes, log_axes = _axes(places)
    traces = _traces(normals, axes)
    by_view = _by_direction(places, normals, traces)
    fit = log_axes + np.log(by_view.sum(axis=2)).sum(axis=0)
    kept = np.argsort(-fit, kind="stable")[:KEPT_AXES]
    axes, by_view, log_axes = axes[kept], by_view[:, kept], log_axes[kept]
    traces = _Traces(traces.angle_deg[:, kept], traces.off_axis_deg[:, kept], traces.facing_left[:, kept])
    centres = _centres(places, axes, by_view, points)
    near = _near(traces, points, centres)
    views, weights = _over_centres(by_view, near, log_axes)
    for _ in range(ROUNDS):
        views, weights = _over_centres(by_view * _not_taken(views)[:, None], near, log_axes)
    return Weighed(
        views=views,
        heart=_likeliest(axes, centres, weights),
        apex_odds=_apex_odds(normals, axes, weights.sum(axis=1)),
    )


@cache
def _cone() -> Floats:
    """Directions on a hexagonal grid round `TOWARD_APEX`, shape (n, 3)."""
    side = np.array([1.0, 1.0, 0.0]) / math.sqrt(2)
    other = np.cross(TOWARD_APEX, side)
    reach = math.ceil(CONE_DEG / STEP_DEG) + 1
    i, j = np.meshgrid(np.arange(-2 * reach, 2 * reach + 1), np.arange(-2 * reach, 2 * reach + 1))
    x = STEP_DEG * (i + 0.5 * j).ravel()
    y = STEP_DEG * (math.sqrt(0.75) * j).ravel()
    inside = np.hypot(x, y) <= CONE_DEG
    angle = np.radians(np.hypot(x, y)[inside])
    turn = np.arctan2(y, x)[inside]
    across = np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * other
    return np.asarray(np.cos(angle)[:, None] * TOWARD_APEX + np.sin(angle)[:, None] * across)


def _axes(places: Sequence[Place]) -> tuple[Floats, Floats]:
    """Axes to try and their log-probabilities before any plane is looked at.

    Beyond the usual cone only normals of stacks are tried, both ways.
    """
    odd = [
        sign * place.normal
        for place in places
        if place.planes >= 3 and abs(place.normal[0]) < LEFT_LIMIT
        for sign in (1, -1)
        if sign * place.normal @ TOWARD_APEX < math.cos(math.radians(CONE_DEG))
    ]
    axes = np.concatenate([_cone(), np.array(odd).reshape(-1, 3)])
    angle = np.degrees(np.arccos(np.clip(axes @ TOWARD_APEX, -1, 1)))
    usual = np.exp(-0.5 * (angle / AXIS_SPREAD_DEG) ** 2) / (2 * math.pi * AXIS_SPREAD_DEG**2)
    density = (1 - ODD_AXIS_SHARE) * usual + ODD_AXIS_SHARE / (2 * HEMISPHERE_DEG2)
    return axes, np.log(density)


def _lefts(axes: Floats) -> tuple[Floats, Floats]:
    """Patient-left projected across each axis, and axis x left; unit vectors, shape (n, 3)."""
    left = np.array([1.0, 0.0, 0.0]) - axes[:, :1] * axes
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    return left, np.cross(axes, left)


def _traces(normals: Floats, axes: Floats) -> _Traces:
    left, turn = _lefts(axes)
    # (n x axis) . left = n . (axis x left) = n . turn, and (n x axis) . turn = -n . left
    along, round_ = normals @ turn.T, -normals @ left.T
    angle = np.arctan2(round_, along)
    # The trace is taken along n x axis; where that lies in 0 to 180 degrees, n faces patient-right.
    facing = np.where((angle % (2 * np.pi) < np.pi)[..., None], -1.0, 1.0) * normals[:, None]
    off = np.degrees(np.arccos(np.clip(np.abs(normals @ axes.T), 0, 1)))
    return _Traces(np.degrees(angle) % 180, off, facing)


def _by_direction(places: Sequence[Place], normals: Floats, traces: _Traces) -> Floats:
    """Likelihood of each view from directions, numbers of planes and voices, (places, axes, views).

    Densities are per square degree of the normal and per mm of the plane's place.
    """
    columns = [_normal2(traces.off_axis_deg, SAX_SPREAD_DEG)]
    tilted = _normal1(90 - traces.off_axis_deg, TILT_SPREAD_DEG)
    for view in LONG_AXIS:
        turned = (traces.angle_deg - view.angle_deg + 90) % 180 - 90
        columns.append(tilted * _normal1(turned, TURN_SPREAD_DEG))
    for direction in ORTHOGONAL.values():
        off = np.degrees(np.arccos(np.clip(np.abs(normals @ direction), 0, 1)))
        columns.append(np.broadcast_to(_normal2(off, BODY_SPREAD_DEG)[:, None], tilted.shape))
    columns.append(np.full_like(tilted, 1 / HEMISPHERE_DEG2))
    spoken = np.array([_share(place.planes) * np.exp(place.voices) for place in places])
    return np.asarray(np.stack(columns, axis=2) / ROOM_MM * spoken[:, None, :] + 1e-300)


def _share(planes: int) -> Floats:
    size = 0 if planes <= 2 else 1 if planes <= 4 else 2
    return np.array([SHARES[view][size] for view in WEIGHED])


def _normal1(value: Floats, spread: float) -> Floats:
    return np.asarray(np.exp(-0.5 * (value / spread) ** 2) / (math.sqrt(2 * math.pi) * spread))


def _normal2(value: Floats, spread: float) -> Floats:
    return np.asarray(np.exp(-0.5 * (value / spread) ** 2) / (2 * math.pi * spread**2))


@cache
def _square() -> Floats:
    """Shifts across the axis, mm, shape (n, 2)."""
    steps = np.arange(-REACH_MM, REACH_MM + 1e-6, STEP_MM)
    return np.asarray(np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2))


def _centres(places: Sequence[Place], axes: Floats, by_view: Floats, points: Floats) -> Floats:
    """LV centres to try for each axis, (axes, centres, 3): across the axis at the level of the SAX stack.

    Without one, at the level of the images' mean.
    """
    share = by_view / by_view.sum(axis=2, keepdims=True)
    cardiac = share[:, :, : 1 + len(LONG_AXIS)].sum(axis=2) + 1e-6
    middle = np.einsum("pk,pc->kc", cardiac / cardiac.sum(axis=0), points)
    level = share[:, :, 0] ** 4 + 1e-4
    levels = np.einsum("pk,pc,kc->k", level / level.sum(axis=0), points, axes)
    middle += (levels - np.einsum("kc,kc->k", middle, axes))[:, None] * axes
    across = np.stack(_lefts(axes), axis=1)
    return np.asarray(middle[:, None] + np.einsum("gu,kuc->kgc", _square(), across))


def _near(traces: _Traces, points: Floats, centres: Floats) -> Floats:
    """Density of each plane's miss of each centre, (places, axes, centres, long-axis views), times room."""
    at_point = np.einsum("pkc,pc->pk", traces.facing_left, points)
    miss = np.einsum("pkc,kgc->pkg", traces.facing_left, centres) - at_point[:, :, None]
    by_miss = {
        mm: ROOM_MM * _normal1(miss - mm, MISS_SPREAD_MM) for mm in {view.miss_mm for view in LONG_AXIS}
    }
    return np.stack([by_miss[view.miss_mm] for view in LONG_AXIS], axis=3)


def _not_taken(views: Floats) -> Floats:
    """How much less likely a long-axis view is, the surer another place has it; (places, views)."""
    free = np.log1p(-TAKEN_SHARE * views)
    factor = np.exp(free.sum(axis=0) - free)
    factor[:, WEIGHED.index("SAX")] = 1.0
    factor[:, 1 + len(LONG_AXIS) :] = 1.0
    return np.asarray(factor)


def _over_centres(by_view: Floats, near: Floats, log_axes: Floats) -> tuple[Floats, Floats]:
    """Views of each place averaged over hearts, (places, views), and weights of hearts (axes, centres)."""
    lax = slice(1, 1 + len(LONG_AXIS))
    passing = by_view[:, :, None, lax] * near
    elsewhere = by_view[:, :, 0] + by_view[:, :, lax.stop :].sum(axis=2)
    total = passing.sum(axis=3) + elsewhere[:, :, None]
    prior = -0.5 * ((_square() / CENTRE_SPREAD_MM) ** 2).sum(axis=1)
    log_weights = log_axes[:, None] + prior + np.log(total).sum(axis=0)
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    shared = weights / total
    views = np.einsum("pkg,pkv->pv", shared, by_view)
    views[:, lax] = np.einsum("pkg,pkgv->pv", shared, passing)
    return views, weights


def _likeliest(axes: Floats, centres: Floats, weights: Floats) -> Heart:
    best = int(weights.sum(axis=1).argmax())
    share = weights[best] / weights[best].sum()
    mean = share @ centres[best]
    spread = math.sqrt(float(share @ ((centres[best] - mean) ** 2).sum(axis=1)) / 2)
    return Heart(axes[best], mean, spread)


def _apex_odds(normals: Floats, axes: Floats, weights: NDArray[np.float64]) -> Floats:
    along = (normals @ axes.T > 0) @ weights
    return np.asarray((along + 1e-9) / (weights.sum() - along + 1e-9))
