"""The plan of a build: which frame becomes which example, with which labels.

Slots are fixed here, in the order patient, study, stack, slice, phase. The plan holds paths
and UIDs, so it stays in the private workspace: a store keeps only its hash. The hash covers
what the labels follow from (protocol, identities, planes, choices), not the labels
themselves, so that it doesn't depend on rounding; and not the scanned root, so that a moved
export can be finished elsewhere.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from dicomgeom.catalogue import Catalogue
from dicomgeom.data_manifest import DataManifest, kept_data_manifest
from dicomgeom.errors import GeometryError, NothingUsable
from dicomgeom.progress import Progress, silent
from dicomgeom.row_planes import plane_of
from pretext_targets.build_plan import CHOICES, EXAMPLES, LEFT_OUT, WITHOUT_BOXES, BuildPlan
from pretext_targets.build_reasons import NO_LABEL, reason_of
from pretext_targets.choose import NO_ORIGINAL, Choice, StackPlanes, carrier_verdicts, choose_partners
from pretext_targets.findings import UNKNOWN, Findings, of_no_exam
from pretext_targets.fingerprint import Fingerprint, sha256_of
from pretext_targets.labels import SliceLabels, label_stack
from pretext_targets.phases import PhaseChoice
from pretext_targets.protocol import Protocol
from pretext_targets.splits import split_codes
from pretext_targets.unused_annotations import of_several_files, unused_annotations

if TYPE_CHECKING:
    from pretext_targets.annotations import Annotations
    from pretext_targets.tissues import TissueIndex

__all__ = ["BuildPlan", "plan_build"]


def plan_build(
    catalogue: Catalogue,
    protocol: Protocol,
    *,
    segmentations: Annotations | None = None,
    tissues: TissueIndex | None = None,
    findings: Findings | None = None,
    progress: Progress = silent,
) -> BuildPlan:
    """Plan a store.

    Parameters
    ----------
    catalogue : Catalogue
        What an export contains.
    protocol : Protocol
        What to build from it.
    segmentations : Annotations, optional
        Manual annotations of some of the images.
    tissues : TissueIndex, optional
        What the pixels of some of the images are made of.
    findings : Findings, optional
        What tables tell of some of the exams.

    Raises
    ------
    NothingUsable
        When segmentations, tissues or findings were given and none belongs to an example.
    """
    images = _by_stack(catalogue.images)
    rows = {row["stack_id"]: row for row in catalogue.stacks.to_dicts()}
    verdicts = carrier_verdicts(rows.values(), protocol)
    neighbours = _neighbours(catalogue.lines, {row["stack_id"] for row, reason in verdicts if not reason})
    planes = _PlaneCache(rows, images)
    phases = PhaseChoice(catalogue, protocol.frames)
    annotated = segmentations is not None or findings is not None
    draft = _Draft(catalogue.salt, protocol, phases, annotated=annotated)
    counts = dict(catalogue.images.group_by("stack_id").len().iter_rows())
    for done, (row, reason) in enumerate(sorted(verdicts, key=_order)):
        stack_id = row["stack_id"]
        count, original = counts.get(stack_id, 0), len(images.get(stack_id, ()))
        if reason:
            draft.left_out.append((stack_id, None, count, reason))
        elif original < count or not original:
            draft.left_out.append((stack_id, None, count - original, NO_ORIGINAL))
        if original and not reason:
            candidates = [planes.of(other) for other in neighbours.get(stack_id, ()) if other in images]
            draft.add_stack(planes.of(stack_id), images[stack_id], candidates)
        progress("planning", done=done + 1, total=len(verdicts))
    if findings is not None:
        draft.tell(findings)
    plan = _finish(draft, catalogue, segmentations, tissues)
    return plan if findings is None else replace(plan, finding_names=findings.names)


class _PlaneCache:
    """The planes of a stack, from its first frame at every slice; made once a stack."""

    def __init__(self, rows: Mapping[str, Any], images: Mapping[str, pl.DataFrame]) -> None:
        self._rows, self._images = rows, images
        self._made: dict[str, StackPlanes] = {}

    def of(self, stack_id: str) -> StackPlanes:
        if stack_id not in self._made:
            first = self._images[stack_id].unique("slice_index", keep="first", maintain_order=True)
            slices = first.to_dicts()
            self._made[stack_id] = StackPlanes(
                row=self._rows[stack_id],
                slice_indices=tuple(one["slice_index"] for one in slices),
                planes=tuple(plane_of(one) for one in slices),
            )
        return self._made[stack_id]


class _Draft:
    """A plan while it grows, stack by stack."""

    def __init__(self, salt: bytes, protocol: Protocol, phases: PhaseChoice, *, annotated: bool) -> None:
        self.salt, self.protocol, self.phases, self.annotated = salt, protocol, phases, annotated
        self.slices: list[SliceLabels] = []
        self.taken: list[pl.DataFrame] = []
        self.skipped: list[pl.DataFrame] = []
        self.choices: list[Choice] = []
        self.left_out: list[tuple[str, int | None, int, str]] = []
        self.hash, self.seen = Fingerprint(), Fingerprint()
        self.hash.add(protocol.as_dict())
        self.parts: dict[str, str] = {}
        self._stacks = 0

    def add_stack(self, stack: StackPlanes, images: pl.DataFrame, candidates: Sequence[StackPlanes]) -> None:
        choices = choose_partners(stack, candidates, self.protocol)
        try:
            labels = label_stack(stack, choices, self.protocol, number=self._stacks, salt=self.salt)
        except GeometryError as error:
            self.left_out.append((stack.stack_id, None, len(images), reason_of(error)))
            return
        self._stacks += 1
        self.choices += choices
        keys = [labels[0].patient_key.hex(), labels[0].study_key.hex(), labels[0].stack_key.hex()]
        for one_hash in (self.hash, self.seen):
            one_hash.add_stack(stack, choices)
            one_hash.add(keys)
        frames_of = images.partition_by("slice_index", as_dict=True)
        chosen = self.phases.of_stack(stack.stack_id, images)
        for one in labels:
            self._add_slice(one, frames_of[(one.slice_index,)], chosen[one.slice_index])

    def tell(self, findings: Findings) -> None:
        """Add what tables tell of the exams."""
        self.slices = [
            replace(one, findings=findings.of(one.study_key, one.patient_key)) for one in self.slices
        ]
        told: list[Any] = [findings.names, findings.sha256]
        filled_in = [
            one.findings for one in self.slices if findings.filled_in(one.study_key, one.patient_key)
        ]
        if filled_in:  # their findings don't follow from the tables' hash alone
            told.append(filled_in)
        self.hash.add(told)
        self.parts["findings"] = sha256_of(told) if filled_in else findings.sha256
        if self.slices and not any(set(one.findings) - {UNKNOWN} for one in self.slices):
            raise of_no_exam(findings)

    def _add_slice(self, labels: SliceLabels, frames: pl.DataFrame, chosen: list[int]) -> None:
        if not (labels.any_label or self.annotated):
            self.left_out.append((labels.stack_id, labels.slice_index, len(frames), NO_LABEL))
            return
        placed = frames.with_columns(place=pl.lit(len(self.slices), dtype=pl.Int64))
        self.slices.append(labels)
        self.taken.append(placed[chosen])
        self.skipped.append(placed[sorted(set(range(len(frames))) - set(chosen))])


def _order(verdict: tuple[Mapping[str, Any], str]) -> tuple[str, str, str]:
    row = verdict[0]
    return row["patient_key"], row["study_instance_uid"], row["stack_id"]


def _by_stack(images: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Original frames of every stack, by slice and phase; frames of unknown phase come last, by file."""
    usable = images.filter(pl.col("stack_id").is_not_null() & (pl.col("role") == "original"))
    ordered = usable.sort("slice_index", "phase_index", "path", "frame", nulls_last=True)
    return {str(key[0]): part for key, part in ordered.partition_by("stack_id", as_dict=True).items()}


