"""What a build did, for people and scripts."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pretext_targets.annotations import ASKED_FOR
from pretext_targets.attributes import StoreAttributes
from pretext_targets.build_plan import BuildPlan
from pretext_targets.finish import finished_row
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

    @property
    def some_skipped(self) -> bool:
        """Whether some input was skipped, beyond what was asked for (exit code 3)."""
        return bool(self.left_out or self.invalid or self.annotations_unused.keys() - ASKED_FOR)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for scripts."""
        return asdict(self)


def summary_of(plan: BuildPlan, place: Place, attributes: StoreAttributes, *, written: int) -> BuildSummary:
    """Count everything of a finished store and its plan."""
    reasons: Counter[str] = Counter()
    for shard in range(attributes.shards):
        reasons.update(finished_row(place, shard).invalid.values())
    places = plan.examples["place"].to_numpy()
    present = np.array([one.boxes.present for one in plan.slices])[places].sum(axis=0)
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
    )


def nothing_to_build(plan: BuildPlan) -> str:
    """Say why a plan has no example."""
    counts = ", ".join(f"{count} {reason}" for reason, count in plan.left_out_counts.items())
    found = f"left out: {counts}" if counts else f"no stack of view {plan.protocol.carrier}"
    return f"nothing to build for {plan.protocol.name}: {found}; anatprep show CATALOGUE lists what there is"
