"""Which view a stack is: geometry first, description second, every piece of evidence kept.

Each view is a hypothesis. Each measurement (an angle, a distance, a word in the
description) makes some hypotheses more likely and others less; the likeliest wins, and
its share of the total likelihood is the confidence. A description is one voice: it can
decide between neighbours and cannot outvote a plane that lies elsewhere.

Heart: SAX normals lie near (1, -1, -1)/sqrt 3 in LPS. Long-axis planes contain that axis
and are told by the angle of their trace round it and by their distance from the LV
centre, the patient-leftmost point where long-axis planes cross on the middle SAX plane.
Other anatomy: by obliquity to the sagittal, coronal and axial directions.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

import numpy as np

from dicomgeom.lines import dihedral_deg
from dicomgeom.plane import Floats
from dicomgeom.stack import Stack

TOWARD_APEX: Final[Floats] = np.array([1.0, -1.0, -1.0]) / math.sqrt(3)
"""Typical direction from the base of the heart to its apex, LPS (7 to 17 degrees off in real exams)."""

APEX_COSINE: Final = 0.3
"""A SAX normal whose cosine with `TOWARD_APEX` is weaker does not tell base from apex."""

SAX_LIMIT_DEG: Final = 35.0
"""A stack tilted further from `TOWARD_APEX` does not define the heart's axis (axial planes lie at 55)."""

LONG_AXIS_LIMIT_DEG: Final = 25.0
"""Planes tilted less against the heart's axis are candidates for long-axis views."""

MEETING_ANGLE_DEG: Final = 30.0
"""Long-axis planes that meet at less cross too far from where they should."""

ORTHOGONAL: Final[dict[str, Floats]] = {"SAG": np.eye(3)[0], "COR": np.eye(3)[1], "AX": np.eye(3)[2]}


@dataclass(frozen=True)
class LongAxisView:
    """Where a view lies: angle of its trace from projected patient-left, signed miss of the LV centre."""

    name: str
    angle_deg: float
    angle_spread_deg: float
    miss_mm: float
    miss_spread_mm: float
    prior: float


LONG_AXIS_VIEWS: Final = (
    LongAxisView("4CH", 10, 14, 0, 7, 0.0),
    LongAxisView("2CH", 66, 14, 0, 7, 0.0),
    LongAxisView("3CH", 129, 14, 0, 7, 0.0),
    LongAxisView("RV2CH", 68, 18, 38, 12, -1.0),
    LongAxisView("RVOT", 95, 18, 28, 12, -1.0),
)
"""Angles and distances measured on real exams; spreads allow for an operator's error."""

SAX_SPREAD_DEG: Final = 14.0
OBLIQUITY_SPREAD_DEG: Final = 15.0
CARDIAC_OBLIQUITY_SPREAD_DEG: Final = 6.0
"""Among cardiac cines only planes very near a body axis are called by it."""

TEXT_WEIGHT: Final = 2.0
"""Log-likelihood a description adds to the view it names: e^2, about 7 to 1."""

OTHER_LOG: Final = -8.0
"""Log-likelihood of "none of these": any view four spreads off loses to it."""

WORST_LOG: Final = -12.0

TEXT: Final = {
    "SAX": r"<sa>|sax|short.?ax|petit.?axe|kurz.?achs|<ks?a>|eje.?corto",
    "RV2CH": r"rv.?2.?ch|2.?ch.?rv|right.?2.?ch",
    "RVOT": r"rvot",
    "2CH": r"2.?ch|two.?ch|2.?cav|2.?kammer|<2k>|<vla>",
    "3CH": r"3.?ch|three.?ch|3.?cav|3.?kammer|<3k>|lvot",
    "4CH": r"4.?ch|four.?ch|4.?cav|4.?kammer|<4k>|<hla>",
    "SAG": r"<sag",
    "COR": r"<cor",
    "AX": r"<ax(ial)?>|<tra(ns)?(vers[ae]l?)?>",
}
"""What descriptions call the views in several languages; < and > are the ends of a word."""