def _neighbours(lines: pl.DataFrame, carriers: set[str]) -> dict[str, list[str]]:
    """Stacks that the catalogue lets cut each carrier: same study, comparable frame of reference."""
    pairs = lines.filter(pl.col("stack_id").is_in(list(carriers))).select("stack_id", "partner_stack_id")
    found: dict[str, list[str]] = {}
    for stack_id, partner in pairs.unique().sort("stack_id", "partner_stack_id").iter_rows():
        found.setdefault(stack_id, []).append(partner)
    return found


def _finish(
    draft: _Draft, catalogue: Catalogue, segmentations: Annotations | None, tissues: TissueIndex | None
) -> BuildPlan:
    manifest = kept_data_manifest(catalogue.folder)
    doubtful: frozenset[Hashable] = frozenset()
    if segmentations is not None:
        doubtful = of_several_files(segmentations, catalogue.images)
    examples = _sources(draft.taken, catalogue.files, segmentations, manifest, doubtful)
    skipped = _sources(draft.skipped, catalogue.files, None, manifest)
    unused: dict[str, int] = {}
    if segmentations is not None:
        drawn = [segmentations.segment_names, segmentations.digests]
        draft.hash.add(drawn)
        draft.parts["segmentations"] = sha256_of(drawn)
        unused = unused_annotations(
            segmentations,
            examples=examples,
            skipped_phases=skipped,
            images=catalogue.images,
            left_out={stack_id for stack_id, *_ in draft.left_out},
            doubtful=doubtful,
        )
        if examples["segmentation"].null_count() == len(examples):
            raise _none_used(segmentations, unused, draft.protocol)
    if tissues is not None:
        known = [[one.model_dump() for one in tissues.tissues], tissues.digests]
        draft.hash.add(known)
        draft.parts["tissues"] = sha256_of(known)
        if len(examples) and not any(map(tissues.find, examples.iter_rows(named=True))):
            raise NothingUsable(
                f"none of the {len(tissues)} images of known tissue belongs to an example of "
                f"{draft.protocol.name}; give the truth of the export that was indexed"
            )
    for table in (examples, skipped):
        draft.hash.add_table(table)
        draft.seen.add_table(table.drop("segmentation"))
    without = [(one.stack_id, one.slice_index, one.boxes.reason) for one in draft.slices if one.boxes.reason]
    return BuildPlan(
        protocol=draft.protocol,
        examples=examples,
        skipped_phases=skipped,
        slices=tuple(draft.slices),
        left_out=pl.DataFrame(draft.left_out, schema=LEFT_OUT, orient="row"),
        choices=pl.DataFrame([_choice(one) for one in draft.choices], schema=CHOICES, orient="row"),
        without_boxes=pl.DataFrame(without, schema=WITHOUT_BOXES, orient="row"),
        phases_untold=tuple(draft.phases.untold),
        sha256=draft.hash.sha256,
        parts_sha256={"catalogue": draft.seen.sha256, **draft.parts},
        segmentations=segmentations,
        tissues=tissues,
        annotations_unused=unused,
    )


