"""A folder on a disk as the place of a store."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dicomgeom.errors import WrongUse
from dicomgeom.holding import held
from pretext_targets.chunks import Pieces, mapped
from pretext_targets.place import AT_ONCE, METADATA, FileRecord

WORKING: Final = ".building"
"""Folder in an unfinished store for attempts and the lock."""

LOCK = "lock"


@dataclass(frozen=True)
class Folder:
    """A folder on a disk."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def get(self, name: str) -> bytes | None:
        """See `Place`."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def record(self, name: str) -> FileRecord | None:
        """See `Place`."""
        return record_of(self.path / name) if (self.path / name).is_file() else None

    def sizes(self) -> dict[str, int]:
        """See `Place`."""
        found = {}
        for top, _, names in os.walk(self.path):
            below = os.path.relpath(top, self.path).replace(os.sep, "/")
            for name in names:
                key = name if below == "." else f"{below}/{name}"
                with contextlib.suppress(FileNotFoundError):  # a reader's view of a build that goes on
                    found[key] = os.stat(os.path.join(top, name)).st_size  # noqa: PTH118 (many files)
        return found

    def is_empty(self) -> bool:
        """See `Place`."""
        return not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir()))

    def open(self, name: str) -> Pieces:
        """See `Place`."""
        return mapped(self.path / name)

    def put(self, name: str, content: bytes) -> None:
        """See `Place`."""
        write_whole(self.path / name, content, aside=self.path / WORKING)

    def put_checked(
        self, files: Iterable[tuple[str, Sequence[bytes]]], check: Callable[[str, Pieces], FileRecord]
    ) -> dict[str, FileRecord]:
        """See `Place`: written aside, on disk, read back, moved in.

        All files of an attempt lie in one folder of its own under numbers. Waiting for the disk is
        done for several files at a time.
        """
        attempt = self.path / WORKING / uuid.uuid4().hex
        attempt.mkdir(parents=True)
        aside: dict[str, Path] = {}
        try:
            for number, (name, pieces) in enumerate(files):
                aside[name] = attempt / f"{number:05d}"
                _write(aside[name], pieces)
            _all_at_once(_sync_file, list(aside.values()))
            records = {name: check(name, mapped(path)) for name, path in aside.items()}
            for name, path in aside.items():
                folder = (self.path / name).parent
                if not folder.is_dir():  # asked first: it costs less than a refused mkdir
                    folder.mkdir(parents=True, exist_ok=True)
                os.replace(path, self.path / name)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
        _all_at_once(sync_folder, sorted({(self.path / name).parent for name in aside}))
        return records

    def begin(self, make: Callable[[], Mapping[str, bytes]]) -> bool:
        """See `Place`: under another name first, so that it is there in whole or not at all."""
        if not self.is_empty():
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        try:
            files = make()
            for name, content in files.items():
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                (fresh / name).write_bytes(content)
            _all_at_once(_sync_file, [fresh / name for name in files])
            _all_at_once(sync_folder, sorted({(fresh / name).parent for name in files} | {fresh}))
            try:
                fresh.rename(self.path)
            except OSError as error:
                if not (self.path / METADATA).is_file():
                    raise WrongUse(f"{self} cannot be made: {error.strerror}") from error
                return False
            sync_folder(self.path.parent)
            return True
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    @contextmanager
    def only_one_build(self) -> Iterator[None]:
        """See `Place`; a killed build leaves no lock behind."""
        with held(self.path / WORKING / LOCK) as ours:
            if not ours:
                raise WrongUse(f"{self} is being built by another process; wait for it to end")
            yield

    def tidy(self) -> None:
        """See `Place`."""
        shutil.rmtree(self.path / WORKING, ignore_errors=True)

    def at_once(self, work: Callable[[Any], Any], items: Sequence[Any]) -> None:
        """See `Place`: one after the other, mapped memory needs no waiting."""
        for item in items:
            work(item)

    def for_zarr(self) -> Path:
        """See `Place`."""
        return self.path


def record_of(path: Path) -> FileRecord:
    """Length and hash of a file as it is on disk."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileRecord(size_bytes=file.tell(), sha256=digest.hexdigest())


def write_whole(path: Path, content: bytes, *, aside: Path) -> None:
    """Write a file so that after a crash it is there in whole, or the old one is.

    It is written in a folder `aside` first, which the end of the build takes away with all that
    killed processes left in it.
    """
    for folder in (path.parent, aside):
        folder.mkdir(parents=True, exist_ok=True)
    attempt = aside / uuid.uuid4().hex
    try:
        with attempt.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(attempt, path)
    finally:
        attempt.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Ask the disk to keep a folder's entries."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, pieces: Sequence[bytes]) -> None:
    left = memoryview(b"".join(pieces))
    with path.open("wb", buffering=0) as file:
        while left:  # a disk that fills up takes a part first, and says so only then
            left = left[file.write(left) :]


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _all_at_once(work: Callable[[Path], None], paths: Sequence[Path]) -> None:
    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(paths)))) as pool:
        list(pool.map(work, paths))