_PATTERNS: Final = {
    view: re.compile(pattern.replace("<", r"(?<![a-z0-9])").replace(">", r"(?![a-z0-9])"), re.IGNORECASE)
    for view, pattern in TEXT.items()
}

CARDIAC_BODY_PARTS: Final = ("HEART", "CARDIAC", "COEUR", "HERZ")


@dataclass(frozen=True)
class Evidence:
    """What was measured, what it is compared with, and what follows."""

    what: str
    value: float | str
    limit: float | str
    says: str


@dataclass
class Judgement:
    """The verdict on one stack."""

    view: str
    confidence: float
    evidence: list[Evidence] = field(default_factory=list)
    apex_known: bool = False

    def as_rows(self) -> list[dict[str, object]]:
        """Evidence as plain data."""
        return [asdict(piece) for piece in self.evidence]


@dataclass(frozen=True)
class Heart:
    """The heart's axis (unit, base to apex), and the LV centre where `crossing_planes` planes cross."""

    axis: Floats
    axis_source: str
    centre_mm: Floats | None
    crossing_planes: int

    def trace_angle_deg(self, normal: Floats) -> float:
        """Angle of a long-axis plane's trace round the axis, from projected patient-left, 0 to 180."""
        left = np.array([1.0, 0.0, 0.0]) - self.axis[0] * self.axis
        left /= np.linalg.norm(left)
        turn = np.cross(self.axis, left)
        trace = np.cross(normal, self.axis)
        return float(np.degrees(np.arctan2(trace @ turn, trace @ left)) % 180)


def judge_views(stacks: Sequence[Stack]) -> dict[str, Judgement]:
    """Judge all stacks of one study that share a frame of reference, by `stack_id`."""
    if not _is_cardiac(stacks):
        return {stack.stack_id: _by_obliquity(stack) for stack in stacks}
    heart = find_heart(stacks)
    judged = {}
    for stack in stacks:
        if stack.kind == "localizer" or heart is None:
            judged[stack.stack_id] = _by_obliquity(stack)
        else:
            judged[stack.stack_id] = _in_heart(stack, heart)
    return judged


def _is_cardiac(stacks: Sequence[Stack]) -> bool:
    parts = {str(stack.rows[stack.planes[0][0]]["body_part"]) for stack in stacks}
    return any(stack.kind == "cine" for stack in stacks) or any(
        word in part for part in parts for word in CARDIAC_BODY_PARTS
    )


def find_heart(stacks: Sequence[Stack]) -> Heart | None:
    """Axis and LV centre from the planes of a cardiac exam, or None where nothing tells the axis."""
    usable = [stack for stack in stacks if stack.kind == "cine"] or [
        s for s in stacks if s.kind != "localizer"
    ]
    short = max(usable, key=_sax_rank, default=None)
    if short is not None and _tilt_deg(short.normal, TOWARD_APEX) <= SAX_LIMIT_DEG:
        axis = short.normal * np.sign(short.normal @ TOWARD_APEX)
        point = short.plane(short.central_slice).centre_mm
        source = "normal of the short-axis stack"
    else:
        common = _common_perpendicular(usable)
        if common is None:
            return None
        axis, source = common, "common perpendicular of the long-axis planes"
        point = np.mean([stack.plane(stack.central_slice).centre_mm for stack in usable], axis=0)
    centre, planes = _lv_centre(usable, axis, point)
    return Heart(axis, source, centre, planes)


def _sax_rank(stack: Stack) -> float:
    return math.log(len(stack.planes)) - 0.5 * (_tilt_deg(stack.normal, TOWARD_APEX) / SAX_SPREAD_DEG) ** 2


def _tilt_deg(normal: Floats, direction: Floats) -> float:
    return float(dihedral_deg([normal], [direction])[0, 0])


