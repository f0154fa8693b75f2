"""What a build and a reader ask of the place of a store: files by name ("image/c/0/0/0").

It is little: to write a file so that it is there in whole or not at all, to write a shard's files
and read them back before they count, to read. `folder.Folder` does it with renames and fsync,
`bucket.Bucket` with one PUT for each file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pretext_targets.chunks import Pieces

METADATA: Final = "zarr.json"

AT_ONCE: Final = 8
"""Files whose way to the disk, or over the network, is waited for together."""


@dataclass(frozen=True)
class FileRecord:
    """Length and SHA-256 (hexadecimal) of one file."""

    size_bytes: int
    sha256: str


class Place(Protocol):
    """Files by name. It can be sent to other processes; its text is what people call it."""

    def get(self, name: str) -> bytes | None:
        """A file's content; None when there is none."""
        ...

    def record(self, name: str) -> FileRecord | None:
        """Length and hash of a file as it is there now; None when there is none."""
        ...

    def sizes(self) -> Mapping[str, int]:
        """Lengths of all files."""
        ...

    def is_empty(self) -> bool:
        """Whether nothing is here."""
        ...

    def open(self, name: str) -> Pieces:
        """A file to read parts of.

        Raises
        ------
        IntegrityError
            When it is not there.
        """
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write a file so that it is there in whole, or the old one is."""
        ...

    def put_checked(
        self, files: Iterable[tuple[str, Sequence[bytes]]], check: Callable[[str, Pieces], FileRecord]
    ) -> dict[str, FileRecord]:
        """Write files, given as pieces, that count only when all read back.

        `check` raises where what was read back is not what it should be.
        """
        ...

    def begin(self, make: Callable[[], Mapping[str, bytes]]) -> bool:
        """Put the first files here where nothing is yet, `zarr.json` last; where something is do nothing.

        Whether it put them is the answer.
        """
        ...

    def only_one_build(self) -> AbstractContextManager[None]:
        """Refuse a second build while the block runs, where that can be known."""
        ...

    def tidy(self) -> None:
        """Take away what only a build needs."""
        ...

    def at_once(self, work: Callable[[Any], Any], items: Sequence[Any]) -> None:
        """Do some reading, together where that is faster."""
        ...

    def for_zarr(self) -> Any:
        """What zarr-python opens."""
        ...


def record_of_bytes(content: bytes | memoryview) -> FileRecord:
    """Length and hash that a file with this content has."""
    return FileRecord(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
