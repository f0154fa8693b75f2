"""What a build did, for people and scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pretext_targets.annotations import ASKED_FOR
from pretext_targets.attributes import StoreAttributes
from pretext_targets.build_plan import BuildPlan
from pretext_targets.build_reasons import GRID_MISSES_IMAGE
from pretext_targets.findings import UNKNOWN
from pretext_targets.finish import finished_row
from pretext_targets.label_codes import CodeSeen
from pretext_targets.manifest import ManifestRow
from pretext_targets.places import Place
from pretext_targets.schema import SPLITS


@dataclass(frozen=True)
class BuildSummary:
    """What a build did.

    Attributes
    ----------
    left_out : dict
        Reason -> images of the carrier's view that are no examples.
    invalid_reasons : dict
        Reason -> examples whose pixels could not be used.
    boxes : dict
        Box -> examples that have it; without_boxes: reason -> examples that have none.
    centred : dict
        "image" or "crossing" -> examples whose grid has that centre.
    stacks_with_all_phases : int
        Stacks that give all, since end-diastole and end-systole could not be proposed.
    annotations_unused : dict
        Reason (of `annotations.UNUSED_REASONS`) -> annotations that no example has.
    annotated : int
        Examples with an annotation.
    with_findings : int
        Examples of exams of which a table tells something.
    segments : dict
        Structure -> examples in which it was drawn; empty where shards of earlier versions didn't count them.
    codes_unnamed : dict
        Code in label maps that the manifest doesn't name -> label maps and pixels that became background.
    without_pixel_size : int
        Image files that don't say how large their pixels are: they were taken as if they had the grid's.
    spacing_mm : float
        Of the grid.
    """

    store: str
    examples: int
    valid: int
    invalid: int
    shards_written: int
    shards_kept: int
    left_out: dict[str, int]
    invalid_reasons: dict[str, int]
    splits: dict[str, int]
    boxes: dict[str, int]
    without_boxes: dict[str, int]
    centred: dict[str, int]
    stacks_with_all_phases: int
    annotations_unused: dict[str, int]
    annotated: int
    with_findings: int
    segments: dict[str, int]
    codes_unnamed: dict[int, CodeSeen]
    without_pixel_size: int
    spacing_mm: float

    @property
    def some_skipped(self) -> bool:
        """Whether some input was skipped, beyond what was asked for (exit code 3)."""
        lost = self.annotations_unused.keys() - ASKED_FOR
        return bool(self.left_out or self.invalid or lost or self.codes_unnamed)

    @property
    def segments_missing(self) -> list[str]:
        """Structures that no example has."""
        return [name for name, examples in self.segments.items() if not examples]

    @property
    def anything_annotated(self) -> bool:
        """Whether there is a structure or a finding to learn; where nobody counted them, an annotation."""
        if self.with_findings:
            return True
        return any(self.segments.values()) if self.segments else self.annotated > 0

    def as_json(self) -> dict[str, Any]:
        """Plain values, for scripts."""
        return asdict(self)


def summary_of(plan: BuildPlan, place: Place, attributes: StoreAttributes, *, written: int) -> BuildSummary:
    """Count everything of a finished store and its plan."""
    rows = [finished_row(place, shard) for shard in range(attributes.shards)]
    reasons = Counter(reason for row in rows for reason in row.invalid.values())
    places = plan.examples["place"].to_numpy()
    present = np.array([one.boxes.present for one in plan.slices])[places].sum(axis=0)
    told_of = np.array([bool(set(one.findings) - {UNKNOWN}) for one in plan.slices])
    without: Counter[str] = Counter(plan.slices[place].boxes.reason for place in places.tolist())
    without.pop("", None)
    codes = np.bincount(plan.examples["split"].to_numpy(), minlength=len(SPLITS))
    return BuildSummary(
        store=str(place),
        examples=attributes.examples,
        valid=attributes.examples - reasons.total(),
        invalid=reasons.total(),
        shards_written=written,
        shards_kept=attributes.shards - written,
        left_out=plan.left_out_counts,
        invalid_reasons=dict(sorted(reasons.items())),
        splits=dict(zip(SPLITS, codes.tolist(), strict=True)),
        boxes=dict(zip(attributes.box_names, present.tolist(), strict=bool(attributes.box_names))),
        without_boxes=dict(sorted(without.items())),
        centred=dict(sorted(Counter(plan.slices[place].centred for place in places.tolist()).items())),
        stacks_with_all_phases=len(plan.phases_untold),
        annotations_unused=dict(plan.annotations_unused),
        codes_unnamed=dict(plan.codes_unnamed),
        without_pixel_size=plan.without_pixel_size,
        spacing_mm=attributes.spacing_mm,
        with_findings=int(told_of[places].sum()),
        **_annotated(plan, attributes, rows),
    )


def _annotated(plan: BuildPlan, attributes: StoreAttributes, rows: Sequence[ManifestRow]) -> dict[str, Any]:
    """Examples that are annotated, and that have each structure."""
    names = attributes.segment_names[1:]
    if any(row.annotated is None for row in rows):
        return {"annotated": len(plan.examples) - plan.examples["segmentation"].null_count(), "segments": {}}
    return {
        "annotated": sum(row.annotated or 0 for row in rows),
        "segments": {
            name: sum(row.segments.get(code, 0) for row in rows) for code, name in enumerate(names, 1)
        },
    }


def why_empty(plan: BuildPlan) -> str:
    """What a plan without an example leaves out; empty where there was nothing to leave out."""
    told = ", ".join(f"{count} {reason}" for reason, count in plan.left_out_counts.items())
    if GRID_MISSES_IMAGE in plan.left_out_counts:
        one = plan.protocol
        told += f" (a grid of {one.rows} x {one.columns} pixels of {one.spacing_mm:g} mm, choose a finer one)"
    return told


def nothing_to_build(plan: BuildPlan) -> str:
    """Say why a plan has no example."""
    told = why_empty(plan)
    found = f"left out: {told}" if told else f"no stack of view {plan.protocol.carrier}"
    return f"nothing to build for {plan.protocol.name}: {found}; anatprep show CATALOGUE lists what there is"
