"""What is known of a public data set before it is read: layout, views, counts, splits, licence.

One TOML file a data set lies in `data_manifests/`; a user's own has the same keys. A file
says only what is certain: what is not is the word "unknown". Used by `index` to check that a
download is complete, by builds for the splits of the data set, and by the import of labels.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from dicomgeom.errors import WrongUse, in_plain_words
from dicomgeom.spelling import unknown
from dicomgeom.view_names import VIEWS

FOLDER: Final = Path(__file__).parents[1] / "data_manifests"
KEPT_AS: Final = "data-manifest.toml"
"""Name of the copy that lies in a catalogue."""

Count = NonNegativeInt | Literal["unknown"]
SplitName = Literal["train", "validation", "test"]


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Place(_Checked):
    """One kind of file of a data set."""

    path: str
    """From the data set's folder; NNN and words in capitals vary."""
    holds: str


class Expected(_Checked):
    """How many files or folders a complete copy has."""

    what: str
    glob: str
    """From the data set's folder."""
    count: Count


class OwnSplit(_Checked):
    """Where the data set itself says what is for training and what for testing."""

    split: SplitName
    paths: tuple[str, ...] = Field(min_length=1)
    """Shell patterns of paths from the data set's folder; the first split that fits holds."""


class PaperSplit(_Checked):
    """How a paper divided it."""

    paper: str
    train: Count
    validation: Count
    test: Count
    note: str = ""


class Labels(_Checked):
    """Manual annotations."""

    codes: dict[str, str] = {}
    """Code in the files -> segment; "background" for one that is meant to be none."""
    merged: tuple[str, ...] = ()
    """Segments that several codes make together."""
    base: Literal["first", "last", "unknown"]
    """Which end of a stored volume is the base of the heart."""
    annotated: Literal["all frames", "ED and ES", "unknown"]
    note: str = ""


class Facts(_Checked):
    """What is told of each patient beside the images. Keys that a set doesn't have are empty."""

    file: str
    """Name of the file or files, anywhere below the data set's folder; shell pattern."""
    form: Literal["lines", "csv"]
    """"lines": one file in each patient's folder, `key: value`; "csv": a row for each patient."""
    subject: str = ""
    """Column of a CSV that names the patient."""
    subject_digits: int = 0
    """How many digits the patient's number has in the names of the files."""
    ed: str = ""
    es: str = ""
    """Key of the frame at end-diastole and end-systole."""
    first_frame: Literal[0, 1] = 0
    """Number of the first frame."""
    diagnosis: str = ""
    height: str = ""
    """In cm, or in m where it is below 3."""
    weight_kg: str = ""
    diagnoses: dict[str, str] = {}
    """Code in the files -> diagnosis, in the order of their numbers in a store."""


class DataManifest(_Checked):
    """All that is known of a data set."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    anatomy: str
    format: Literal["dicom", "nifti", "hdf5 and dicom", "npy"]
    geometry: Literal["present", "lost", "unknown"]
    """Whether the files say where a plane lies in the patient."""
    about: str
    licence: str
    access: str
    citations: tuple[str, ...] = Field(min_length=1)
    layout: tuple[Place, ...] = Field(min_length=1)
    views: dict[str, str] = {}
    """Shell pattern of a folder's or series' name -> view."""
    expected: tuple[Expected, ...] = Field(min_length=1)
    own_splits: tuple[OwnSplit, ...] = ()
    paper_splits: tuple[PaperSplit, ...] = ()
    labels: Labels | None = None
    facts: Facts | None = None

    def missing(self, root: Path) -> list[str]:
        """What a copy under `root` has more or less of than it should; one line each, empty when complete."""
        problems = []
        for one in self.expected:
            found = sum(1 for _ in root.glob(one.glob))
            if one.count not in ("unknown", found):
                problems.append(f"{one.what} ({one.glob}): found {found}, expected {one.count}")
        return problems

    def split_of(self, path: str) -> SplitName | None:
        """The data set's own split of a file, by its path from the data set's folder; or None."""
        for own in self.own_splits:
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in own.paths):
                return own.split
        return None


def shipped_data_manifests() -> tuple[str, ...]:
    """Names of the data sets that anatprep knows."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_data_manifest(name_or_path: str | Path) -> DataManifest:
    """Read the manifest of a known data set by its name, or a TOML file by its path.

    Raises
    ------
    WrongUse
        When there is none, it isn't TOML, or a key or value makes no sense; all at once.
    """
    path = Path(name_or_path)
    if str(name_or_path) in shipped_data_manifests():
        path = FOLDER / f"{name_or_path}.toml"
    elif not path.is_file():
        raise WrongUse(
            f"no data manifest {str(name_or_path)!r}: give the path of a TOML file "
            f"or one of {', '.join(shipped_data_manifests())}"
        )
    try:
        manifest = DataManifest.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise WrongUse(f"{path}: {'; '.join(_complaint(dict(one)) for one in error.errors())}") from error
    faults = [unknown("view", view, VIEWS) for view in manifest.views.values() if view not in VIEWS]
    if faults:
        raise WrongUse(f"{path}: {'; '.join(faults)}")
    return manifest


def keep_data_manifest(name_or_path: str | Path, catalogue: Path) -> DataManifest:
    """Check a manifest and keep a copy in a catalogue, for the builds to come."""
    manifest = load_data_manifest(name_or_path)
    given = Path(name_or_path)
    source = given if given.is_file() else FOLDER / f"{name_or_path}.toml"
    (catalogue / KEPT_AS).write_bytes(source.read_bytes())
    return manifest


def kept_data_manifest(catalogue: Path) -> DataManifest | None:
    """The manifest that was kept in a catalogue, if any."""
    path = catalogue / KEPT_AS
    return load_data_manifest(path) if path.is_file() else None


def incomplete(manifest: DataManifest, roots: Sequence[Path]) -> list[str]:
    """What is missing under the best of several folders: the one with the fewest complaints."""
    complaints = [manifest.missing(root) for root in roots if root.is_dir()]
    return min(complaints, key=len, default=[])


def _complaint(one: dict[str, Any]) -> str:
    key = ".".join(map(str, one["loc"]))
    if one["type"] == "extra_forbidden":
        return f"unknown key {key!r}, the keys are {', '.join(DataManifest.model_fields)}"
    if one["type"] == "missing":
        return f"missing key {key!r}"
    return f"{key}: {in_plain_words(one['msg'])}, found {one['input']!r}"
