"""What a plan consists of: its tables, and the slices with their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import polars as pl

from pretext_targets.labels import SliceLabels
from pretext_targets.protocol import Protocol

if TYPE_CHECKING:
    from pretext_targets.annotations import Annotations
    from pretext_targets.label_codes import CodeSeen
    from pretext_targets.tissues import TissueIndex

FROM_IMAGES: Final = {
    "root": pl.String,
    "path": pl.String,
    "frame": pl.Int32,
    "sop_instance_uid": pl.String,
    "phase_index": pl.Int32,
}
EXAMPLES: Final = {
    "place": pl.Int64,
    "stack_id": pl.String,
    "slice_index": pl.Int32,
    **FROM_IMAGES,
    "split": pl.UInt8,
    "size_bytes": pl.Int64,
    "segmentation": pl.Int32,
}
"""Columns of a plan's examples: `place` in its slices, `segmentation` the number of the annotating file."""

LEFT_OUT: Final = {"stack_id": pl.String, "slice_index": pl.Int32, "count": pl.Int64, "reason": pl.String}
WITHOUT_BOXES: Final = {"stack_id": pl.String, "slice_index": pl.Int32, "reason": pl.String}
CHOICES: Final = {
    "stack_id": pl.String,
    "partner_view": pl.String,
    "partner_stack_id": pl.String,
    "partner_slice_index": pl.Int32,
    "candidates": pl.Int32,
    "decided_by": pl.String,
}


@dataclass(frozen=True, eq=False)
class BuildPlan:
    """What `build` will write.

    Attributes
    ----------
    examples : DataFrame
        One row an example, in order; columns `EXAMPLES`.
    skipped_phases : DataFrame
        Frames of the same slices that are no examples; they count in their stack's statistics.
    slices : tuple of SliceLabels
        Geometry and labels; `place` points here.
    left_out : DataFrame
        Columns `LEFT_OUT`: stacks of the carrier's view (slice_index null) or slices of them
        that yield no example, with the number of images and the reason.
    choices : DataFrame
        Columns `CHOICES`: which partner stack each carrier got, and what decided.
    without_boxes : DataFrame
        Columns `WITHOUT_BOXES`: slices that are examples but have none of the nine boxes.
    phases_untold : tuple of str
        Stacks that give all their phases, since end-diastole and end-systole could not be proposed.
    diagnosis_names : tuple of str, optional
        Diagnoses by number, of a set that tells of its patients; None where nothing is told.
    finding_names : tuple of str
        Findings that a table tells of exams; empty where none was given.
    annotations_unused : mapping
        Reason (of `annotations.UNUSED_REASONS`) -> annotations that no example has.
    codes_unnamed : mapping
        Codes in label maps that have no name and became background -> where they were found.
    without_pixel_size : int
        Image files that do not say how large their pixels are; they are taken for the grid's.
    sha256 : str
        Hash of all that the store's content follows from.
    parts_sha256 : mapping
        The same of each part (names: `same_plan.PARTS`), to say what differs from another plan.
    """

    protocol: Protocol
    examples: pl.DataFrame
    skipped_phases: pl.DataFrame
    slices: tuple[SliceLabels, ...]
    left_out: pl.DataFrame
    choices: pl.DataFrame
    without_boxes: pl.DataFrame
    phases_untold: tuple[str, ...]
    sha256: str
    segmentations: Annotations | None = field(default=None, repr=False)
    tissues: TissueIndex | None = field(default=None, repr=False)
    diagnosis_names: tuple[str, ...] | None = None
    finding_names: tuple[str, ...] = ()
    annotations_unused: Mapping[str, int] = field(default_factory=dict)
    codes_unnamed: Mapping[int, CodeSeen] = field(default_factory=dict)
    without_pixel_size: int = 0
    parts_sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def segment_names(self) -> tuple[str, ...]:
        """Names of the codes in `segmentation`; empty for a store without annotations."""
        return () if self.segmentations is None else self.segmentations.segment_names

    @cached_property
    def left_out_counts(self) -> dict[str, int]:
        """Images left out, by reason."""
        counts: Counter[str] = Counter()
        for reason, count in self.left_out.select("reason", "count").iter_rows():
            counts[reason] += count
        return dict(sorted(counts.items()))