def _common_perpendicular(stacks: Sequence[Stack]) -> Floats | None:
    """Direction most nearly contained in all planes; needs two that meet at `MEETING_ANGLE_DEG`."""
    normals = np.array([stack.normal for stack in stacks])
    if len(normals) < 2 or dihedral_deg(normals, normals).max() < MEETING_ANGLE_DEG:
        return None
    _, vectors = np.linalg.eigh(normals.T @ normals)
    axis: Floats = vectors[:, 0]
    if _tilt_deg(axis, TOWARD_APEX) > SAX_LIMIT_DEG:
        return None
    return axis * np.sign(axis @ TOWARD_APEX)


def _lv_centre(stacks: Sequence[Stack], axis: Floats, point_mm: Floats) -> tuple[Floats | None, int]:
    """The patient-leftmost crossing of long-axis planes on the plane through `point_mm` across the axis."""
    planes = [
        stack.plane(stack.central_slice)
        for stack in stacks
        if 90 - _tilt_deg(stack.normal, axis) <= LONG_AXIS_LIMIT_DEG
    ]
    crossings = []
    for one, other in itertools.combinations(planes, 2):
        if dihedral_deg([one.normal], [other.normal])[0, 0] < MEETING_ANGLE_DEG:
            continue
        offsets = [one.normal @ one.origin_mm, other.normal @ other.origin_mm, axis @ point_mm]
        crossing = np.linalg.solve(np.array([one.normal, other.normal, axis]), offsets)
        if one.contains_px(one.to_pixel(crossing)) and other.contains_px(other.to_pixel(crossing)):
            crossings.append(crossing)
    if not crossings:
        return None, len(planes)
    return max(crossings, key=lambda crossing: float(crossing[0])), len(planes)


def _in_heart(stack: Stack, heart: Heart) -> Judgement:
    """Weigh all views for a stack of a cardiac exam."""
    tilt = _tilt_deg(stack.normal, heart.axis)
    to_apex = _tilt_deg(stack.normal, TOWARD_APEX)
    evidence = [
        Evidence(
            "angle of the normal to the heart's axis, degrees",
            round(tilt, 1),
            SAX_LIMIT_DEG,
            heart.axis_source,
        ),
        Evidence(
            "angle of the normal to (1, -1, -1), degrees",
            round(to_apex, 1),
            SAX_LIMIT_DEG,
            "small in SAX stacks",
        ),
    ]
    logs = {"SAX": _log(tilt, 0, 9) + _log(to_apex, 0, SAX_SPREAD_DEG) + _many_slices(stack, evidence)}
    prior = -2.0 if len(stack.planes) > 2 else -4.0  # a lone plane near a body axis is rather an RVOT view
    logs |= {
        view: prior + _log(_tilt_deg(stack.normal, direction), 0, CARDIAC_OBLIQUITY_SPREAD_DEG)
        for view, direction in ORTHOGONAL.items()
    }
    logs |= _long_axis_logs(stack, heart, tilt, evidence)
    judgement = _decide(stack, logs, evidence)
    cosine = float(stack.normal @ TOWARD_APEX)
    judgement.apex_known = judgement.view == "SAX" and abs(cosine) >= APEX_COSINE
    return judgement


def _many_slices(stack: Stack, evidence: list[Evidence]) -> float:
    """Short-axis stacks have many planes; a lone plane says little."""
    count = len(stack.planes)
    evidence.append(
        Evidence("planes", str(count), "5", "many planes speak for SAX" if count >= 5 else "few planes")
    )
    return 1.0 if count >= 5 else -1.0 if count <= 2 else 0.0


