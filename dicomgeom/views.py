"""Which view a stack is: geometry first, description second, every piece of evidence kept.

Each view is a hypothesis. Each measurement (an angle, a distance, a word in the
description) makes some hypotheses more likely and others less; the likeliest wins, and
its share of the total likelihood is the confidence. A description is one voice: it can
decide between neighbours and cannot outvote a plane that lies elsewhere. The user's word
(`overrides.py`) decides.

Heart: `heart.py` weighs the stacks of a study together. Stacks on the same planes (late
enhancement on the planes of the cine) are one place and share a verdict.
Other anatomy, and localizers: by obliquity to the sagittal, coronal and axial directions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

import numpy as np

from dicomgeom.heart import LONG_AXIS, ORTHOGONAL, TOWARD_APEX, WEIGHED, Heart, Place, Weighed, weigh
from dicomgeom.overrides import Said
from dicomgeom.plane import Floats
from dicomgeom.row_planes import centres_mm
from dicomgeom.stack import Stack
from dicomgeom.view_names import BODY_VIEWS, LONG_AXIS_VIEWS, view_in_text

APEX_COSINE: Final = 0.3
"""A SAX normal whose cosine with `TOWARD_APEX` is weaker does not tell base from apex."""

APEX_ODDS: Final = 10.0
"""Odds at which the long-axis views tell base from apex where the cosine does not."""

SAME_PLACE_DEG: Final = 5.0
SAME_PLACE_MM: Final = 5.0
"""Stacks whose planes differ by less were taken at one place."""

OBLIQUITY_SPREAD_DEG: Final = 15.0
"""Joints: how far the planes are turned against the body's directions."""

NO_VIEW_LOG: Final = -8.0
"""Log-likelihood of "none of these" for a joint: any direction four spreads off loses to it."""

TEXT_WEIGHT: Final = 2.0
"""Log-likelihood a description adds to the view it names: e^2, about 7 to 1."""

AXIS_BY_SAX_DEG: Final = 20.0
"""A short-axis stack whose normal is nearer to the heart's axis is said to give it."""

SURE_CENTRE_MM: Final = 12.0
"""A distance from the LV centre says something where the centre is known better than this."""

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
    """The verdict on one stack; `direction` is the way its slices are counted, None where none is known."""

    view: str
    confidence: float
    evidence: list[Evidence] = field(default_factory=list)
    apex_known: bool = False
    direction: Floats | None = None

    def as_rows(self) -> list[dict[str, object]]:
        """Evidence as plain data."""
        return [asdict(piece) for piece in self.evidence]


def is_cardiac(stacks: Sequence[Stack]) -> bool:
    """Whether a study is one of the heart: it holds a cine, or says so."""
    parts = {str(stack.rows[stack.planes[0][0]]["body_part"]) for stack in stacks}
    return any(stack.kind == "cine" for stack in stacks) or any(
        word in part for part in parts for word in CARDIAC_BODY_PARTS
    )


def judge_views(
    stacks: Sequence[Stack], *, cardiac: bool | None = None, said: Mapping[str, Said] | None = None
) -> dict[str, Judgement]:
    """Judge all stacks of one study that share a frame of reference, by `stack_id`.

    Parameters
    ----------
    cardiac
        Whether the study is one of the heart; default: what these stacks tell.
    said
        The user's word, by `stack_id`.
    """
    said = said or {}
    cardiac = is_cardiac(stacks) if cardiac is None else cardiac
    heart = [stack for stack in stacks if cardiac and stack.kind != "localizer"]
    judged = _in_heart(heart, said) if heart else {}
    judged |= {stack.stack_id: _by_obliquity(stack) for stack in stacks if stack.stack_id not in judged}
    for stack in stacks:
        judgement = judged[stack.stack_id]
        if stack.stack_id in said:
            _obey(judgement, said[stack.stack_id])
        if judgement.direction is None:
            judgement.direction = ORTHOGONAL.get(judgement.view)
    return judged


def _obey(judgement: Judgement, said: Said) -> None:
    judgement.view, judgement.confidence = said.view, 1.0
    judgement.evidence.append(Evidence("override", said.where, "", f"the user says {said.view}"))


