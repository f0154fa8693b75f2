"""Build a store: plan -> write shards -> finish.

`build` writes what a plan says, in this process or through dask, and may be killed at any
moment: run again it keeps the finished shards and writes the missing ones. Which worker wrote
what leaves no trace; the bytes are the same for any number of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from dicomgeom.errors import AnatprepError, HalfWritten, NothingUsable, Unreachable, WrongUse
from dicomgeom.progress import Progress, silent
from dicomgeom.reasons import PASSING_REASONS
from pretext_targets.attributes import StoreAttributes, this_software
from pretext_targets.codecs import DEFAULT_COMPRESSION, Compression
from pretext_targets.finish import finish, write_metadata
from pretext_targets.frames import Source
from pretext_targets.manifest import looks_whole, read_row, row_name
from pretext_targets.places import METADATA, Place, Where, place_of
from pretext_targets.plan import BuildPlan, plan_build
from pretext_targets.run import run_shards
from pretext_targets.same_plan import check_output, same_plan
from pretext_targets.schema import Part
from pretext_targets.shard import ShardTask
from pretext_targets.store import DEFAULT_SHARD, first_files
from pretext_targets.summary import BuildSummary, nothing_to_build, summary_of
from pretext_targets.unknown_phases import numbered

__all__ = ["BuildPlan", "BuildSummary", "build", "plan_build"]


def build(
    plan: BuildPlan,
    store: Where | Place,
    *,
    rasters: bool = True,
    workers: int = 1,
    scheduler: str | None = None,
    shard: int = DEFAULT_SHARD,
    compression: Compression | None = None,
    progress: Progress = silent,
) -> BuildSummary:
    """Write a plan's store, or finish it.

    Parameters
    ----------
    plan : BuildPlan
        What to write.
    store : Path or str
        Where, a path or a URL; made when it isn't there.
    rasters : bool
        Whether to store box masks and heatmaps; without them training draws its own.
    workers : int
        1: in this process. More: so many local processes.
    scheduler : str, optional
        Address of a dask scheduler whose workers see the same files.
    shard : int
        Examples in a shard, for a store that is begun now.
    compression : {"lz4", "zstd", "none"}, optional
        Of pixels; None takes lz4, or what the store was begun with.

    Raises
    ------
    NothingUsable
        When the plan has no example.
    WrongUse
        When `store` belongs to another plan, is a file, or another build is writing it.
    IntegrityError
        When something that is no store lies there.
    HalfWritten
        When the disk is full, a worker died, or the scheduler or server went away: run it again.
    """
    if not len(plan.examples):
        raise NothingUsable(nothing_to_build(plan))
    packed = compression or DEFAULT_COMPRESSION
    attributes = attributes_of(plan, rasters=rasters, shard=shard, compression=packed)
    place = place_of(store)
    try:
        check_output(place)
        fresh = place.begin(lambda: first_files(attributes))
        return _write(plan, place, attributes, fresh, compression, workers, scheduler, progress)
    except (OSError, Unreachable) as error:
        raise _stopped(place, error) from error


def _stopped(place: Place, error: Exception) -> AnatprepError:
    """What to tell of a disk or server that took no more."""
    what = str(getattr(error, "strerror", None) or error)
    try:
        begun = place.get(METADATA) is not None
    except (OSError, Unreachable):
        begun = isinstance(error, Unreachable)
    if begun:
        return HalfWritten(
            f"{place} is half-written: {what}; finished shards are kept, make room or mend the way there "
            "and run the same command again"
        )
    return WrongUse(f"{place} cannot be written ({what}); give another output")


def _write(
    plan: BuildPlan,
    place: Place,
    attributes: StoreAttributes,
    fresh: bool,
    compression: Compression | None,
    workers: int,
    scheduler: str | None,
    progress: Progress,
) -> BuildSummary:
    """Write what is missing of a store, and finish it."""
    same_plan(place, attributes, compression)  # before anything is put into a folder that is another's
    with place.only_one_build():
        attributes = same_plan(place, attributes, compression)
        sizes = place.sizes()
        missing = [one for one in range(attributes.shards) if not _is_done(place, one, sizes)]
        if missing or not (attributes.complete and _is_done(place, -1, sizes)):
            write_metadata(place, attributes.model_copy(update={"complete": False}))
            if not fresh:
                _mend_metadata(place, attributes)
            run_shards(
                (task_of(plan, place, attributes, one) for one in missing),
                len(missing),
                workers=workers,
                scheduler=scheduler,
                progress=progress,
            )
            finish(plan, place, attributes)
        place.tidy()
    return summary_of(plan, place, attributes, written=len(missing))


def _mend_metadata(place: Place, attributes: StoreAttributes) -> None:
    """Write what describes the arrays anew where it isn't as it was: no shard would ever do it again."""
    for name, content in first_files(attributes).items():
        if name != METADATA and place.get(name) != content:
            place.put(name, content)