def _long_axis_logs(stack: Stack, heart: Heart, tilt: float, evidence: list[Evidence]) -> dict[str, float]:
    angle = heart.trace_angle_deg(stack.normal)
    along = _log(90 - tilt, 0, 10)
    near = min(LONG_AXIS_VIEWS, key=lambda view: _turn_deg(angle, view.angle_deg))
    says = f"nearest to {near.name} ({near.angle_deg:g})"
    evidence.append(
        Evidence("angle of the trace round the axis, degrees", round(angle, 1), near.angle_deg, says)
    )
    logs = {
        view.name: view.prior + along + _log(_turn_deg(angle, view.angle_deg), 0, view.angle_spread_deg)
        for view in LONG_AXIS_VIEWS
    }
    if heart.centre_mm is None:
        return logs
    plane = stack.plane(stack.central_slice)
    offset = -plane.distance_mm(heart.centre_mm) * plane.normal  # from the LV centre to the plane
    miss = float(np.linalg.norm(offset)) * (
        1 if offset[0] <= 0 else -1
    )  # positive toward patient-right, the RV's side
    if heart.crossing_planes < 3:
        evidence.append(
            Evidence(
                "distance from the LV centre, mm", round(miss, 1), 10, "two planes always cross: no evidence"
            )
        )
        return logs
    evidence.append(
        Evidence(
            "distance from the LV centre, mm",
            round(miss, 1),
            10,
            "through the LV" if abs(miss) <= 10 else "misses the LV",
        )
    )
    return {
        view.name: logs[view.name] + _log(miss, view.miss_mm, view.miss_spread_mm) for view in LONG_AXIS_VIEWS
    }


def _turn_deg(angle: float, other: float) -> float:
    """Difference of two directions without sense, 0 to 90."""
    return abs((angle - other + 90) % 180 - 90)


def _log(value: float, expected: float, spread: float) -> float:
    """Log-likelihood of a normal distribution up to a constant, bounded below."""
    return max(-0.5 * ((value - expected) / spread) ** 2, WORST_LOG)


def _by_obliquity(stack: Stack) -> Judgement:
    """Sagittal, coronal or axial, whichever direction is nearest."""
    tilts = {view: _tilt_deg(stack.normal, direction) for view, direction in ORTHOGONAL.items()}
    evidence = [
        Evidence(
            f"angle of the normal to {view}, degrees",
            round(tilt, 1),
            45,
            "nearest" if tilt == min(tilts.values()) else "",
        )
        for view, tilt in tilts.items()
    ]
    return _decide(
        stack, {view: _log(tilt, 0, OBLIQUITY_SPREAD_DEG) for view, tilt in tilts.items()}, evidence
    )


def _decide(stack: Stack, logs: Mapping[str, float], evidence: list[Evidence]) -> Judgement:
    weighed = dict(logs)
    weighed["OTHER"] = OTHER_LOG
    for text in stack.texts():
        named = view_in_text(text)
        if named in weighed:
            weighed[named] += TEXT_WEIGHT / len(stack.texts())
            evidence.append(Evidence("description", text, "", f"names {named}"))
    view, confidence = _likeliest(weighed)
    long_axis = {name.name for name in LONG_AXIS_VIEWS}
    if view in long_axis and confidence < 0.5:
        together = _share(weighed, long_axis)
        if together > 0.5:
            evidence.append(
                Evidence("long-axis views together", round(together, 2), 0.5, "a long axis, not told which")
            )
            return Judgement("LAX", together, evidence)
    return Judgement(view, confidence, evidence)


def _likeliest(logs: Mapping[str, float]) -> tuple[str, float]:
    view = max(logs, key=lambda name: logs[name])
    return view, _share(logs, {view})


def _share(logs: Mapping[str, float], names: set[str]) -> float:
    top = max(logs.values())
    weights = {name: math.exp(value - top) for name, value in logs.items()}
    return sum(weights[name] for name in names) / sum(weights.values())


def view_in_text(text: str) -> str:
    """The view a description names, or an empty string; right-ventricular views before the left's."""
    return next((view for view, pattern in _PATTERNS.items() if pattern.search(text)), "")


def canonical_direction(view: str) -> Floats | None:
    """Which way slices are counted: SAX to the apex, SAG to patient-left, COR to the back, AX to the head."""
    return TOWARD_APEX if view == "SAX" else ORTHOGONAL.get(view)
