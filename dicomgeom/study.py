"""One study: header rows in; placed images, stacks with their views, and lines out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dicomgeom.cine import rr_fraction
from dicomgeom.lines import lines_between
from dicomgeom.overrides import Override, said_of
from dicomgeom.plane import ImagePlane
from dicomgeom.stack import Stack, build_stacks, regularity
from dicomgeom.twins import Twins, find_twins
from dicomgeom.views import Judgement, is_cardiac, judge_views

TableRow = dict[str, Any]


@dataclass(frozen=True)
class StudyRows:
    """Rows of one study for the tables images, stacks and lines."""

    images: list[TableRow]
    stacks: list[TableRow]
    lines: list[TableRow]


def sort_study(
    headers: list[TableRow], *, strict_frames: bool = False, overrides: Sequence[Override] = ()
) -> StudyRows:
    """Sort the images of one study (rows as `catalogue.HEADER`) into stacks and cut them with each other."""
    twins = find_twins(headers)
    for i, row in enumerate(headers):
        row["left_out"] = twins.left_out.get(i, "derived" if row["role"] == "derived" else "")
    stackable = [row for row in headers if not row["left_out"]]
    stacks = build_stacks(stackable, strict_frames=strict_frames)
    by_frame: dict[str, list[Stack]] = defaultdict(list)
    for stack in stacks:
        by_frame[stack.frame.key].append(stack)
    cardiac, said = is_cardiac(stacks), said_of(stacks, overrides)
    judged: dict[str, Judgement] = {}
    lines: list[TableRow] = []
    for together in by_frame.values():
        judged |= judge_views(together, cardiac=cardiac, said=said)
        for stack in together:
            direction = judged[stack.stack_id].direction
            if direction is not None and stack.normal @ direction < 0:
                stack.reverse()
        lines.extend(_line_rows(together, judged))
    _place(stackable, stacks)
    for stack in stacks:
        stack.reasons.extend(_reasons(stack, twins))
    return StudyRows(headers, [_stack_row(stack, judged[stack.stack_id]) for stack in stacks], lines)


def _reasons(stack: Stack, twins: Twins) -> Iterator[str]:
    """What only the whole study knows of a stack."""
    members = [stack.rows[i] for i in stack.members]
    if any((row["sop_instance_uid"], row["frame"]) in twins.shared for row in members):
        yield "uid-shared"
    if len({row["study_instance_uid"] for row in stack.rows}) > 1:
        yield "studies-merged"


def _place(rows: Sequence[TableRow], stacks: Sequence[Stack]) -> None:
    """Write each image's place in its stack into its row."""
    for stack in stacks:
        ordered = "" not in stack.phase_source.split("+")
        for slice_index, members in enumerate(stack.planes):
            for phase_index, i in enumerate(members):
                row = rows[i]
                row["stack_id"] = stack.stack_id
                row["kind"] = stack.kind
                row["role"] = "localizer" if stack.kind == "localizer" else "original"
                row["slice_index"] = slice_index
                row["phase_index"] = phase_index if ordered else None
                row["phase_source"] = stack.phase_source
                row["rr_fraction"] = rr_fraction(row, stack.phase_source)


def _stack_row(stack: Stack, judgement: Judgement) -> TableRow:
    members = [stack.rows[i] for i in stack.members]
    evenness = regularity(stack)
    moments = [row["acquired_at"] for row in members if row["acquired_at"] is not None]
    numbers = [row["series_number"] for row in members if row["series_number"] is not None]
    descriptions = sorted({row["series_description"] for row in members if row["series_description"]})
    return {
        "stack_id": stack.stack_id,
        "study_instance_uid": min(row["study_instance_uid"] for row in stack.rows),
        "patient_key": members[0]["patient_key"],
        "frame_of_reference": stack.frame.uid,
        "frame_assumed": stack.frame.assumed,
        "frame_reason": stack.frame.reason,
        "kind": stack.kind,
        "contrast_key": stack.contrast_key,
        "fat_suppressed": any(row["fat_suppressed"] for row in members),
        "view": judgement.view,
        "confidence": round(judgement.confidence, 4),
        "evidence": json.dumps(judgement.as_rows()),
        "normal": stack.normal.tolist(),
        "apex_known": judgement.apex_known,
        "n_slices": len(stack.planes),
        "n_phases": stack.n_phases,
        "complete": len({len(plane) for plane in stack.planes}) == 1,
        "acquired_at": max(moments, default=None),
        "series_number": max(numbers, default=None),
        "series_description": " | ".join(descriptions),
        "superseded_by": stack.superseded_by,
        "reason": "; ".join(stack.reasons),
    } | asdict(evenness)


def _line_rows(stacks: Sequence[Stack], judged: dict[str, Judgement]) -> list[TableRow]:
    """Cut every plane of every stack with the only or central plane of every other; no localizers."""
    cutting = [stack for stack in stacks if stack.kind != "localizer"]
    if len(cutting) < 2:
        return []
    partners = [stack.plane(stack.central_slice) for stack in cutting]
    rows: list[TableRow] = []
    for stack in cutting:
        planes = [stack.plane(i) for i in range(len(stack.planes))]
        rows.extend(_lines_of(stack, planes, cutting, partners, judged))
    return rows


def _lines_of(
    stack: Stack,
    planes: Sequence[ImagePlane],
    cutting: Sequence[Stack],
    partners: Sequence[ImagePlane],
    judged: dict[str, Judgement],
) -> Iterator[TableRow]:
    table = lines_between(planes, partners)
    for m, partner in enumerate(cutting):
        if partner is stack:
            continue
        for slice_index in np.flatnonzero(~np.isnan(table.coefficients[:, m, 0])).tolist():
            a, b, c = table.coefficients[slice_index, m].tolist()
            # Across series of an assumed frame, only planes that really cross are believed.
            if stack.frame.assumed and not table.crosses[slice_index, m]:
                continue
            yield {
                "stack_id": stack.stack_id,
                "slice_index": slice_index,
                "partner_stack_id": partner.stack_id,
                "partner_slice_index": partner.central_slice,
                "partner_view": judged[partner.stack_id].view,
                "a": a,
                "b": b,
                "c": c,
                "angle_deg": float(table.angle_deg[slice_index, m]),
                "crosses": bool(table.crosses[slice_index, m]),
                "frames_assumed": stack.frame.assumed,
            }
