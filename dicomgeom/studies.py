"""Which images belong to one examination, when the Study Instance UID does not say it.

Some scanners and exports give every volume, or every folder, a study of its own. Images of one
patient, one day and one stated frame of reference were taken in one visit, since a new
visit starts a new frame: their studies are seen as one, and their stacks say so. Where the
day is not known nothing is merged: exports without dates often lack true patient numbers too.
"""

from __future__ import annotations

from typing import Final

import polars as pl

STUDY: Final = ("patient_key", "study_instance_uid")


def examinations(headers: pl.DataFrame) -> pl.Series:
    """The first Study Instance UID among those that belong together, for each row."""
    links = (
        headers.select(*STUDY, "frame_of_reference", pl.col("acquired_at").dt.date().alias("day"))
        .unique()
        .filter((pl.col("frame_of_reference") != "") & pl.col("day").is_not_null())
        .sort("patient_key", "frame_of_reference", "day", "study_instance_uid")
    )
    merged = [(*study, first) for study, first in _linked(links).items() if first != study[1]]
    table = pl.DataFrame(merged, schema=dict.fromkeys((*STUDY, "first"), pl.String), orient="row")
    joined = headers.select(STUDY).join(table, on=STUDY, how="left", maintain_order="left")
    return joined.select(pl.coalesce("first", "study_instance_uid").alias("examination")).to_series()


def _linked(links: pl.DataFrame) -> dict[tuple[str, str], str]:
    """Study of a patient -> the first of the studies it is linked with, directly or through others."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(study: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(study, study) != study:
            parent[study] = parent[parent[study]]
            study = parent[study]
        return study

    last: tuple[object, ...] = ()
    leader = ("", "")
    for patient, study, frame, day in links.iter_rows():
        node = (patient, study)
        if (patient, frame, day) != last:
            last, leader = (patient, frame, day), node
        one, other = sorted((root(node), root(leader)))
        parent[other] = one
    return {study: root(study)[1] for study in list(parent)}
