"""What a store lacks, and why: images that were left out of it, and examples that cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import AnatprepError
from dicomgeom.phase_table import read_phases
from dicomgeom.progress import Progress, silent
from dicomgeom.reasons import FILE_REASONS
from pretext_targets.build_reasons import LEFT_OUT_REASONS, NO_BOXES_REASONS, PIXEL_REASONS
from pretext_targets.manifest import read_row
from pretext_targets.plan import BuildPlan, plan_build
from pretext_targets.protocol import Protocol
from pretext_targets.reader import StoreReader
from pretext_targets.store import SPLITS
from reporting.evidence import OTHER_REASON
from reporting.facets import Facets
from reporting.sections import Table, short_key

UNUSABLE_LISTED = 60
"""Unusable examples in the table."""

PLAN_REASONS: Final[Mapping[str, str]] = {**LEFT_OUT_REASONS, **NO_BOXES_REASONS}
"""What the words of a plan mean."""

UNUSABLE_REASONS: Final[Mapping[str, str]] = {**FILE_REASONS, **PIXEL_REASONS}
"""What the words of examples mean whose pixels could not be used."""


def unusable_examples(reader: StoreReader) -> dict[int, str]:
    """Example -> the word why its pixels could not be used, of those that are not valid."""
    told: dict[int, str] = {}
    for shard in range(reader.attributes.shards):
        row = read_row(reader.place, shard)
        told.update(row.invalid if row is not None else {})
    invalid = (~reader.column("valid")).nonzero()[0].tolist()
    return {
        example: told[example] if told.get(example) in UNUSABLE_REASONS else OTHER_REASON
        for example in invalid
    }


def left_out_tables(
    reader: StoreReader,
    unusable: Mapping[int, str],
    catalogues: Sequence[Path],
    *,
    progress: Progress = silent,
) -> tuple[Table, ...]:
    """Tell what is not in the store, as far as a catalogue that is shown too can tell it."""
    tables = []
    plan = _plan_of(reader, catalogues, progress)
    if plan is not None:
        without = Counter(plan.without_boxes["reason"].to_list())
        tables.append(_counts_table("Images left out of the store, and why", "images", plan.left_out_counts))
        tables.append(_counts_table("Slices without boxes, and why", "slices", without))
    if unusable:
        tables.append(_unusable_table(reader, unusable))
    return tuple(tables)


def _plan_of(reader: StoreReader, catalogues: Sequence[Path], progress: Progress) -> BuildPlan | None:
    """Plan the store again from the catalogue it was built from; None where none of these is that one.

    The plan's hash proves it. Protocols whose frames would have to be proposed from pixels are not planned.
    """
    try:
        protocol = Protocol.model_validate(reader.attributes.protocol)
    except ValidationError:
        return None  # written by another version: its labels can be shown, its plan not repeated
    for folder in catalogues:
        catalogue = open_catalogue(folder)
        if not _is_cheap(protocol, catalogue):
            continue
        try:
            plan = plan_build(catalogue, protocol, progress=progress)
        except AnatprepError:
            continue
        if plan.sha256 == reader.attributes.plan_sha256:
            return plan
    return None


def _is_cheap(protocol: Protocol, catalogue: Catalogue) -> bool:
    return protocol.frames not in ("ED", "ED+ES") or read_phases(catalogue.folder) is not None


def _counts_table(caption: str, what: str, counts: Mapping[str, int]) -> Table:
    known: Counter[str] = Counter()
    for word, count in counts.items():
        known[word if word in PLAN_REASONS else OTHER_REASON] += count
    ordered = sorted(known.items(), key=lambda item: (-item[1], item[0]))
    return Table(
        ("reason", "what it means", what),
        tuple((word, PLAN_REASONS.get(word, ""), f"{count:,}") for word, count in ordered),
        caption=caption,
        numeric=frozenset({2}),
        facets=tuple(Facets(reasons=(word,)) for word, _ in ordered),
        note="" if ordered else "none",
    )


def _unusable_table(reader: StoreReader, unusable: Mapping[int, str]) -> Table:
    rows, facets = [], []
    for example, reason in list(unusable.items())[:UNUSABLE_LISTED]:
        patient = short_key(bytes(reader.column("patient_key")[example]).hex())
        split = split_name(int(reader.column("split")[example]))
        place = f"slice {int(reader.column('slice_index')[example]) + 1}"
        number = int(reader.column("phase_index")[example])
        phase = f"phase {number + 1}" if number >= 0 else "phase unknown"
        rows.append((patient, split, f"{place}, {phase}", reason, UNUSABLE_REASONS.get(reason, "")))
        facets.append(Facets(split=split, reasons=(reason,), validity="unusable", patient=patient))
    left = len(unusable) - len(rows)
    return Table(
        ("patient", "split", "example", "reason", "what it means"),
        tuple(rows),
        caption="Unusable examples, and why",
        facets=tuple(facets),
        note=f"{left:,} more not listed" if left else "",
        wide=True,
    )


def split_name(code: int) -> str:
    """Spell the code of a split."""
    return SPLITS[code] if code < len(SPLITS) else ""