def _in_heart(stacks: Sequence[Stack], said: Mapping[str, Said]) -> dict[str, Judgement]:
    middles = {stack.stack_id: _middle_mm(stack) for stack in stacks}
    groups = _places(stacks, middles)
    weighed = weigh([_place(group, middles, said) for group in groups])
    source = _axis_source(groups, weighed)
    judged = {}
    for number, group in enumerate(groups):
        shares = dict(zip(WEIGHED, weighed.views[number].tolist(), strict=True))
        for stack in group:
            evidence = _measured(stack, middles[stack.stack_id], group, weighed.heart, source)
            judgement = _verdict(shares, evidence + _spoken(group))
            _tell_apex(judgement, stack, said, float(weighed.apex_odds[number]))
            judged[stack.stack_id] = judgement
    return judged


def _middle_mm(stack: Stack) -> Floats:
    """Middle of the first and last image, mm LPS."""
    ends = [stack.rows[members[0]] for members in (stack.planes[0], stack.planes[-1])]
    return np.asarray(centres_mm(ends).mean(axis=0))


def _places(stacks: Sequence[Stack], middles: Mapping[str, Floats]) -> list[list[Stack]]:
    """Stacks on the same planes belong together; the cine with most planes leads its group."""
    groups: list[list[Stack]] = []
    for stack in sorted(stacks, key=lambda s: (s.kind != "cine", -len(s.planes), s.stack_id)):
        for group in groups:
            shift_mm = (middles[stack.stack_id] - middles[group[0].stack_id]) @ group[0].normal
            if _same_place(stack, group[0], abs(float(shift_mm))):
                group.append(stack)
                break
        else:
            groups.append([stack])
    return groups


def _same_place(stack: Stack, other: Stack, shift_mm: float) -> bool:
    extent_mm = min(float(np.ptp(s.positions_mm)) for s in (stack, other))
    parallel = _angle_deg(stack.normal, other.normal) <= SAME_PLACE_DEG
    return parallel and shift_mm <= max(SAME_PLACE_MM, extent_mm / 2)


def _axis_source(groups: Sequence[Sequence[Stack]], weighed: Weighed) -> str:
    """What people are told the axis comes from."""
    sax = WEIGHED.index("SAX")
    short = any(
        weighed.views[i, sax] > 0.5 and _angle_deg(group[0].normal, weighed.heart.axis) < AXIS_BY_SAX_DEG
        for i, group in enumerate(groups)
    )
    return "normal of the short-axis stack" if short else "common perpendicular of the long-axis planes"


def _angle_deg(normal: Floats, direction: Floats) -> float:
    """Angle between two directions without sense, 0 to 90."""
    return math.degrees(math.acos(min(1.0, abs(float(normal @ direction)))))


def _place(group: Sequence[Stack], middles: Mapping[str, Floats], said: Mapping[str, Said]) -> Place:
    leader = group[0]
    voices = np.zeros(len(WEIGHED))
    for _, named, weight in _texts(group):
        if named in WEIGHED:
            voices[WEIGHED.index(named)] += weight
    for stack in group:
        if stack.stack_id in said:
            meant = LONG_AXIS_VIEWS if said[stack.stack_id].view == "LAX" else (said[stack.stack_id].view,)
            voices = np.array([0.0 if view in meant else -100.0 for view in WEIGHED])
    return Place(leader.normal, middles[leader.stack_id], len(leader.planes), voices)


def _texts(group: Sequence[Stack]) -> list[tuple[str, str, float]]:
    """(description, view it names, weight); many descriptions of one place weigh as one."""
    texts = [text for stack in group for text in stack.texts()]
    naming = [(text, view_in_text(text)) for text in texts]
    return [(text, named, TEXT_WEIGHT / len(texts)) for text, named in dict(naming).items() if named]


def _spoken(group: Sequence[Stack]) -> list[Evidence]:
    return [Evidence("description", text, "", f"names {named}") for text, named, _ in _texts(group)]


