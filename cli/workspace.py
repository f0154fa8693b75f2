"""The folder that bare commands share, so that one finds what the other wrote.

::

    anatprep-work/            0700: the catalogue in it holds paths and UIDs
    ├── catalogue/
    ├── stores/<protocol>.zarr
    ├── runs/<recipe>/
    └── report.html
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dicomgeom.errors import WrongUse
from dicomgeom.folder_marks import CATALOGUE_MARK, RUN_MARK, STORE_MARK

DEFAULT_FOLDER = Path("anatprep-work")
VARIABLE = "ANATPREP_WORKSPACE"


@dataclass(frozen=True)
class Workspace:
    """Where things lie; makes the folder private when it makes it."""

    folder: Path

    @classmethod
    def at(cls, folder: Path | None) -> Workspace:
        """Take the workspace that was asked for, or ./anatprep-work."""
        return cls(folder or DEFAULT_FOLDER)

    def create(self) -> Workspace:
        """Make the folder, readable by its owner only.

        Raises
        ------
        WrongUse
            When something that is no folder has that name.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise WrongUse(f"{self.folder} is a file, a workspace is a folder; give another --workspace")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    @property
    def catalogue(self) -> Path:
        """Where `index` writes and `build-targets` reads."""
        return self.folder / "catalogue"

    @property
    def report(self) -> Path:
        """Where `report` writes."""
        return self.folder / "report.html"

    def store(self, protocol: str) -> Path:
        """Where the store of a protocol lies."""
        return self.folder / "stores" / f"{protocol}.zarr"

    def run(self, recipe: str) -> Path:
        """Where the run of a recipe lies."""
        return self.folder / "runs" / recipe

    def stores(self) -> list[Path]:
        """Every store there is, by name."""
        return self._holding("stores", STORE_MARK)

    def runs(self) -> list[Path]:
        """Every run there is, by name."""
        return self._holding("runs", RUN_MARK)

    def _holding(self, kind: str, marker: str) -> list[Path]:
        """List folders with a marker; hidden ones are leftovers of a writing that was killed."""
        found = sorted(self.folder.glob(f"{kind}/*/{marker}"))
        return [path.parent for path in found if not path.parent.name.startswith(".")]

    def sources(self) -> list[Path]:
        """Catalogue, stores and runs: all that can be verified and reported."""
        has_catalogue = (self.catalogue / CATALOGUE_MARK).exists()
        return [*([self.catalogue] if has_catalogue else []), *self.stores(), *self.runs()]

    def catalogue_or(self, catalogue: Path | None) -> Path:
        """Take the catalogue that was named, else the workspace's.

        Raises
        ------
        WrongUse
            When none was named and the workspace has none.
        """
        if catalogue is not None:
            return catalogue
        if not self.catalogue.exists():
            raise WrongUse(
                f"no catalogue was named and {self.catalogue} does not exist; "
                "run `anatprep index /path/to/export` first"
            )
        return self.catalogue

    def spelled(self) -> list[str]:
        """Give the words a next command needs to find this workspace again."""
        implied = Path(os.environ.get(VARIABLE) or DEFAULT_FOLDER)
        return [] if self.folder == implied else ["--workspace", str(self.folder)]


def open_source(source: Path) -> None:
    """Open a catalogue, store or run as its reader would, and let go of it.

    Raises
    ------
    IntegrityError
        When it is half-written, damaged, or of another version.
    """
    if (source / STORE_MARK).exists():
        from pretext_targets.store import open_store

        open_store(source)
    elif (source / RUN_MARK).exists():
        from training.run_file import read_run

        read_run(source)
    elif (source / CATALOGUE_MARK).exists():
        from dicomgeom.catalogue import open_catalogue

        open_catalogue(source)


def command_line(*words: str | Path | Sequence[str]) -> str:
    """Spell a command as a user would type it, quoted for the shell."""
    flat: list[str] = []
    for word in words:
        flat.extend([str(word)] if isinstance(word, str | Path) else map(str, word))
    return shlex.join(flat)
