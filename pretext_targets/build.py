"""Build a store: plan -> write shards -> finish.

`build` writes what a plan says, in this process or through dask, and may be killed at any
moment: run again it keeps the finished shards and writes the missing ones. Which worker wrote
what leaves no trace; the bytes are the same for any number of them.
"""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from dicomgeom.errors import NothingUsable, WrongUse
from dicomgeom.progress import Progress, silent
from dicomgeom.reasons import PASSING_REASONS
from pretext_targets.commit import WORKING
from pretext_targets.finish import finish, finished_row, write_metadata
from pretext_targets.frames import Source
from pretext_targets.lock import only_one_build
from pretext_targets.manifest import looks_whole, read_row
from pretext_targets.plan import BuildPlan, plan_build
from pretext_targets.run import run_shards
from pretext_targets.shard import ShardTask
from pretext_targets.store import (
    DEFAULT_SHARD,
    SPLITS,
    Compression,
    Part,
    StoreAttributes,
    create_group,
    read_attributes,
    this_software,
)

__all__ = ["BuildPlan", "BuildSummary", "build", "plan_build"]


@dataclass(frozen=True)
class BuildSummary:
    """What a build did.

    Attributes
    ----------
    left_out : dict
        Reason -> images of the carrier's view that are no examples.
    invalid_reasons : dict
        Reason -> examples whose pixels could not be used.
    boxes : dict
        Box -> examples that have it; without_boxes: reason -> examples that have none.
    centred : dict
        "image" or "crossing" -> examples whose grid has that centre.
    stacks_with_all_phases : int
        Stacks that give all, since end-diastole and end-systole could not be proposed.
    """

    store: Path
    examples: int
    valid: int
    invalid: int
    shards_written: int
    shards_kept: int
    left_out: dict[str, int]
    invalid_reasons: dict[str, int]
    splits: dict[str, int]
    boxes: dict[str, int]
    without_boxes: dict[str, int]
    centred: dict[str, int]
    stacks_with_all_phases: int

    def as_json(self) -> dict[str, Any]:
        """Plain values, for scripts."""
        return {**asdict(self), "store": str(self.store)}


def build(
    plan: BuildPlan,
    store: Path,
    *,
    rasters: bool = True,
    workers: int = 1,
    scheduler: str | None = None,
    shard: int = DEFAULT_SHARD,
    compression: Compression = "lz4",
    progress: Progress = silent,
) -> BuildSummary:
    """Write a plan's store, or finish it.

    Parameters
    ----------
    plan : BuildPlan
        What to write.
    store : Path
        Where; made when it isn't there.
    rasters : bool
        Whether to store box masks and heatmaps; without them training draws its own.
    workers : int
        1: in this process. More: so many local processes.
    scheduler : str, optional
        Address of a dask scheduler whose workers see the same files.
    shard : int
        Examples in a shard, for a store that is begun now.
    compression : {"lz4", "zstd", "none"}
        Of pixels, for a store that is begun now.

    Raises
    ------
    NothingUsable
        When the plan has no example.
    WrongUse
        When `store` belongs to another plan, or another build is writing it.
    IntegrityError
        When something that is no store lies there.
    """
    store = Path(store)
    if not len(plan.examples):
        raise NothingUsable(_nothing(plan))
    attributes = attributes_of(plan, rasters=rasters, shard=shard, compression=compression)
    try:
        if not store.exists() or (store.is_dir() and not any(store.iterdir())):
            _begin(store, attributes)
        return _write(plan, store, attributes, workers, scheduler, progress)
    except OSError as error:
        raise WrongUse(
            f"{store} cannot be written ({error.strerror or error}); make room or give another output, "
            "the same command goes on where it stopped"
        ) from error


def _write(
    plan: BuildPlan,
    store: Path,
    attributes: StoreAttributes,
    workers: int,
    scheduler: str | None,
    progress: Progress,
) -> BuildSummary:
    """Write what is missing of a store, and finish it."""
    _same_plan(store, attributes)  # before anything is put into a folder that is another's
    with only_one_build(store / WORKING):
        attributes = _same_plan(store, attributes)
        missing = [one for one in range(attributes.shards) if not _is_done(store, one)]
        if missing or not _is_finished(store, attributes):
            write_metadata(store, attributes.model_copy(update={"complete": False}))
            run_shards(
                (_task(plan, store, attributes, one) for one in missing),
                len(missing),
                workers=workers,
                scheduler=scheduler,
                progress=progress,
            )
            finish(plan, store, attributes)
        shutil.rmtree(store / WORKING, ignore_errors=True)
    return _summary(plan, store, attributes, written=len(missing))


def attributes_of(
    plan: BuildPlan, *, rasters: bool, shard: int, compression: Compression = "lz4"
) -> StoreAttributes:
    """What the store of a plan says about itself, before it is complete."""
    protocol = plan.protocol
    parts: list[Part] = ["rasters"] if rasters else []
    if plan.segmentations is not None:
        parts.append("segmentation")
    return StoreAttributes(
        protocol=protocol.as_dict(),
        plan_sha256=plan.sha256,
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
        created_by=this_software(),
    )