def _none_used(segmentations: Annotations, unused: Mapping[str, int], protocol: Protocol) -> NothingUsable:
    reasons = ", ".join(f"{count} {reason}" for reason, count in unused.items())
    return NothingUsable(
        f"none of the {len(segmentations)} annotated images belongs to an example of {protocol.name} "
        f"({reasons}); give the segmentations of the export that was indexed"
    )


def _sources(
    parts: Sequence[pl.DataFrame],
    files: pl.DataFrame,
    segmentations: Annotations | None,
    manifest: DataManifest | None,
    doubtful: frozenset[Hashable] = frozenset(),
) -> pl.DataFrame:
    """The table of frames, columns `EXAMPLES`, in the order in which they were added.

    Annotations filed under something `doubtful` are not used.
    """
    if not sum(map(len, parts)):
        return pl.DataFrame(schema=EXAMPLES)
    joined = pl.concat(parts)
    table = joined.with_columns(split=split_codes(joined, manifest))
    sizes = files.select("root", "path", "size_bytes").unique(["root", "path"], keep="last")
    table = table.join(sizes, on=["root", "path"], how="left", maintain_order="left")
    annotating: list[int | None] = [None] * len(table)
    if segmentations is not None:
        identities = table.select("root", "sop_instance_uid", "path", "frame").iter_rows(named=True)
        annotating = [
            None if segmentations.key(row) in doubtful else segmentations.find(row) for row in identities
        ]
    table = table.with_columns(pl.Series("segmentation", annotating, dtype=pl.Int32))
    return table.select(EXAMPLES.keys()).cast(pl.Schema(EXAMPLES))


def _choice(choice: Choice) -> tuple[Any, ...]:
    partner = None if choice.partner is None else choice.partner.stack_id
    return choice.stack_id, choice.view, partner, choice.slice_index, choice.candidates, choice.decided_by
