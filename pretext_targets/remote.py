"""Stores elsewhere: on object storage (s3://, gs://, az://) or wherever a URL leads.

A store is built on a disk, where a shard is renamed into place, and then published: one PUT for
each file, read back and compared with the manifest's hash, and the group's own metadata, which
says that the store is complete, last. Published again it sends only what is not there yet with
its length. Reading goes through Zarr's own stores (obstore); credentials and addresses come
from the environment, as other programs have them (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from dicomgeom.errors import HalfWritten, IntegrityError, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.manifest import FOLDER, FileRecord, read_row, row_path
from pretext_targets.store import StoreAttributes, attributes_from, open_store

SCHEMES: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "http", "https", "file", "memory")
METADATA: Final = "zarr.json"


def is_url(place: str) -> bool:
    """Whether a store's place is a URL, not a path."""
    return "://" in place


def remote_store(url: str, *, read_only: bool) -> Any:
    """Zarr's store of a URL.

    Raises
    ------
    WrongUse
        When the URL is of no kind that is known, or obstore is not installed.
    """
    if urlsplit(url).scheme not in SCHEMES:
        raise WrongUse(f"{url} is no address of a store; it should begin with one of {', '.join(SCHEMES)}")
    try:
        from obstore.store import from_url  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise WrongUse("stores at a URL are read with obstore; install it: pip install obstore") from error
    return zarr.storage.ObjectStore(from_url(url.rstrip("/")), read_only=read_only)


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
    attributes = open_store(store).attributes
    there = remote_store(url, read_only=False)
    _refuse_other(there, url, attributes)
    files = list(_files(store, attributes))
    sent = 0
    for done, (name, record) in enumerate(files):
        if _size(there, name) != record.size_bytes or name.startswith(FOLDER):
            content = (store / name).read_bytes()
            _put(there, name, content)
            if hashlib.sha256(_get(there, name) or b"").hexdigest() != record.sha256:
                raise IntegrityError(f"{url}: {name} did not read back as it was sent; publish again")
            sent += 1
        progress("publishing", done=done + 1, total=len(files))
    return sent


def _files(store: Path, attributes: StoreAttributes) -> Iterator[tuple[str, FileRecord]]:
    """Every file of a store with its length and hash; the group's metadata last."""
    last: list[tuple[str, FileRecord]] = []
    for shard in [*range(attributes.shards), -1]:
        row = read_row(store, shard)
        if row is None:
            raise HalfWritten(
                f"{store} is half-written; run the same build-targets command again to finish it"
            )
        for name, record in row.files.items():
            if name == METADATA:
                last.append((name, record))
            else:
                yield name, record
        path = row_path(store, shard)
        content = path.read_bytes()
        yield (
            path.relative_to(store).as_posix(),
            FileRecord(len(content), hashlib.sha256(content).hexdigest()),
        )
    yield from last


def _refuse_other(there: Any, url: str, attributes: StoreAttributes) -> None:
    content = _get(there, METADATA)
    if content is not None and attributes_from(content, url).plan_sha256 != attributes.plan_sha256:
        raise WrongUse(f"{url} holds another store; delete it, or give another address")


def _put(there: Any, name: str, content: bytes) -> None:
    sync(there.set(name, default_buffer_prototype().buffer.from_bytes(content)))


def _get(there: Any, name: str) -> bytes | None:
    found = sync(there.get(name, default_buffer_prototype()))
    return None if found is None else found.to_bytes()


def _size(there: Any, name: str) -> int:
    try:
        return int(sync(there.getsize(name)))
    except FileNotFoundError:
        return -1


class RemoteReader:
    """Reads a published store through Zarr; the face of `StoreReader`, slower.

    Parameters
    ----------
    url : str
        Where it was published.

    Raises
    ------
    IntegrityError, WrongVersion
        When no store of this version lies there.
    HalfWritten
        When its publishing was interrupted.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._there = remote_store(url, read_only=True)
        content = _get(self._there, METADATA)
        if content is None:
            raise HalfWritten(
                f"{url} holds no store, or one that was not published to its end; publish it again"
            )
        self.attributes: StoreAttributes = attributes_from(content, url)
        self._fields = {one.name: one for one in self.attributes.fields}
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._columns: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return self.attributes.examples

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteReader, (self.url,)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self._fields)

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._fields:
            raise IntegrityError(f"{self.url} has no array {name!r}; it has {', '.join(self.names)}")
        if name not in self._arrays:
            self._arrays[name] = zarr.open_array(self._there, path=name, mode="r", zarr_format=3)
        return self._arrays[name]

    def column(self, name: str) -> NDArray[Any]:
        """A whole small array, read once and kept; not writable."""
        if name in self._fields and self._fields[name].is_raster:
            raise WrongUse(f"{name!r} is an array of images; read slices of it with read()")
        if name not in self._columns:
            values = np.asarray(self._array(name)[...])
            values.setflags(write=False)
            self._columns[name] = values
        return self._columns[name]

    def read(self, name: str, indices: ArrayLike) -> NDArray[Any]:
        """Some examples of any array, in the order asked for, shape (n, ...)."""
        wanted = np.atleast_1d(np.asarray(indices, dtype=np.int64))
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise WrongUse(
                f"examples must lie in 0 ... {len(self) - 1}, found {wanted.min()} ... {wanted.max()}"
            )
        if name in self._fields and not self._fields[name].is_raster:
            return np.asarray(self.column(name)[wanted])
        return np.asarray(self._array(name).oindex[wanted])


def published_problems(url: str) -> list[str]:
    """List all files of a published store that are not what its manifest says; empty when it is sound."""
    there = remote_store(url, read_only=True)
    attributes = RemoteReader(url).attributes
    problems = []
    for shard in range(-1, attributes.shards):
        name = f"{FOLDER}/{row_path(Path(), shard).name}"
        row = _get(there, name)
        if row is None:
            problems.append(f"{name} is missing; publish the store again")
            continue
        for file, record in json.loads(row)["files"].items():
            content = _get(there, file)
            if content is None:
                problems.append(f"{file} is missing; publish the store again")
            elif hashlib.sha256(content).hexdigest() != record["sha256"]:
                problems.append(f"{file} has changed since it was published; delete it and publish again")
    return problems