def _begin(store: Path, attributes: StoreAttributes) -> None:
    """Make an empty store: under another name first, so that it is there in whole or not at all."""
    store.parent.mkdir(parents=True, exist_ok=True)
    fresh = store.with_name(f".{store.name}.{uuid.uuid4().hex}")
    try:
        create_group(fresh, attributes)
        try:
            fresh.rename(store)
        except OSError as error:
            if not (store / "zarr.json").is_file():
                raise WrongUse(f"{store} cannot be made: {error.strerror}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _same_plan(store: Path, wanted: StoreAttributes) -> StoreAttributes:
    """The store's own attributes, when it was begun for the same content."""
    found = read_attributes(store)
    remedy = "delete it, or give another output"
    if found.plan_sha256 != wanted.plan_sha256:
        what = "protocol" if found.protocol != wanted.protocol else "catalogue or segmentations"
        raise WrongUse(f"{store} was built from another {what} than now; {remedy}")
    if found.parts != wanted.parts:
        has = "with" if "rasters" in found.parts else "without"
        raise WrongUse(f"{store} was begun {has} rasters; build it so, or {remedy}")
    if not found.complete and found.created_by != wanted.created_by:
        raise WrongUse(
            f"{store} was begun by {found.created_by}, this is {wanted.created_by}; "
            f"finish it with the program that began it, or {remedy}"
        )
    return found


def _is_done(store: Path, shard: int) -> bool:
    """Whether a shard is there to stay; files that could only not be opened are tried again."""
    row = read_row(store, shard)
    if row is None or PASSING_REASONS & set(row.invalid.values()):
        return False
    return looks_whole(store, row)


def _is_finished(store: Path, attributes: StoreAttributes) -> bool:
    return attributes.complete and _is_done(store, -1)


def _task(plan: BuildPlan, store: Path, attributes: StoreAttributes, shard: int) -> ShardTask:
    """The task of one shard: its rows of the plan, and the slices they need."""
    start, stop = attributes.range_of(shard)
    rows = plan.examples[start:stop]
    places = rows["place"].unique().sort().to_list()
    # A slice's skipped frames are counted by the shard that holds its first example.
    before = plan.examples["place"][start - 1] if start else -1
    first_here = [place for place in places if place != before]
    skipped = plan.skipped_phases.filter(pl.col("place").is_in(first_here))
    local = {place: number for number, place in enumerate(places)}
    return ShardTask(
        store=store,
        shard=shard,
        attributes=attributes,
        slices=[plan.slices[place] for place in places],
        sources=[_source(row, local, plan) for row in rows.iter_rows(named=True)],
        skipped=[_source(row, local, plan) for row in skipped.iter_rows(named=True)],
    )


def _source(row: dict[str, Any], local: dict[int, int], plan: BuildPlan) -> Source:
    annotation = None
    if plan.segmentations is not None and row["segmentation"] is not None:
        annotation = plan.segmentations.annotation(row["segmentation"], row)
    return Source(
        root=row["root"],
        path=row["path"],
        frame=row["frame"],
        slice=local[row["place"]],
        phase_index=-1 if row["phase_index"] is None else row["phase_index"],
        split=row["split"],
        annotation=annotation,
    )


def _summary(plan: BuildPlan, store: Path, attributes: StoreAttributes, *, written: int) -> BuildSummary:
    reasons: Counter[str] = Counter()
    for shard in range(attributes.shards):
        reasons.update(finished_row(store, shard).invalid.values())
    places = plan.examples["place"].to_numpy()
    present = np.array([one.boxes.present for one in plan.slices])[places].sum(axis=0)
    without: Counter[str] = Counter(plan.slices[place].boxes.reason for place in places.tolist())
    without.pop("", None)
    codes = np.bincount(plan.examples["split"].to_numpy(), minlength=len(SPLITS))
    return BuildSummary(
        store=store,
        examples=attributes.examples,
        valid=attributes.examples - reasons.total(),
        invalid=reasons.total(),
        shards_written=written,
        shards_kept=attributes.shards - written,
        left_out=plan.left_out_counts,
        invalid_reasons=dict(sorted(reasons.items())),
        splits=dict(zip(SPLITS, codes.tolist(), strict=True)),
        boxes=dict(zip(attributes.box_names, present.tolist(), strict=bool(attributes.box_names))),
        without_boxes=dict(sorted(without.items())),
        centred=dict(sorted(Counter(plan.slices[place].centred for place in places.tolist()).items())),
        stacks_with_all_phases=len(plan.phases_untold),
    )


def _nothing(plan: BuildPlan) -> str:
    counts = ", ".join(f"{count} {reason}" for reason, count in plan.left_out_counts.items())
    found = f"left out: {counts}" if counts else f"no stack of view {plan.protocol.carrier}"
    return f"nothing to build for {plan.protocol.name}: {found}; anatprep show CATALOGUE lists what there is"