def _measured(
    stack: Stack, middle_mm: Floats, group: Sequence[Stack], heart: Heart, source: str
) -> list[Evidence]:
    """The numbers behind a verdict, measured against the likeliest heart."""
    off_axis = _angle_deg(stack.normal, heart.axis)
    to_apex = _angle_deg(stack.normal, TOWARD_APEX)
    planes = len(group[0].planes)
    many = "many planes speak for SAX" if planes >= 5 else "few planes"
    evidence = [
        Evidence("angle of the normal to the heart's axis, degrees", round(off_axis, 1), 45, source),
        Evidence("angle of the normal to (1, -1, -1), degrees", round(to_apex, 1), 35, "small in SAX stacks"),
        Evidence("planes", str(planes), "5", many),
    ]
    if off_axis > 45:
        evidence += _long_axis(stack.normal, middle_mm, heart)
    if len(group) > 1:
        evidence.append(Evidence("stacks on these planes", str(len(group)), "", "judged together"))
    return evidence


def _long_axis(normal: Floats, point_mm: Floats, heart: Heart) -> list[Evidence]:
    angle, miss = heart.lies(normal, point_mm)
    near = min(LONG_AXIS, key=lambda view: abs((angle - view.angle_deg + 90) % 180 - 90))
    if heart.centre_spread_mm > SURE_CENTRE_MM:
        says = f"the centre is known to {heart.centre_spread_mm:.0f} mm only: little evidence"
    else:
        says = "through the LV" if abs(miss) <= 15 else "misses the LV"
    return [
        Evidence(
            "angle of the trace round the axis, degrees",
            round(angle, 1),
            near.angle_deg,
            f"nearest to {near.name} ({near.angle_deg:g})",
        ),
        Evidence("distance from the LV centre, mm", round(miss, 1), 15, says),
    ]


def _tell_apex(judgement: Judgement, stack: Stack, said: Mapping[str, Said], odds: float) -> None:
    """Which way from base to apex: by the usual direction, where that is weak by the long-axis views."""
    view = said[stack.stack_id].view if stack.stack_id in said else judgement.view
    if view != "SAX":
        return
    cosine = float(stack.normal @ TOWARD_APEX)
    if abs(cosine) >= APEX_COSINE:
        judgement.apex_known = True
        judgement.direction = stack.normal * np.sign(cosine)
        return
    judgement.apex_known = not 1 / APEX_ODDS < odds < APEX_ODDS
    judgement.direction = stack.normal * (1 if odds >= 1 else -1)
    judgement.evidence.append(
        Evidence(
            "cosine of the normal with (1, -1, -1)",
            round(cosine, 2),
            APEX_COSINE,
            "too weak to tell the apex; the long-axis views "
            + ("tell it" if judgement.apex_known else "do not tell it either"),
        )
    )


def _by_obliquity(stack: Stack) -> Judgement:
    """Sagittal, coronal or axial, whichever direction is nearest."""
    tilts = {view: _angle_deg(stack.normal, ORTHOGONAL[view]) for view in BODY_VIEWS}
    evidence = [
        Evidence(
            f"angle of the normal to {view}, degrees",
            round(tilt, 1),
            45,
            "nearest" if tilt == min(tilts.values()) else "",
        )
        for view, tilt in tilts.items()
    ]
    logs = {view: -0.5 * (tilt / OBLIQUITY_SPREAD_DEG) ** 2 for view, tilt in tilts.items()}
    logs["OTHER"] = NO_VIEW_LOG
    for _, named, weight in _texts([stack]):
        if named in logs:
            logs[named] += weight
    top = max(logs.values())
    weights = {view: math.exp(value - top) for view, value in logs.items()}
    total = sum(weights.values())
    return _verdict({view: weight / total for view, weight in weights.items()}, evidence + _spoken([stack]))


def _verdict(shares: Mapping[str, float], evidence: list[Evidence]) -> Judgement:
    """The likeliest view, or LAX where it is a long axis and not told which."""
    view = max(shares, key=lambda name: shares[name])
    together = sum(shares.get(name, 0.0) for name in LONG_AXIS_VIEWS)
    if view in LONG_AXIS_VIEWS and shares[view] < 0.5 < together:
        evidence.append(
            Evidence("long-axis views together", round(together, 2), 0.5, "a long axis, not told which")
        )
        return Judgement("LAX", together, evidence)
    return Judgement(view, shares[view], evidence)
