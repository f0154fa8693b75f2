"""Where files come from: folders, and zip and tar archives read in place.

A file is named by its root (an absolute folder) and its path below it; a member of an
archive by `archive!member`. Nothing is ever extracted to disk.
"""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO, Final, NamedTuple

from dicomgeom.archives import BROKEN_ARCHIVE, LARGEST_MEMBER_BYTES, entries, member_bytes, spelled
from dicomgeom.errors import UnusableFile, WrongUse
from dicomgeom.folder_marks import MARKS, WORKSPACE_REPORT, is_workspace, made_by_anatprep

MEMBER_SEPARATOR: Final = "!"
ARCHIVE_ENDINGS: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_ARCHIVE_AND_SEPARATOR: Final = re.compile(
    f"(?:{'|'.join(map(re.escape, ARCHIVE_ENDINGS))}){MEMBER_SEPARATOR}", re.IGNORECASE | re.ASCII
)

LARGEST_RATIO: Final = 250
"""Members that unpack to more than this many times their size are decompression bombs."""

SMALLEST_BOMB_BYTES: Final = 64 << 20
"""Of smaller members the ratio says nothing: a black slice packs a thousandfold, and does no harm."""

LARGEST_UNPACKED_BYTES: Final = 1 << 30
"""A compressed tar may always unpack to this much before its ratio is looked at."""

MADE_BY_ANATPREP: Final = "made-by-anatprep"


class FoundFile(NamedTuple):
    """A file as the file system or an archive's directory lists it; `refused` = why not to open it."""

    root: str
    path: str
    size_bytes: int
    modified_ns: int
    refused: str = ""


def check_source(source: Path) -> None:
    """Refuse what is no export.

    Raises
    ------
    WrongUse
        When the source does not exist, or is what anatprep itself wrote.
    """
    if not source.exists():
        raise WrongUse(f"{source} does not exist; give a folder, a zip or tar archive, or a DICOMDIR")
    own = made_by_anatprep(str(source), MARKS)
    if own:
        raise WrongUse(f"{source} is a {own} that anatprep wrote; give the export itself")


def list_files(source: Path, *, target: Path | None = None) -> Iterator[FoundFile]:
    """Every file below a folder or in an archive, in sorted order; symbolic links are followed once.

    A DICOMDIR stands for its folder: its references are a hint that exports often break. Folders that
    anatprep itself wrote are one row each, and not walked into.

    Parameters
    ----------
    source
        A folder, an archive or a DICOMDIR.
    target
        Folder of the catalogue that is being written; it may lie in the source, and hold no mark yet.

    Raises
    ------
    WrongUse
        As `check_source`.
    """
    check_source(source)
    source = Path(os.path.abspath(source))
    if source.is_dir():
        yield from _in_folder(str(source), target)
    elif source.name.upper() == "DICOMDIR":
        yield from _in_folder(str(source.parent), target)
    else:
        yield from _file_or_members(str(source.parent), source.name, source.stat())


