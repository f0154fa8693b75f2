"""Which annotations of a catalogue's images a plan does not use, and why.

An annotation that names its image by SOP instance UID is of nobody where two different images in
stacks have this UID, as some tools give it twice: it would be drawn on another patient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Final

import polars as pl

from pretext_targets.annotations import (
    FRAMES_NOT_CHOSEN,
    IMAGE_LEFT_OUT,
    NOT_IN_CATALOGUE,
    OTHER_VIEW,
    SEVERAL_IMAGES,
    Annotations,
)

IDENTITY: Final = ("root", "path", "frame", "sop_instance_uid")
"""Columns by which annotations find their image."""


def of_several_files(annotations: Annotations, images: pl.DataFrame) -> frozenset[Hashable]:
    """What annotations are filed under that fit images of several files, all of them in stacks.

    Parameters
    ----------
    annotations : Annotations
        All that was found.
    images : DataFrame
        All of the catalogue.
    """
    files = pl.struct("root", "path").n_unique().over("sop_instance_uid")
    shared = images.filter(pl.col("stack_id").is_not_null()).filter(files > 1)
    first: dict[Hashable, tuple[str, str]] = {}
    return frozenset(
        key
        for row in shared.select(IDENTITY).iter_rows(named=True)
        if (key := annotations.key(row)) is not None
        and first.setdefault(key, (row["root"], row["path"])) != (row["root"], row["path"])
    )


def unused_annotations(
    annotations: Annotations,
    *,
    examples: pl.DataFrame,
    skipped_phases: pl.DataFrame,
    images: pl.DataFrame,
    left_out: Iterable[str],
    doubtful: frozenset[Hashable],
) -> dict[str, int]:
    """Count the annotations that no example has.

    Parameters
    ----------
    annotations : Annotations
        All that was found.
    examples, skipped_phases : DataFrame
        Of the plan.
    images : DataFrame
        All of the catalogue.
    left_out : iterable of str
        Stacks of which images were left out.
    doubtful : frozenset
        What `of_several_files` found.

    Returns
    -------
    dict
        Reason (of `annotations.UNUSED_REASONS`) -> annotated images, or files.
    """

    def annotated(table: pl.DataFrame) -> set[Hashable]:
        return {annotations.key(row) for row in table.select(IDENTITY).iter_rows(named=True)} - {None}

    counts = Counter(annotations.unused)
    counts[SEVERAL_IMAGES] += len(doubtful)
    told = annotated(examples) | doubtful
    unusable = pl.col("stack_id").is_null() | pl.col("stack_id").is_in(list(left_out))
    for reason, table in (
        (FRAMES_NOT_CHOSEN, skipped_phases),
        (IMAGE_LEFT_OUT, images.filter(unusable)),
        (OTHER_VIEW, images),
    ):
        if len(told) == len(annotations):
            break
        found = annotated(table) - told
        counts[reason] += len(found)
        told |= found
    counts[NOT_IN_CATALOGUE] += len(annotations) - len(told)
    return {reason: count for reason, count in sorted(counts.items()) if count}
