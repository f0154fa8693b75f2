"""The end of a build: what only the whole store knows, and the flag that says it is complete.

The statistics of whole stacks are the one thing a shard cannot know: a stack may lie in two.
Every shard leaves the sums of the pixels it read in its manifest row, each frame is counted
by exactly one shard, and here they are put together, in the order of the shards. So every
file is read once, however stacks and shards fall.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dicomgeom.errors import IntegrityError
from pretext_targets.commit import commit
from pretext_targets.frames import spread
from pretext_targets.manifest import (
    ManifestRow,
    Sums,
    read_row,
    record_of,
    record_of_bytes,
    write_row,
    write_whole,
)
from pretext_targets.plan import BuildPlan
from pretext_targets.shard import add_sums
from pretext_targets.store import (
    ATTRIBUTE,
    STACK_STATISTICS,
    StoreAttributes,
)


def finish(plan: BuildPlan, store: Path, attributes: StoreAttributes) -> None:
    """Write the statistics of whole stacks, the store's own row, and at last the flag `complete`.

    Raises
    ------
    IntegrityError
        When a shard is missing.
    """
    rows = [finished_row(store, shard) for shard in range(attributes.shards)]
    _write_statistics(plan, store, attributes, rows)
    complete = attributes.model_copy(update={"complete": True})
    files = {
        name: record_of(path) for one in attributes.fields for name, path in _once_written(store, one.name)
    }
    content = _metadata(store, complete)
    files["zarr.json"] = record_of_bytes(content)
    write_row(store, ManifestRow(-1, 0, attributes.examples, files))
    write_whole(store / "zarr.json", content)


def _once_written(store: Path, name: str) -> list[tuple[str, Path]]:
    """Files of an array that no shard's row names: its metadata, and all of a stack statistic."""
    folder = store / name
    paths = [folder / "zarr.json"]
    if name in STACK_STATISTICS:
        paths += sorted(path for path in (folder / "c").rglob("*") if path.is_file())
    return [(path.relative_to(store).as_posix(), path) for path in paths]


def _write_statistics(
    plan: BuildPlan, store: Path, attributes: StoreAttributes, rows: Sequence[ManifestRow]
) -> None:
    sums: dict[int, Sums] = {}
    for row in rows:
        for stack, part in row.sums.items():
            sums[stack] = add_sums(sums[stack], part) if stack in sums else part
    stack_of_slice = np.array([one.stack for one in plan.slices])
    values = np.full((stack_of_slice.max() + 1, len(STACK_STATISTICS)), np.nan)
    for stack, (count, total, squares, low, high) in sums.items():
        values[stack] = total / count, spread(count, total, squares), low, high
    of_example = values[stack_of_slice[plan.examples["place"].to_numpy()]].astype(np.float32)
    arrays = {name: of_example[:, column] for column, name in enumerate(STACK_STATISTICS)}
    commit(store, attributes, arrays, 0, attributes.examples)


def finished_row(store: Path, shard: int) -> ManifestRow:
    """The manifest row of a shard that must be there."""
    row = read_row(store, shard)
    if row is None:
        raise IntegrityError(f"{store}: shard {shard} was not written; run the same build-targets again")
    return row


def _metadata(store: Path, attributes: StoreAttributes) -> bytes:
    """The group's zarr.json with other attributes."""
    content = json.loads((store / "zarr.json").read_text("utf-8"))
    content["attributes"][ATTRIBUTE] = attributes.model_dump(mode="json")
    return json.dumps(content, indent=2).encode("utf-8") + b"\n"


def write_metadata(store: Path, attributes: StoreAttributes) -> None:
    """Replace what the store says about itself, in whole."""
    content = _metadata(store, attributes)
    if content != (store / "zarr.json").read_bytes():
        write_whole(store / "zarr.json", content)
