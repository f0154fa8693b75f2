"""Where files come from: folders, and zip and tar archives read in place.

A file is named by its root (an absolute folder) and its path below it; a member of an
archive by `archive!member`. Nothing is ever extracted to disk.
"""

from __future__ import annotations

import functools
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from dicomgeom.errors import UnusableFile, WrongUse

MEMBER_SEPARATOR: Final = "!"
ARCHIVE_ENDINGS: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

LARGEST_RATIO: Final = 250
"""Members that unpack to more than this many times their size are decompression bombs."""

LARGEST_MEMBER_BYTES: Final = 4 << 30
"""Members that claim to unpack to more are not read: no MR image comes near."""

_archive_lock = threading.Lock()


@dataclass(frozen=True)
class FoundFile:
    """A file as the file system or an archive's directory lists it; `refused` = why not to open it."""

    root: str
    path: str
    size_bytes: int
    modified_ns: int
    refused: str = ""


def list_files(source: Path) -> Iterator[FoundFile]:
    """Every file below a folder or in an archive, in sorted order; symbolic links are followed once.

    A DICOMDIR stands for its folder: its references are a hint that exports often break.

    Raises
    ------
    WrongUse
        When the source does not exist.
    """
    source = Path(os.path.abspath(source))
    if not source.exists():
        raise WrongUse(f"{source} does not exist; give a folder, a zip or tar archive, or a DICOMDIR")
    if source.is_dir():
        yield from _in_folder(source)
    elif source.name.upper() == "DICOMDIR":
        yield from _in_folder(source.parent)
    else:
        yield from _file_or_members(source.parent, source)


def _in_folder(root: Path) -> Iterator[FoundFile]:
    visited: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()  # a symbolic link led back to a folder already seen
            continue
        visited.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in sorted(names):
            yield from _file_or_members(root, Path(folder, name))


def _file_or_members(root: Path, file: Path) -> Iterator[FoundFile]:
    path = file.relative_to(root).as_posix()
    try:
        status = file.stat()
    except OSError:
        yield FoundFile(str(root), path, 0, 0, refused="dead-link")
        return
    if not file.is_file():
        yield FoundFile(str(root), path, 0, status.st_mtime_ns, refused="not-a-file")
        return
    found = FoundFile(str(root), path, status.st_size, status.st_mtime_ns)
    if not file.name.lower().endswith(ARCHIVE_ENDINGS):
        yield found
        return
    try:
        yield from _members(found, file)
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError):
        yield FoundFile(found.root, path, found.size_bytes, found.modified_ns, refused="broken-archive")


def _members(archive: FoundFile, file: Path) -> Iterator[FoundFile]:
    def member(name: str, size_bytes: int, packed_bytes: int) -> FoundFile:
        refused = ""
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            refused = "path-climbs-out"
        elif size_bytes > LARGEST_MEMBER_BYTES or size_bytes > LARGEST_RATIO * max(packed_bytes, 1024):
            refused = "decompression-bomb"
        path = f"{archive.path}{MEMBER_SEPARATOR}{name}"
        return FoundFile(archive.root, path, size_bytes, archive.modified_ns, refused)

    if file.name.lower().endswith(".zip"):
        with zipfile.ZipFile(file) as opened:
            for info in opened.infolist():
                if not info.is_dir():
                    yield member(info.filename, info.file_size, info.compress_size)
    else:
        with tarfile.open(file) as tar:
            for entry in tar:
                if entry.isfile():
                    yield member(entry.name, entry.size, entry.size)


def open_file(root: str, path: str) -> BinaryIO:
    """Open a file or an archive's member for reading, seekable.

    Raises
    ------
    UnusableFile
        When it is gone, unreadable, or no longer in its archive.
    """
    archive, separator, member = path.partition(MEMBER_SEPARATOR)
    try:
        if not separator or not archive.lower().endswith(ARCHIVE_ENDINGS):
            return open(Path(root, path), "rb")
        return io.BytesIO(_member_bytes(Path(root, archive), member))
    except (OSError, KeyError, zipfile.BadZipFile, tarfile.TarError, RuntimeError, EOFError) as error:
        detail = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise UnusableFile("cannot-open", str(detail), readable=False) from error


def _member_bytes(archive: Path, member: str) -> bytes:
    with _archive_lock:  # archive objects share one file position
        opened = _opened_archive(str(archive), archive.stat().st_mtime_ns, os.getpid())
        if isinstance(opened, zipfile.ZipFile):
            return opened.read(member)
        extracted = opened.extractfile(member)
        if extracted is None:
            raise KeyError(member)
        return extracted.read()


@functools.lru_cache(maxsize=4)
def _opened_archive(archive: str, modified_ns: int, process: int) -> zipfile.ZipFile | tarfile.TarFile:
    """Keep an archive open over its members; anew when it changed or in another process."""
    return zipfile.ZipFile(archive) if archive.lower().endswith(".zip") else tarfile.open(archive)
