"""Whose a catalogue folder is: never another program's, of one run at a time, and of one salt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicomgeom.catalogue import MARKER, read_marker
from dicomgeom.errors import WrongUse
from dicomgeom.holding import held
from dicomgeom.privacy import new_salt, read_salt


def check_target(catalogue: Path) -> None:
    """Refuse to write into a folder that is something else."""
    if catalogue.exists() and not catalogue.is_dir():
        raise WrongUse(f"{catalogue} is a file; give a folder for the catalogue")
    if catalogue.is_dir() and not (catalogue / MARKER).exists():
        strangers = [p.name for p in catalogue.iterdir() if not p.name.startswith(".")]
        if strangers:
            raise WrongUse(f"{catalogue} is not empty and not a catalogue; give a new folder with -o")
    if (catalogue / MARKER).exists():
        read_marker(catalogue)


@contextmanager
def locked(catalogue: Path) -> Iterator[None]:
    """One index at a time; the lock goes with its process, however that ends."""
    catalogue.mkdir(mode=0o700, parents=True, exist_ok=True)
    with held(catalogue / ".lock") as ours:
        if not ours:
            raise WrongUse(
                f"another index is writing {catalogue}; wait for it or give another folder with -o"
            )
        yield


def salt_of(catalogue: Path, salt_file: Path | None) -> bytes:
    """Salt of the hashed keys: the catalogue's own, the given one, or a new one."""
    kept = bytes.fromhex(read_marker(catalogue)["salt"]) if (catalogue / MARKER).exists() else None
    if salt_file is None:
        return kept or new_salt()
    given = read_salt(salt_file)
    if kept is not None and kept != given:
        raise WrongUse(
            f"catalogue {catalogue} was made with another salt; give that one, or a new folder with -o"
        )
    return given