def attributes_of(
    plan: BuildPlan, *, rasters: bool, shard: int, compression: Compression = DEFAULT_COMPRESSION
) -> StoreAttributes:
    """What the store of a plan says about itself, before it is complete."""
    protocol = plan.protocol
    parts: list[Part] = ["rasters"] if rasters else []
    if plan.segmentations is not None:
        parts.append("segmentation")
    if plan.diagnosis_names is not None:
        parts.append("diagnosis")
    if plan.finding_names:
        parts.append("findings")
    if plan.tissues is not None:
        parts.append("tissue")
    if np.isfinite([one.slice_distance_mm for one in plan.slices]).any():
        parts.append("distance")
    return StoreAttributes(
        protocol=protocol.as_dict(),
        plan_sha256=plan.sha256,
        parts_sha256=dict(plan.parts_sha256),
        partners=protocol.partners,
        box_names=protocol.box_names,
        box_side_px=protocol.box_side_px,
        line_sigma_px=protocol.line_sigma_px,
        spacing_mm=protocol.spacing_mm,
        rows=protocol.rows,
        columns=protocol.columns,
        examples=len(plan.examples),
        shard=shard,
        parts=tuple(parts),
        compression=compression,
        segment_names=plan.segment_names,
        diagnosis_names=plan.diagnosis_names or (),
        finding_names=plan.finding_names,
        tissues=() if plan.tissues is None else plan.tissues.tissues,
        without_pixel_size=plan.without_pixel_size,
        created_by=this_software(),
    )


def _is_done(place: Place, shard: int, sizes: Mapping[str, int]) -> bool:
    """Whether a shard is there to stay; files that could only not be opened are tried again."""
    row = read_row(place, shard) if row_name(shard) in sizes else None
    if row is None or PASSING_REASONS & set(row.invalid.values()):
        return False
    return looks_whole(sizes, row)


def task_of(plan: BuildPlan, place: Place, attributes: StoreAttributes, shard: int) -> ShardTask:
    """The task of one shard: its rows of the plan, and the slices they need."""
    start, stop = attributes.range_of(shard)
    rows = plan.examples[start:stop]
    places = rows["place"].unique().sort().to_list()
    # A slice's skipped frames are counted by the shard that holds its first example.
    before = plan.examples["place"][start - 1] if start else -1
    first_here = [place for place in places if place != before]
    skipped = plan.skipped_phases.filter(pl.col("place").is_in(first_here))
    rows, skipped = _with_phases(rows, skipped, plan)
    local = {place: number for number, place in enumerate(places)}
    return ShardTask(
        place=place,
        shard=shard,
        attributes=attributes,
        slices=[plan.slices[place] for place in places],
        sources=[_source(row, local, plan) for row in rows.iter_rows(named=True)],
        skipped=[_source(row, local, plan) for row in skipped.iter_rows(named=True)],
    )


def _with_phases(
    rows: pl.DataFrame, skipped: pl.DataFrame, plan: BuildPlan
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same rows, those of unknown phase numbered among all images of their slices, as in any shard."""
    if not (rows["phase_index"].null_count() or skipped["phase_index"].null_count()):
        return rows, skipped
    places = pl.concat([rows["place"], skipped["place"]]).unique().to_list()
    parts = [table.filter(pl.col("place").is_in(places)) for table in (plan.examples, plan.skipped_phases)]
    image = ["place", "root", "path", "frame"]
    phases = numbered(pl.concat(parts), ["place"]).select(*image, "phase_index").unique(image)
    found = [
        table.drop("phase_index").join(phases, on=image, how="left", maintain_order="left")
        for table in (rows, skipped)
    ]
    return found[0], found[1]


def _source(row: dict[str, Any], local: dict[int, int], plan: BuildPlan) -> Source:
    annotation = None
    if plan.segmentations is not None and row["segmentation"] is not None:
        annotation = plan.segmentations.annotation(row["segmentation"], row)
    return Source(
        root=row["root"],
        path=row["path"],
        frame=row["frame"],
        slice=local[row["place"]],
        phase_index=row["phase_index"],
        split=row["split"],
        annotation=annotation,
        tissue=None if plan.tissues is None else plan.tissues.find(row),
    )
