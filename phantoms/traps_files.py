"""Traps in the bytes of files and in how they lie in folders and archives.

Each is done to the folder of a whole exam, and says where files went: a mapping from the
old place to the new, both relative to that folder; what was spoilt maps to None.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from phantoms.exam import Exam

Moves = dict[str, str | None]
"""Old place -> new place in the exam's folder, or None when the file can no longer be read."""

FileTrap = Callable[[Exam, Path, np.random.Generator], Moves]

FIXED_DATE = (2020, 1, 1, 0, 0, 0)
"""Date of archive members: the same exam gives the same bytes."""


def _paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "DICOMDIR")


def _place(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def no_preamble(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """The 128 bytes and the mark are cut off, file meta information stays."""
    for path in _paths(folder)[::3]:
        path.write_bytes(path.read_bytes()[132:])
    return {}


def no_file_meta(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """Only the data set is left, as old programs write it (implicit or explicit little endian alone)."""
    for path in _paths(folder)[::3]:
        whole = path.read_bytes()
        length = int.from_bytes(whole[140:144], "little")
        path.write_bytes(whole[144 + length :])
    return {}


def truncated(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """The largest file lost its last third."""
    path = max(_paths(folder), key=lambda path: (path.stat().st_size, path.name))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    return {_place(path, folder): None}


def truncated_header(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """A file ends after 600 bytes."""
    path = _paths(folder)[-1]
    path.write_bytes(path.read_bytes()[:600])
    return {_place(path, folder): None}


def wrong_length(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """The first element after the file meta information claims 64 KB."""
    path = _paths(folder)[0]
    whole = bytearray(path.read_bytes())
    start = 144 + int.from_bytes(whole[140:144], "little")
    whole[start + 6 : start + 8] = b"\xf0\xff"
    path.write_bytes(bytes(whole))
    return {_place(path, folder): None}


def empty_file(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """No bytes."""
    (_paths(folder)[0].parent / "EMPTY").write_bytes(b"")
    return {}


def not_dicom(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """What computers and people leave in folders."""
    (folder / "README.TXT").write_text("Images of one patient\n", encoding="utf-8")
    (folder / "Thumbs.db").write_bytes(bytes(rng.integers(0, 256, 3000, dtype=np.uint8)))
    (folder / "viewer.exe").write_bytes(b"MZ" + bytes(2000))
    (folder / "page.html").write_text("<html></html>", encoding="utf-8")
    return {}


def dead_link(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """Leads nowhere."""
    (folder / "GONE").symlink_to("nowhere/at/all")
    return {}


def symlink_loop(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """Leads to the folder it lies in."""
    (folder / "AGAIN").symlink_to(".")
    return {}


def zipped(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """Every second file lies in an archive."""
    chosen, moves = _paths(folder)[::2], Moves()
    with zipfile.ZipFile(folder / "HALF.ZIP", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in chosen:
            place = _place(path, folder)
            archive.writestr(zipfile.ZipInfo(place, FIXED_DATE), path.read_bytes(), zipfile.ZIP_DEFLATED)
            moves[place] = f"HALF.ZIP!{place}"
    for path in chosen:
        path.unlink()
    return moves


def climbing_archive(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """A member that an unwary program would write outside."""
    with zipfile.ZipFile(folder / "CLIMB.ZIP", "w") as archive:
        archive.writestr(zipfile.ZipInfo("../../evil.dcm", FIXED_DATE), b"anything")
        archive.writestr(zipfile.ZipInfo("/evil.dcm", FIXED_DATE), b"anything")
    return {}


def zip_bomb(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """A member of zeros, a thousand times as large as its archive."""
    block = bytes(1 << 20)
    with (
        zipfile.ZipFile(folder / "BOMB.ZIP", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open(_deflated("bomb.dcm"), "w") as member,
    ):
        for _ in range(64):
            member.write(block)
    return {}


def _deflated(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, FIXED_DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def several_folders(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """One to six folders deep."""
    moves = Moves()
    for path in _paths(folder):
        depth = int(rng.integers(1, 7))
        names = [f"{int(n):02X}" for n in rng.integers(0, 3, depth)]
        target = folder.joinpath(*names, path.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        place = _place(path, folder)
        path.rename(target)
        moves[place] = _place(target, folder)
    for old in sorted({(folder / place).parent for place in moves}, key=lambda p: -len(p.parts)):
        if old != folder and not any(old.iterdir()):
            old.rmdir()
    return moves


def private_storage(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """Philips exports private raw data and presentation states beside its images."""
    from phantoms.encoding import Encoder
    from phantoms.transfer_syntax import SYNTAXES
    from phantoms.traps_objects import stranger

    encoder = Encoder(SYNTAXES["explicit"])
    for name, sop_class in (
        ("XX_0001", "1.3.46.670589.11.0.0.12.2"),
        ("PS_0002", "1.2.840.10008.5.1.4.1.1.11.1"),
    ):
        dataset = stranger(exam, name, sop_class, "MR" if name[0] == "X" else "PR")
        (folder / name).write_bytes(encoder.file(dataset))
    return {}


def file_order(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """Names count backward."""
    moves, paths = Moves(), _paths(folder)
    for number, path in enumerate(paths):
        target = path.with_name(f"Z{len(paths) - number:07d}")
        place = _place(path, folder)
        path.rename(target)
        moves[place] = _place(target, folder)
    return moves


def fragmented(exam: Exam, folder: Path, rng: np.random.Generator) -> Moves:
    """One frame in fragments of a kilobyte: all items of a single frame belong together."""
    for path in _paths(folder):
        path.write_bytes(_in_fragments(path.read_bytes()))
    return {}


def _in_fragments(whole: bytes, size: int = 1024) -> bytes:
    mark = whole.rfind(b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff")
    if mark < 0:
        return whole
    stream = io.BytesIO(whole[mark + 12 :])
    items, data = [], b""
    while (head := stream.read(8))[:4] == b"\xfe\xff\x00\xe0":
        items.append(stream.read(int.from_bytes(head[4:], "little")))
    if len(items) != 2:
        return whole
    data = items[1]
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    parts = [whole[: mark + 12], b"\xfe\xff\x00\xe0\x00\x00\x00\x00"]
    parts += [b"\xfe\xff\x00\xe0" + len(piece).to_bytes(4, "little") + piece for piece in pieces]
    return b"".join([*parts, b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"])


ACTIONS: Mapping[str, FileTrap] = {
    "no-preamble": no_preamble,
    "no-file-meta": no_file_meta,
    "truncated": truncated,
    "truncated-header": truncated_header,
    "wrong-length": wrong_length,
    "empty-file": empty_file,
    "not-dicom": not_dicom,
    "dead-link": dead_link,
    "symlink-loop": symlink_loop,
    "zipped": zipped,
    "climbing-archive": climbing_archive,
    "zip-bomb": zip_bomb,
    "several-folders": several_folders,
    "private-storage": private_storage,
    "file-order": file_order,
    "fragmented": fragmented,
}
"""By the names of `phantoms.traps`; archives come before what renames files."""
