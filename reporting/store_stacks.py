"""The stacks of a store, and a table of them: how many examples each gives, and with which labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretext_targets.reader import StoreReader
from reporting.facets import Facets
from reporting.sections import Table, short_key
from reporting.store_left_out import split_name

STACKS_LISTED = 200
"""Stacks in the table."""

STACKS_PICTURED = 12
"""Stacks with pictures."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class StoreStack:
    """One stack: its examples, and what its first one says of all."""

    rows: Indices
    usable: Indices
    key: str
    patient: str
    split: int


def stacks_of(reader: StoreReader) -> list[StoreStack]:
    """Group a store's examples by stack, in the order of the store."""
    keys = reader.column("stack_key")
    if not len(keys):
        return []
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    by_group = np.argsort(group.ravel(), kind="stable")
    parts = np.split(by_group, np.cumsum(np.bincount(group.ravel()))[:-1])
    valid, patients, split = reader.column("valid"), reader.column("patient_key"), reader.column("split")
    return [
        StoreStack(
            rows=parts[number],
            usable=parts[number][valid[parts[number]]],
            key=short_key(bytes(keys[first[number]]).hex()),
            patient=short_key(bytes(patients[first[number]]).hex()),
            split=int(split[first[number]]),
        )
        for number in np.argsort(first)
    ]


def pictured(stacks: Sequence[StoreStack]) -> list[StoreStack]:
    """The stacks that get pictures: the splits take turns, those without a usable example come last."""
    places: dict[tuple[bool, int], int] = {}
    order = []
    for stack in stacks:
        kind = (not len(stack.usable), stack.split)
        places[kind] = places.get(kind, -1) + 1
        order.append((kind[0], places[kind], stack.split))
    turns = sorted(range(len(stacks)), key=lambda number: order[number])
    return [stacks[number] for number in turns[:STACKS_PICTURED]]


def stacks_table(reader: StoreReader, stacks: Sequence[StoreStack], unusable: Mapping[int, str]) -> Table:
    """One row a stack: how many examples it gives, and with which labels."""
    partners = reader.attributes.partners
    lines, location = reader.column("line"), reader.column("location")
    boxes = np.asarray(reader.column("box_present").any(axis=1))
    rows, facets = [], []
    for stack in stacks[:STACKS_LISTED]:
        with_line = [int(np.isfinite(lines[stack.rows, number, 0]).sum()) for number in range(len(partners))]
        with_boxes = int(boxes[stack.rows].sum())
        known = location[stack.rows][np.isfinite(location[stack.rows])]
        first = int(stack.rows[0])
        rows.append(
            (
                stack.key,
                stack.patient,
                split_name(stack.split),
                f"{int(reader.column('n_slices')[first])} × {int(reader.column('n_phases')[first])}",
                f"{len(stack.rows):,}",
                f"{len(stack.rows) - len(stack.usable):,}",
                *(f"{count:,}" for count in with_line),
                *([f"{with_boxes:,}"] if partners else []),
                f"{known.min():.2f} to {known.max():.2f}" if len(known) else "none",
            )
        )
        facets.append(_facets_of_stack(stack, partners, with_line, with_boxes, len(known), unusable))
    left = len(stacks) - len(rows)
    return Table(
        ("stack", "patient", "split", "slices × phases", "examples", "unusable",
         *(f"line of {view}" for view in partners), *(["boxes"] if partners else []), "locations"),
        tuple(rows),
        caption=f"All {len(rows):,} stacks" if not left else f"The first {len(rows):,} stacks",
        numeric=frozenset(range(3, 7 + len(partners) + bool(partners))),
        facets=tuple(facets),
        note=f"{left:,} more stacks not listed" if left else "",
        wide=True,
        folded=len(rows) > 12,
    )  # fmt: skip


def _facets_of_stack(
    stack: StoreStack,
    partners: Sequence[str],
    with_line: Sequence[int],
    with_boxes: int,
    with_location: int,
    unusable: Mapping[int, str],
) -> Facets:
    labels = [f"line of {view}" for view, count in zip(partners, with_line, strict=True) if count]
    labels += ["boxes"] if with_boxes else []
    labels += ["location"] if with_location else []
    return Facets(
        split=split_name(stack.split),
        reasons=tuple(sorted({unusable[int(row)] for row in stack.rows if int(row) in unusable})),
        validity="usable" if len(stack.usable) == len(stack.rows) else "unusable",
        patient=stack.patient,
        labels=tuple(labels),
    )
