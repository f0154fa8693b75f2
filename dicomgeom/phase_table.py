"""The optional table phases.parquet of a catalogue: proposals of end-diastole and end-systole.

It needs pixels, which `index` does not read, so it is written only when asked for
(`anatprep index --propose-ed-es`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

import polars as pl

from dicomgeom.catalogue import Catalogue, Column, schema_of
from dicomgeom.errors import IntegrityError
from dicomgeom.phases import EdEs, apart_in_beat, propose_ed_es
from dicomgeom.progress import Progress, silent

TABLE: Final = "phases.parquet"

PHASES: Final = (
    Column("stack_id", pl.String, "cine stack"),
    Column("ed_phase", pl.Int32, "phase_index of end-diastole in the fullest slice; null when not told"),
    Column("es_phase", pl.Int32, "phase_index of end-systole in the fullest slice; null when not told"),
    Column("ed_rr_fraction", pl.Float64, "moment of end-diastole, for slices with other phases"),
    Column("es_rr_fraction", pl.Float64, "moment of end-systole, for slices with other phases"),
    Column("confidence", pl.Float64, "0 to 1, a rank and not a probability"),
    Column("evidence", pl.String, "what was measured, or why nothing could be"),
)


def write_phases(catalogue: Catalogue, *, progress: Progress = silent) -> pl.DataFrame:
    """Propose for every cine stack and write phases.parquet beside the other tables."""
    ids = catalogue.stacks.filter(pl.col("kind") == "cine")["stack_id"].sort().to_list()
    rows = []
    for done, stack_id in enumerate(ids):
        progress("looking for end-diastole and end-systole", done=done, total=len(ids))
        rows.append({"stack_id": stack_id} | asdict(propose_ed_es(catalogue, stack_id)))
    progress("looking for end-diastole and end-systole", done=len(ids), total=len(ids))
    table = pl.DataFrame(rows, schema=schema_of(PHASES))
    fresh = catalogue.folder / f".{TABLE}.new"
    table.write_parquet(fresh)
    fresh.replace(catalogue.folder / TABLE)
    return table


def read_phases(folder: Path) -> pl.DataFrame | None:
    """The proposals of a catalogue, or None where none were asked for.

    Stacks are named by what they hold, so rows of stacks that have changed since match none.

    Raises
    ------
    IntegrityError
        When the table cannot be read.
    """
    path = folder / TABLE
    if not path.is_file():
        return None
    try:
        return pl.read_parquet(path).select(schema_of(PHASES).names())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise IntegrityError(f"{path} cannot be read; index again with --propose-ed-es") from error


def phases_by_slice(images: pl.DataFrame, told: EdEs) -> pl.DataFrame:
    """ED and ES of every slice of a stack, by the moment in the beat where it is stated, else by number.

    Parameters
    ----------
    images
        Rows of the images table of one stack.

    Returns
    -------
    DataFrame
        One row a slice: slice_index, ed_phase, es_phase; empty where `told` tells nothing.
    """
    schema = {"slice_index": pl.Int32, "ed_phase": pl.Int32, "es_phase": pl.Int32}
    if told.ed_phase is None or told.es_phase is None:
        return pl.DataFrame(schema=schema)
    rows = []
    for (slice_index,), part in images.sort("slice_index", "phase_index").group_by(
        "slice_index", maintain_order=True
    ):
        ed = _nearest(part, told.ed_phase, told.ed_rr_fraction)
        rows.append((slice_index, ed, _nearest(part, told.es_phase, told.es_rr_fraction)))
    return pl.DataFrame(rows, schema=schema, orient="row")


def _nearest(images: pl.DataFrame, phase: int, moment: float | None) -> int | None:
    if moment is not None and not images["rr_fraction"].null_count():
        apart = apart_in_beat(images["rr_fraction"].to_numpy(), moment)
        found: int | None = images["phase_index"][int(apart.argmin())]
        return found
    return phase if phase in images["phase_index"] else None
