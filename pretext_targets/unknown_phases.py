"""How images of unknown place in the heart cycle are told apart: by numbers below 0.

A store's `phase_index` keeps volumes of one stack apart, known or not. What nobody ordered is numbered by
the names of the files, slice by slice; those numbers say nothing about time.
"""

from __future__ import annotations

from typing import Final

import polars as pl

LONE: Final = -1
"""The only image of its slice: there is nothing to tell it apart from."""

FIRST_UNKNOWN: Final = -1_000_000
"""The first of several images of a slice. Others follow upwards, so that sorting keeps their order."""


def numbered(images: pl.DataFrame, slice_columns: list[str]) -> pl.DataFrame:
    """Images whose null `phase_index` became a number below 0, another for each image of a slice.

    Parameters
    ----------
    images : DataFrame
        All images of the slices it names, with `phase_index`, `path`, `frame`, `root`.
    slice_columns : list of str
        What names a slice.
    """
    unknown = pl.col("phase_index").is_null()
    rank = pl.struct(unknown, "path", "frame", "root").rank("ordinal").over(slice_columns)
    before = (~unknown).sum().over(slice_columns)
    alone = pl.len().over(slice_columns) == 1
    number = pl.when(alone).then(LONE).otherwise(FIRST_UNKNOWN + rank.cast(pl.Int32) - 1 - before)
    return images.with_columns(
        phase_index=pl.when(unknown).then(number).otherwise("phase_index").cast(pl.Int32)
    )


def name_of(phase: int) -> str:
    """What stands for a phase in the names of files: `004`, or `u004` where its time is unknown."""
    return f"{phase:03d}" if phase >= 0 else f"u{0 if phase == LONE else phase - FIRST_UNKNOWN:03d}"
