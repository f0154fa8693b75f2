"""The end of a build: what only the whole store knows, and the flag that says it is complete.

The statistics of whole stacks are the one thing a shard cannot know: a stack may lie in two.
Every shard leaves the sums of the pixels it read in its manifest row, each frame is counted
by exactly one shard, and here they are put together, in the order of the shards. So every
file is read once, however stacks and shards fall.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from dicomgeom.errors import IntegrityError
from pretext_targets.attributes import ATTRIBUTE, StoreAttributes
from pretext_targets.build_plan import BuildPlan
from pretext_targets.commit import commit
from pretext_targets.frames import spread
from pretext_targets.manifest import ManifestRow, Sums, read_row, write_row
from pretext_targets.place import METADATA, FileRecord, Place, record_of_bytes
from pretext_targets.schema import STACK_STATISTICS
from pretext_targets.shard import add_sums


def finish(plan: BuildPlan, place: Place, attributes: StoreAttributes) -> None:
    """Write the statistics of whole stacks, the store's own row, and at last the flag `complete`.

    Raises
    ------
    IntegrityError
        When a shard is missing.
    """
    rows = [finished_row(place, shard) for shard in range(attributes.shards)]
    files = _write_statistics(plan, place, attributes, rows)
    for one in attributes.fields:
        name = f"{one.name}/{METADATA}"
        record = place.record(name)
        if record is None:
            raise IntegrityError(f"{place}: {name} went away while it was built")
        files[name] = record
    _, content = _metadata(place, attributes.model_copy(update={"complete": True}))
    files[METADATA] = record_of_bytes(content)
    write_row(place, ManifestRow(-1, 0, attributes.examples, files))
    place.put(METADATA, content)


def _write_statistics(
    plan: BuildPlan, place: Place, attributes: StoreAttributes, rows: Sequence[ManifestRow]
) -> dict[str, FileRecord]:
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
    return commit(place, attributes, arrays, 0, attributes.examples)


def finished_row(place: Place, shard: int) -> ManifestRow:
    """The manifest row of a shard that must be there."""
    row = read_row(place, shard)
    if row is None:
        raise IntegrityError(f"{place}: shard {shard} was not written; run the same build-targets again")
    return row


def _metadata(place: Place, attributes: StoreAttributes) -> tuple[bytes, bytes]:
    """The group's zarr.json as it is, and with other attributes."""
    found = place.get(METADATA)
    if found is None:
        raise IntegrityError(f"{place}: its zarr.json went away while it was built")
    content = json.loads(found)
    content["attributes"][ATTRIBUTE] = attributes.model_dump(mode="json")
    return found, json.dumps(content, indent=2).encode("utf-8") + b"\n"


def write_metadata(place: Place, attributes: StoreAttributes) -> None:
    """Replace what the store says about itself, in whole."""
    found, wanted = _metadata(place, attributes)
    if wanted != found:
        place.put(METADATA, wanted)
