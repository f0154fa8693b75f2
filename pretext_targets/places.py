"""Where a store lies, from what people say: a path, or a URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from dicomgeom.errors import WrongUse
from pretext_targets.folder import Folder
from pretext_targets.place import METADATA, FileRecord, Place
from pretext_targets.where import Where, is_url

__all__ = ["METADATA", "FileRecord", "Folder", "Place", "Where", "is_url", "place_of"]


def place_of(where: Where | Place) -> Place:
    """The place of a store.

    Raises
    ------
    WrongUse
        When a URL is of no kind that is known, lost a slash, or what reads it is not installed.
    """
    if not isinstance(where, Path | str):
        return where
    if is_url(where):
        parts = urlsplit(str(where))
        if parts.scheme == "file":
            return Folder(Path(unquote(parts.path)))
        from pretext_targets.bucket import Bucket

        return Bucket(str(where).rstrip("/"))
    if isinstance(where, Path) and urlsplit(str(where)).scheme in ("s3", "gs", "az", "http", "https"):
        raise WrongUse(f"{where} is a URL that was made a path; give it as text")
    return Folder(Path(where))
