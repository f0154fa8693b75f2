"""Zip and tar archives whose members are read in place, in the order in which they lie."""

from __future__ import annotations

import functools
import lzma
import os
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

BROKEN_ARCHIVE: Final = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError,
    struct.error, NotImplementedError,
)  # fmt: skip
"""What opening and unpacking a damaged archive may raise."""

LARGEST_MEMBER_BYTES: Final = 4 << 30
"""Members that claim to unpack to more are not read: no MR image comes near."""

_archive_lock = threading.Lock()


def member_bytes(archive: Path, member: str, most_bytes: int | None) -> bytes:
    """The first `most_bytes` of a member (None: all); raises what a damaged archive does, or KeyError."""
    with _archive_lock:  # archive objects share one file position
        opened = _opened_archive(str(archive), archive.stat().st_mtime_ns, os.getpid())
        return opened.read(member, most_bytes)


def entries(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarInfo | None]]:
    """Entries of a tar, each with the one that holds its bytes: for a hard link an earlier file, if any.

    Raises
    ------
    tarfile.ReadError
        When it breaks off, also where that looks like its end: a damaged header, a cut between two members.
    """
    holders: dict[str, tarfile.TarInfo] = {}
    for entry in tar:
        holder = holders.get(entry.linkname) if entry.islnk() else entry if entry.isfile() else None
        if holder is not None:
            holders[entry.name] = holder
        yield entry, holder
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end of archive")


def spelled(path: str) -> str:
    """A path that tables can hold: bytes that are no text are written out."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Archive:
    """An archive that stays open over its members.

    A compressed tar can only be unpacked from its start. Members asked for in the order in
    which they lie are read in one pass; its directory is read once, by name.
    """

    def __init__(self, path: str) -> None:
        self._zip: zipfile.ZipFile | None = None
        self._tar: tarfile.TarFile | None = None
        self._by_name: dict[str, tarfile.TarInfo] = {}
        self._entry: zipfile.ZipInfo | tarfile.TarInfo | None = None
        self._reader: IO[bytes] | None = None
        self._start = b""
        if path.lower().endswith(".zip"):
            self._zip = zipfile.ZipFile(path)
        else:
            self._tar = tarfile.open(path)  # noqa: SIM115  stays open as long as the archive does
            self._by_name = _directory(self._tar)

    def __del__(self) -> None:
        for opened in (self._reader, self._zip, self._tar):
            if opened is not None:
                opened.close()

    def read(self, member: str, most_bytes: int | None) -> bytes:
        """The first `most_bytes` of a member (None: all), never more than it claims to hold.

        Asked for more of the member that it read last it goes on, since going back means to unpack a
        compressed tar from its start.
        """
        entry = self._by_name[member] if self._zip is None else self._zip.getinfo(member)
        claimed_bytes = entry.size if isinstance(entry, tarfile.TarInfo) else entry.file_size
        if claimed_bytes > LARGEST_MEMBER_BYTES:
            raise KeyError(member)
        wanted_bytes = claimed_bytes if most_bytes is None else min(most_bytes, claimed_bytes)
        try:
            reader = self._reader_of(entry)
            self._start += reader.read(max(wanted_bytes - len(self._start), 0))
            found = self._start[:wanted_bytes]
        except BaseException:  # where the reader stands now is anyone's guess
            self._release()
            raise
        if wanted_bytes == claimed_bytes:
            self._release()
        return found

    def _reader_of(self, entry: zipfile.ZipInfo | tarfile.TarInfo) -> IO[bytes]:
        """The reader of the member read last, or a new one."""
        if self._reader is None or entry is not self._entry:
            self._release()
            self._entry = entry
            if isinstance(entry, tarfile.TarInfo):
                assert self._tar is not None
                self._reader = _tar_reader(self._tar, entry)
            else:
                assert self._zip is not None
                self._reader = self._zip.open(entry)
        return self._reader

    def _release(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._entry, self._reader, self._start = None, None, b""


def _directory(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """Name of a member -> the entry that holds its bytes, as far as the archive is intact."""
    by_name: dict[str, tarfile.TarInfo] = {}
    name, holder = "", None
    try:
        for entry, holder in entries(tar):
            name = spelled(entry.name)
            if holder is not None:
                by_name[name] = holder
    except BROKEN_ARCHIVE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's trouble may pass, so that this directory must not be kept
        if holder is not None and not _is_whole(tar, holder):
            del by_name[name]
    return by_name


def _is_whole(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bool:
    """Whether the break of an archive lies behind the last byte of an entry."""
    try:
        with _tar_reader(tar, entry) as reader:
            reader.seek(max(entry.size - 1, 0))
            reader.read(1)
    except BROKEN_ARCHIVE:
        return False
    return True


def _tar_reader(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    reader = tar.extractfile(entry)
    assert reader is not None  # only files hold bytes
    return reader


@functools.lru_cache(maxsize=4)
def _opened_archive(archive: str, modified_ns: int, process: int) -> _Archive:
    """Keep an archive open over its members; anew when it changed or in another process."""
    return _Archive(archive)
