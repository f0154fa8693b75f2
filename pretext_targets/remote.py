"""Copy a finished store to object storage.

One PUT for each file, read back and compared with the manifest's hash; after the files of a shard its
manifest row, and the group's own metadata, which says that the store is complete, last. Published again
it sends only what the rows there do not vouch for: a file whose length is right may hold something else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from dicomgeom.errors import HalfWritten, IntegrityError, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.attributes import StoreAttributes, attributes_from
from pretext_targets.finish import finished_row, write_metadata
from pretext_targets.manifest import FOLDER, read_row, row_name
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
    shards = {one: _shard_files(here, one) for one in [*range(attributes.shards), -1]}
    _refuse_other(here, there, attributes, {name for files in shards.values() for name in files})
    lying = dict(there.sizes())
    total, done, sent = sum(len(files) for files in shards.values()), 0, 0
    for shard, files in shards.items():
        vouched = _vouched_for(there, shard, lying)
        for name, record in files.items():
            if name not in vouched or vouched[name] != record or lying.get(name) != record.size_bytes:
                if METADATA in lying:  # from here on, what lies there is no complete store
                    write_metadata(there, attributes.model_copy(update={"complete": False}))
                    del lying[METADATA]
                _send(here, there, name, record)
                sent += 1
            done += 1
            progress("publishing", done=done, total=total)
    return sent


def _shard_files(here: Place, shard: int) -> dict[str, FileRecord]:
    """The files of a shard with length and hash, its row behind them, the group's metadata at the end."""
    row = here.record(row_name(shard))
    if row is None:
        raise HalfWritten(f"{here} is half-written; run the same build-targets command again to finish it")
    files = dict(finished_row(here, shard).files)
    last = {METADATA: files.pop(METADATA)} if METADATA in files else {}
    return {**files, row_name(shard): row, **last}


def _vouched_for(there: Place, shard: int, lying: Mapping[str, int]) -> dict[str, FileRecord]:
    """What lies there as a row there says that it does; that row itself has no row, so it is looked at."""
    name = row_name(shard)
    try:
        row = read_row(there, shard) if name in lying else None
    except IntegrityError:
        row = None
    own = there.record(name) if row else None
    return {**row.files, name: own} if row and own else {}


def _send(here: Place, there: Place, name: str, record: FileRecord) -> None:
    content = here.get(name)
    if content is None or record_of_bytes(content) != record:
        raise IntegrityError(f"{here}: {name} is not what it was; run anatprep verify on it")
    there.put(name, content)
    if there.record(name) != record:
        raise IntegrityError(f"{there}: {name} did not read back as it was sent; publish again")


def _refuse_other(here: Place, there: Place, attributes: StoreAttributes, names: Collection[str]) -> None:
    """Raise when another store lies there, or what an interrupted copy of another left."""
    content = there.get(METADATA)
    remedy = "delete it, or give another address"
    if content is not None:
        if attributes_from(content, there).plan_sha256 != attributes.plan_sha256:
            raise WrongUse(f"{there} holds another store; {remedy}")
        return
    rows = [name for name in there.sizes() if name.startswith(f"{FOLDER}/")]
    if any(name not in names or there.get(name) != here.get(name) for name in rows):
        raise WrongUse(f"{there} holds what is left of another store; {remedy}")
