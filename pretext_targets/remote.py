"""Copy a finished store to object storage.

One PUT for each file, read back and compared with the manifest's hash, and the group's own
metadata, which says that the store is complete, last. Published again it sends only what is not
there yet with its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dicomgeom.errors import HalfWritten, IntegrityError, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.attributes import StoreAttributes, attributes_from
from pretext_targets.finish import finished_row
from pretext_targets.manifest import FOLDER, row_name
from pretext_targets.place import METADATA, FileRecord, Place, record_of_bytes
from pretext_targets.places import place_of
from pretext_targets.store import open_store

__all__ = ["publish"]


def publish(store: Path, url: str, *, progress: Progress = silent) -> int:
    """Copy a complete store to a URL, or finish a copy that was interrupted.

    Returns
    -------
    int
        Files that were sent; those that were there already are not.

    Raises
    ------
    IntegrityError
        When a file does not read back from there as the manifest says.
    HalfWritten
        When the store isn't complete.
    WrongUse
        When another store lies at the URL.
    """
    here, there = place_of(store), place_of(url)
    attributes = open_store(here).attributes
    _refuse_other(there, attributes)
    files = list(_files(here, attributes))
    lying = there.sizes()
    sent = 0
    for done, (name, record) in enumerate(files):
        if lying.get(name) != record.size_bytes or name.startswith(FOLDER) or name == METADATA:
            content = here.get(name)
            if content is None or record_of_bytes(content) != record:
                raise IntegrityError(f"{here}: {name} is not what it was; run anatprep verify on it")
            there.put(name, content)
            if there.record(name) != record:
                raise IntegrityError(f"{there}: {name} did not read back as it was sent; publish again")
            sent += 1
        progress("publishing", done=done + 1, total=len(files))
    return sent


def _files(here: Place, attributes: StoreAttributes) -> Iterator[tuple[str, FileRecord]]:
    """Every file of a store with its length and hash; the group's metadata last."""
    last: list[tuple[str, FileRecord]] = []
    for shard in [*range(attributes.shards), -1]:
        row = here.record(row_name(shard))
        if row is None:
            raise HalfWritten(
                f"{here} is half-written; run the same build-targets command again to finish it"
            )
        for name, record in finished_row(here, shard).files.items():
            if name == METADATA:
                last.append((name, record))
            else:
                yield name, record
        yield row_name(shard), row
    yield from last


def _refuse_other(there: Place, attributes: StoreAttributes) -> None:
    content = there.get(METADATA)
    if content is not None and attributes_from(content, there).plan_sha256 != attributes.plan_sha256:
        raise WrongUse(f"{there} holds another store; delete it, or give another address")
