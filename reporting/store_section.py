"""A store for people: how much is in it, what was left out of it, and its labels drawn over images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomgeom.progress import Progress, silent
from pretext_targets.places import Where
from pretext_targets.reader import StoreReader
from pretext_targets.store import NOT_ANNOTATED, SPLITS
from reporting import colours
from reporting.charts import bars
from reporting.ration import Ration
from reporting.sections import BarGroup, Exam, Fact, Section, Table, counted, listed
from reporting.store_left_out import left_out_tables, unusable_examples
from reporting.store_pictures import draw_stack
from reporting.store_stacks import StoreStack, pictured, stacks_of, stacks_table

LOCATION_BINS = 10

ANNOTATED_COUNTED = 20_000
"""Examples of a store up to which the annotated ones are counted: each has to be read."""


def store_section(
    where: Where,
    anchor: str,
    ration: Ration,
    *,
    catalogues: Sequence[Path] = (),
    progress: Progress = silent,
) -> Section:
    """Gather what the page says about a store.

    Parameters
    ----------
    where
        Path or URL of the store.
    catalogues
        Catalogues that are shown too: the one that the store was built from tells what was left out.

    Raises
    ------
    IntegrityError
        When there is no whole store.
    """
    reader = StoreReader(where)
    unusable = unusable_examples(reader)
    stacks = stacks_of(reader)
    exams, notes = _exams(reader, stacks, ration, progress)
    labelled = bool(reader.attributes.segment_names)
    return Section(
        kind="store",
        title=f"{'Labelled store' if labelled else 'Store'} {reader.attributes.protocol['name']}",
        anchor=anchor,
        lead=_lead(reader),
        facts=_facts(reader),
        bar_groups=_bar_groups(reader),
        tables=(
            _split_table(reader),
            *left_out_tables(reader, unusable, catalogues, progress=progress),
            stacks_table(reader, stacks, unusable),
        ),
        exams=exams,
        notes=notes,
    )


def _lead(reader: StoreReader) -> str:
    attributes = reader.attributes
    labels = []
    if attributes.partners:
        labels.append(f"lines and heatmaps of {listed(attributes.partners)}")
    if attributes.partners and attributes.box_names:
        labels.append(f"{len(attributes.box_names)} boxes")
    labels.append("the relative location of each slice in its stack")
    if attributes.segment_names:
        labels.append(f"segments: {listed(attributes.segment_names[1:])}")
    return (
        f"{attributes.protocol['carrier']} images on a grid of {attributes.rows} × {attributes.columns} "
        f"pixels of {attributes.spacing_mm:g} mm; {'; '.join(labels)}."
    )


def _exams(
    reader: StoreReader, stacks: Sequence[StoreStack], ration: Ration, progress: Progress
) -> tuple[tuple[Exam, ...], tuple[str, ...]]:
    chosen = pictured(stacks)
    exams = []
    for number, stack in enumerate(chosen):
        progress("drawing labels", done=number, total=len(chosen))
        exam = draw_stack(reader, stack, ration)
        if exam is None:
            break
        exams.append(exam)
    left = len(stacks) - len(exams)
    note = (
        f"Pictures of {len(exams):,} of {counted(len(stacks), 'stack')}; {left:,} left out, "
        "so that this file stays small."
    )
    return tuple(exams), (note,) if left else ()


def _facts(reader: StoreReader) -> tuple[Fact, ...]:
    facts = [
        Fact(f"{len(reader):,}", "examples"),
        Fact(f"{_distinct(reader, 'patient_key'):,}", "patients"),
        Fact(f"{_distinct(reader, 'stack_key'):,}", "stacks"),
        Fact(f"{int((~reader.column('valid')).sum()):,}", "unusable examples"),
    ]
    if "diagnosis" in reader.names:
        known = reader.column("diagnosis") >= 0
        facts.append(Fact(f"{_distinct(reader, 'patient_key', known):,}", "patients with a diagnosis"))
    return tuple(facts)


def _distinct(reader: StoreReader, name: str, rows: NDArray[np.bool_] | None = None) -> int:
    keys = reader.column(name) if rows is None else reader.column(name)[rows]
    return len(np.unique(keys, axis=0)) if len(keys) else 0


def _bar_groups(reader: StoreReader) -> tuple[BarGroup, ...]:
    partners, names = reader.attributes.partners, reader.attributes.box_names
    location = reader.column("location")
    known = location[np.isfinite(location)]
    edges = np.linspace(0, 1, LOCATION_BINS + 1)
    histogram, _ = np.histogram(known, bins=edges)
    spread = {
        f"{low:.1f}–{high:.1f}": int(n) for low, high, n in zip(edges, edges[1:], histogram, strict=False)
    }
    there = {
        f"line of {view}": int(np.isfinite(reader.column("line")[:, number, 0]).sum())
        for number, view in enumerate(partners)
    }
    there["location"] = len(known)
    if counts_annotated(reader):
        there["segmentation"] = _annotated(reader)
    present = reader.column("box_present")
    boxes = {name: int(present[:, number].sum()) for number, name in enumerate(names)}
    shades = {f"line of {view}": colours.of_view(view) for view in partners}
    groups = [BarGroup("Examples with a label", bars(there, shades), "none")]
    if partners and names:
        tones = dict(zip(boxes, colours.BOXES, strict=False))
        groups.append(BarGroup("Boxes inside the image", bars(boxes, tones), "none"))
    groups.append(
        BarGroup("Relative locations", bars(spread) if len(known) else (), "no example has a location")
    )
    return tuple(groups)


def counts_annotated(reader: StoreReader) -> bool:
    """Whether a report reads all segmentations of a store, to count them."""
    return "segmentation" in reader.names and len(reader) <= ANNOTATED_COUNTED


def _annotated(reader: StoreReader) -> int:
    """Count the examples on which somebody drew segments."""
    parts = np.array_split(np.arange(len(reader)), max(len(reader) // 256, 1))
    return sum(
        int((reader.read("segmentation", part) != NOT_ANNOTATED).any(axis=(1, 2)).sum()) for part in parts
    )


def _split_table(reader: StoreReader) -> Table:
    split, valid = reader.column("split"), reader.column("valid")
    rows = []
    for code, name in enumerate(SPLITS):
        here = split == code
        rows.append(
            (
                name,
                f"{_distinct(reader, 'patient_key', here):,}",
                f"{_distinct(reader, 'stack_key', here):,}",
                f"{int(here.sum()):,}",
                f"{int((here & ~valid).sum()):,}",
            )
        )
    return Table(
        ("split", "patients", "stacks", "examples", "unusable"),
        tuple(rows),
        caption="A patient is in one split only.",
        numeric=frozenset({1, 2, 3, 4}),
    )