def _in_folder(root: str, target: Path | None) -> Iterator[FoundFile]:
    """Walk down; a folder that was seen before (a link led back to it) is not entered again."""
    written = _identity(str(target)) if target is not None and target.exists() else None
    visited: set[tuple[int, int]] = set()
    pending = [""]
    while pending:
        below = pending.pop()
        try:
            identity = _identity(f"{root}/{below}")
            if identity in visited:
                continue
            visited.add(identity)
            with os.scandir(f"{root}/{below}") as scanned:
                entries = sorted(scanned, key=_name_of)
        except OSError:
            yield FoundFile(root, spelled(below.rstrip("/")), 0, 0, refused="unreadable-folder")
            continue
        names = {entry.name for entry in entries if entry.name in MARKS}
        if identity == written or made_by_anatprep(f"{root}/{below}", names):
            yield FoundFile(root, spelled(below.rstrip("/")), 0, 0, refused=MADE_BY_ANATPREP)
            continue
        folders = []
        for entry in entries:
            if _is_folder(entry):
                folders.append(f"{below}{entry.name}/")
            elif entry.name == WORKSPACE_REPORT and is_workspace(f"{root}/{below}"):
                yield FoundFile(root, spelled(below + entry.name), 0, 0, refused=MADE_BY_ANATPREP)
            else:
                yield from _entry(root, below + entry.name, entry)
        pending.extend(reversed(folders))


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _name_of(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _entry(root: str, path: str, entry: os.DirEntry[str]) -> Iterable[FoundFile]:
    try:
        status = entry.stat()
    except OSError:
        return (FoundFile(root, spelled(path), 0, 0, refused="dead-link"),)
    if path.isascii() and entry.is_file() and not path.lower().endswith(ARCHIVE_ENDINGS):
        return (FoundFile(root, path, status.st_size, status.st_mtime_ns),)  # nearly all of them
    return _file_or_members(root, path, status)


def _file_or_members(root: str, path: str, status: os.stat_result) -> Iterator[FoundFile]:
    if not stat.S_ISREG(status.st_mode):
        yield FoundFile(root, spelled(path), 0, status.st_mtime_ns, refused="not-a-file")
        return
    found = FoundFile(root, spelled(path), status.st_size, status.st_mtime_ns)
    if found.path != path:
        yield found._replace(refused="undecodable-name")
        return
    if not path.lower().endswith(ARCHIVE_ENDINGS):
        yield found
        return
    try:
        yield from _members(found)
    except BROKEN_ARCHIVE:
        yield found._replace(refused="broken-archive")


def _members(archive: FoundFile) -> Iterator[FoundFile]:
    file = Path(archive.root, archive.path)
    if file.name.lower().endswith(".zip"):
        with zipfile.ZipFile(file) as opened:
            for info in opened.infolist():
                if not info.is_dir():
                    yield _member(archive, info.filename, info.file_size, info.compress_size)
        return
    most_bytes = LARGEST_RATIO * archive.size_bytes + LARGEST_UNPACKED_BYTES
    with tarfile.open(file) as tar:
        for entry, holder in entries(tar):
            if entry.offset_data > most_bytes:
                yield archive._replace(refused="decompression-bomb")
                return
            if holder is not None:
                packed_bytes = 1024 if holder.issparse() else holder.size
                yield _member(archive, entry.name, holder.size, packed_bytes)
            elif not entry.isdir():
                refused = "dead-link" if entry.islnk() else "not-a-file"
                yield _member(archive, entry.name, 0, 0)._replace(refused=refused)


def _member(archive: FoundFile, name: str, size_bytes: int, packed_bytes: int) -> FoundFile:
    parts = PurePosixPath(name.replace("\\", "/"))
    refused = ""
    if parts.is_absolute() or ".." in parts.parts or PureWindowsPath(name).drive:
        refused = "path-climbs-out"
    elif size_bytes > LARGEST_MEMBER_BYTES or (
        size_bytes >= SMALLEST_BOMB_BYTES and size_bytes > LARGEST_RATIO * packed_bytes
    ):
        refused = "decompression-bomb"
    elif name.lower().endswith(ARCHIVE_ENDINGS):
        refused = "archive-in-archive"
    path = f"{archive.path}{MEMBER_SEPARATOR}{spelled(name)}"
    return FoundFile(archive.root, path, size_bytes, archive.modified_ns, refused)


def is_member(path: str) -> bool:
    """Whether a path names a member of an archive."""
    return bool(parted(path)[1])


def parted(path: str) -> tuple[str, str]:
    """An archive's path and its member's name, "" for a plain file: folders may hold the separator, too."""
    found = _ARCHIVE_AND_SEPARATOR.search(path) if MEMBER_SEPARATOR in path else None
    return (path[: found.end() - 1], path[found.end() :]) if found else (path, "")


def open_file(root: str, path: str) -> BinaryIO:
    """Open a file or an archive's member for reading, seekable.

    Raises
    ------
    UnusableFile
        When it is gone, unreadable, or no longer in its archive.
    """
    try:
        archive, member = parted(path)
        if not member:
            return open(Path(root, path), "rb")
        return io.BytesIO(member_bytes(Path(root, archive), member, None))
    except (*BROKEN_ARCHIVE, KeyError, RuntimeError) as error:
        raise _cannot_open(error) from error


def open_start(root: str, path: str, size_bytes: int) -> BinaryIO:
    """Open the first bytes of an archive's member: enough for its header, without unpacking it all.

    Raises
    ------
    UnusableFile
        As `open_file`.
    """
    archive, member = parted(path)
    try:
        return io.BytesIO(member_bytes(Path(root, archive), member, size_bytes))
    except (*BROKEN_ARCHIVE, KeyError, RuntimeError) as error:
        raise _cannot_open(error) from error


def _cannot_open(error: Exception) -> UnusableFile:
    detail = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return UnusableFile("cannot-open", str(detail), readable=False)
