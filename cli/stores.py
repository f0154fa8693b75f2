"""What the two commands that write stores share: the grid's options and the closing summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.console import Screen, counted
from dicomgeom.errors import NothingUsable

if TYPE_CHECKING:
    from cli.options import Centre
    from dicomgeom.catalogue import Catalogue
    from pretext_targets.build import BuildSummary
    from pretext_targets.findings import Findings
    from pretext_targets.protocol import Protocol
    from pretext_targets.tissues import TissueIndex

REASONS_EXPLAINED = "every reason, and what follows from it: docs/reference.md, What a build leaves out"


def load_on_grid(
    name_or_path: str,
    *,
    size: int | None,
    spacing_mm: float | None,
    centre: Centre | None = None,
    frames: str | None = None,
) -> Protocol:
    """Read a protocol; what is given replaces its own (`size`: pixels a side).

    Raises
    ------
    WrongUse
        When there is no such protocol or the grid makes no sense.
    """
    from pretext_targets.protocol import load_protocol

    changes: dict[str, Any] = {}
    if size is not None:
        changes |= {"rows": size, "columns": size}
    if spacing_mm is not None:
        changes["spacing_mm"] = spacing_mm
    if centre is not None:
        changes["centre"] = centre.value
    if frames is not None:
        changes["frames"] = int(frames) if frames.isdecimal() else frames
    protocol = load_protocol(name_or_path)
    return protocol.with_changes(**changes) if changes else protocol


def known_tissues(screen: Screen, truth: Path | None) -> TissueIndex | None:
    """What the truth of phantoms says of their pixels; None where none was given.

    Raises
    ------
    WrongUse, NothingUsable, IntegrityError
        As `pretext_targets.tissues.index_tissues`.
    """
    from pretext_targets.tissues import index_tissues

    if truth is None:
        return None
    with screen.progress() as progress:
        found = index_tissues(truth, progress=progress)
    screen.say(f"tissues of {len(found)} images in {truth}")
    return found


def known_findings(
    screen: Screen, tables: Sequence[Path] | None, catalogue: Catalogue
) -> tuple[Findings | None, dict[str, Any]]:
    """What tables tell of the exams of a catalogue, and how much of it matches, for `--json`.

    None and nothing where no table was given.
    """
    from dicomgeom.privacy import hashed
    from pretext_targets.findings import read_findings

    if not tables:
        return None, {}
    found = read_findings(tables, catalogue.salt)
    keys = {hashed(catalogue.salt, study) for study in catalogue.stacks["study_instance_uid"].unique()}
    keys |= {bytes.fromhex(patient) for patient in catalogue.stacks["patient_key"].unique()}
    matched = found.matched(keys)
    lost = matched.rows_without_match
    screen.say(
        f"findings {', '.join(found.names)}: {matched.exams} of {counted(matched.exams_told_of, 'exam')} "
        "of the tables found in the catalogue" + (f", {counted(lost, 'row')} without a match" if lost else "")
    )
    return found, {"findings": asdict(matched)}


def show_store(screen: Screen, summary: BuildSummary) -> None:
    """Print what a build wrote, what it kept, and what it left out and why."""
    from dicomgeom.reasons import FILE_REASONS
    from pretext_targets.annotations import UNUSED_REASONS
    from pretext_targets.build_reasons import LEFT_OUT_REASONS, NO_BOXES_REASONS, PIXEL_REASONS

    splits = ", ".join(f"{count} {split}" for split, count in summary.splits.items())
    screen.heading(f"store {summary.store}")
    screen.say(
        f"{summary.examples} examples ({splits}); {summary.shards_written} shards written, "
        f"{summary.shards_kept} were there"
    )
    told = [
        ("left out because", summary.left_out, LEFT_OUT_REASONS),
        ("no boxes because", summary.without_boxes, NO_BOXES_REASONS),
        ("pixels unusable because", summary.invalid_reasons, {**FILE_REASONS, **PIXEL_REASONS}),
        ("annotations not used because", summary.annotations_unused, UNUSED_REASONS),
    ]
    for title, counts, meanings in told:
        show_reasons(screen, title, counts, meanings)
    if any(counts for _, counts, _ in told):
        screen.say(REASONS_EXPLAINED)


def show_reasons(screen: Screen, title: str, counts: Mapping[str, int], meanings: Mapping[str, str]) -> None:
    """Print how often each reason was given, the most frequent first, and what it means."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [(word, count, meanings.get(word, "")) for word, count in ordered]
    screen.table((title, "count", "meaning"), rows)


def refuse_empty(summary: BuildSummary) -> None:
    """Say that no example of a store has pixels that can be read.

    Raises
    ------
    NothingUsable
        When that is so; the store stays, so that the reasons in it can be looked at.
    """
    if not summary.valid:
        reasons = ", ".join(f"{count} {reason}" for reason, count in summary.invalid_reasons.items())
        raise NothingUsable(
            f"none of the {summary.examples} examples of {summary.store} is usable ({reasons}); "
            "check the files, remove the store and build it again"
        )
