"""Whether what a report is going to draw is what was written, asked before anything is drawn.

Of a catalogue everything is looked at, of a run the files that are drawn are read anyway. A store may be
terabytes: of that the metadata, all small arrays, and the shards that pictures are drawn from are compared
with the SHA-256 in its manifest. ``anatprep verify`` compares all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dicomgeom.errors import IntegrityError
from dicomgeom.progress import Progress, silent
from pretext_targets.manifest import read_row, row_name
from pretext_targets.places import Where, is_url
from pretext_targets.reader import StoreReader
from reporting.store_section import counts_annotated
from reporting.store_stacks import pictured, stacks_of

STORE_ROW = -1
"""Number of the manifest's row that covers the metadata and the statistics of stacks."""


def refuse_changed_catalogue(folder: Path) -> None:
    """Raise `IntegrityError` when a catalogue is not what was written, or contradicts itself."""
    from dicomgeom.catalogue import verify_catalogue

    _refuse(folder, verify_catalogue(folder))


def refuse_changed_store(where: Where, *, progress: Progress = silent) -> None:
    """Raise `IntegrityError` when what a report reads of a store is not what was written.

    Behind a URL shards of pixels are not fetched as a whole for that: there the server keeps checksums.
    """
    reader = StoreReader(where)
    # First without pixels: which stacks are drawn is told by small arrays, which must be right for that.
    _refuse(where, list(_changed_files(reader, {}, progress)))
    if not is_url(where):
        _refuse(where, list(_changed_files(reader, _pixels_drawn(reader), progress)))


def _pixels_drawn(reader: StoreReader) -> dict[str, set[int]]:
    """Array of pixels -> shards of it that a report reads."""
    shards = {
        int(row) // reader.attributes.shard for stack in pictured(stacks_of(reader)) for row in stack.rows
    }
    found = {one.name: shards for one in reader.attributes.fields if one.is_raster}
    if counts_annotated(reader):
        found["segmentation"] = set(range(reader.attributes.shards))
    return found


def _changed_files(reader: StoreReader, pixels: dict[str, set[int]], progress: Progress) -> Iterator[str]:
    """Files that their rows name otherwise: of these shards of pixels, or where none are named all else."""
    place, attributes = reader.place, reader.attributes
    rasters = {one.name: one for one in attributes.fields if one.is_raster}
    for shard in range(STORE_ROW, attributes.shards):
        progress("checking what is drawn", done=shard + 1, total=attributes.shards + 1)
        row = read_row(place, shard)
        if row is None:
            yield f"{row_name(shard)} is missing"
            continue
        of_pixels = {one.chunk_name(shard) for one in rasters.values()}
        wanted = {rasters[name].chunk_name(shard) for name, shards in pixels.items() if shard in shards}
        for name, record in row.files.items():
            if name in wanted if pixels else name not in of_pixels:
                found = place.record(name)
                if found is None:
                    yield f"{name} is missing"
                elif found != record:
                    yield f"{name} has changed since it was written"


def _refuse(where: Where, problems: list[str]) -> None:
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise IntegrityError(f"{where} is broken: {problems[0]}{more}; `anatprep verify` lists all that is")
