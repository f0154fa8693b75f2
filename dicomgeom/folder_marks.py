"""What a folder is, told by the file that marks it: what anatprep itself wrote is no export.

The floors above write and check these files. Only their marks are known here, so that a folder is
recognised without importing upward, and without polars (see `workers.SHARED`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

CATALOGUE_MARK: Final = "catalogue.json"
STORE_MARK: Final = "zarr.json"
RUN_MARK: Final = "run.json"
EXPERIMENT_MARK: Final = "experiment.json"

MARKS: Final[Mapping[str, tuple[str, str]]] = {
    CATALOGUE_MARK: ("catalogue", "anatprep-catalogue"),
    STORE_MARK: ("store", "anatprep-store"),
    RUN_MARK: ("run", "anatprep-run"),
    EXPERIMENT_MARK: ("experiment", ""),
    "phantoms.json": ("truth folder", "anatprep-phantoms"),
}
"""File that marks a folder -> what the folder is, and the format that the file names."""

WORKSPACE_CATALOGUE: Final = "catalogue"
WORKSPACE_REPORT: Final = "report.html"
"""What commands call them in a workspace."""

LARGEST_MARK_BYTES: Final = 64 << 20
"""A file above it marks nothing: those of stores, the largest, have some hundred kilobytes."""

FILES_LOOKED_AT: Final = 50
"""Files of a folder that are looked at to tell whether it holds DICOM."""

DICOM_MARK: Final = (128, b"DICM")


def made_by_anatprep(folder: str, names: Collection[str]) -> str:
    """What a folder is that a command of anatprep wrote; empty for all others.

    Parameters
    ----------
    folder
        Path of the folder.
    names
        What it holds, or may hold.
    """
    for name, (what, form) in MARKS.items():
        if name in names and _says(f"{folder}/{name}", form):
            return what
    return ""


def _says(path: str, form: str) -> bool:
    """Whether a file is a mark of this format."""
    file = Path(path)
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_MARK_BYTES:
            return False
        content: Any = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(content, dict):
        return False
    if not form:  # experiments name none
        return content.keys() == {"grid", "size"}
    try:
        named = content["attributes"]["anatprep"]["format"] if "attributes" in content else content["format"]
    except (KeyError, TypeError):
        return False
    return bool(named == form)


def is_workspace(folder: str) -> bool:
    """Whether a folder holds a catalogue under the name that commands give it."""
    return made_by_anatprep(f"{folder}/{WORKSPACE_CATALOGUE}", MARKS) == "catalogue"


def looks_like(folder: Path) -> str:
    """What a folder seems to be: as `made_by_anatprep`, "workspace", "DICOM files", or empty."""
    if is_workspace(str(folder)):
        return "workspace"
    return made_by_anatprep(str(folder), MARKS) or ("DICOM files" if _holds_dicom(folder) else "")


def _holds_dicom(folder: Path) -> bool:
    """Whether one of the first files has DICOM's mark."""
    offset, mark = DICOM_MARK
    for path in islice(_files_below(folder), FILES_LOOKED_AT):
        try:
            with open(path, "rb") as file:
                if file.read(offset + len(mark))[offset:] == mark:
                    return True
        except OSError:
            continue
    return False


def _files_below(folder: Path) -> Iterator[Path]:
    for below, folders, names in os.walk(folder):
        if made_by_anatprep(below, names):
            folders.clear()
            continue
        # A pipe would never answer.
        yield from (path for name in names if (path := Path(below, name)).is_file())
