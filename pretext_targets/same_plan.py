"""Whether a store that is there was begun for the same content, and what differs where it was not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dicomgeom.differences import differences
from dicomgeom.errors import WrongUse
from dicomgeom.folder_marks import looks_like
from pretext_targets.attributes import StoreAttributes, read_attributes
from pretext_targets.codecs import Compression
from pretext_targets.places import METADATA, Folder, Place

REMEDY: Final = "delete it, or give another output"

PARTS: Final[Mapping[str, str]] = {
    "catalogue": "catalogue",
    "files": "files",
    "segmentations": "segmentations",
    "tissues": "tissues",
    "findings": "findings",
    "patients": "facts of the patients",
    "manifest": "manifest",
    "salt": "salt",
}
"""What a plan is made of beside its protocol (the names of `BuildPlan.parts_sha256`), as people call it."""

FROM_THE_PROTOCOL: Final = frozenset({"catalogue", "files"})
"""Parts of which a protocol takes what it needs: another one takes something else."""


def check_output(place: Place) -> None:
    """Refuse a file, and a folder that holds something else.

    Raises
    ------
    WrongUse
        When one of them has the name of the store.
    """
    if not isinstance(place, Folder) or place.is_empty():
        return
    if not place.path.is_dir():
        raise WrongUse(f"{place} is a file, a store is a folder; give another output")
    if not (place.path / METADATA).exists():
        what = looks_like(place.path)
        seen = f"is a {what}" if what not in ("", "DICOM files") else f"holds {what or 'files'}"
        raise WrongUse(f"{place} {seen} and no store; give a new or an empty folder as output")


def same_plan(place: Place, wanted: StoreAttributes, compression: Compression | None) -> StoreAttributes:
    """The attributes of a store that is there, when it was begun for the same content.

    Raises
    ------
    WrongUse
        When it was not; all that differs is named.
    IntegrityError, WrongVersion
        When no store is there.
    """
    found = read_attributes(place)
    if found.plan_sha256 != wanted.plan_sha256:
        told = "; ".join(_differing(found, wanted))
        raise WrongUse(f"{place} was built from something else than now ({told}); {REMEDY}")
    if found.parts != wanted.parts:
        has = "with" if "rasters" in found.parts else "without"
        raise WrongUse(f"{place} was begun {has} rasters; build it so, or {REMEDY}")
    if compression not in (None, found.compression):
        raise WrongUse(
            f"{place} was begun with {found.compression} compression, asked for was {compression}; "
            f"build it so, or {REMEDY}"
        )
    if not found.complete and found.created_by != wanted.created_by:
        raise WrongUse(
            f"{place} was begun by {found.created_by}, this is {wanted.created_by}; "
            f"finish it with the program that began it, or {REMEDY}"
        )
    return found


def _differing(found: StoreAttributes, wanted: StoreAttributes) -> list[str]:
    """What two plans don't have in common, a word or a few for each."""
    keys = differences(found.protocol, wanted.protocol)
    told = [f"protocol: {', '.join(keys)}"] if keys else []
    if not found.parts_sha256:  # begun before a store remembered its parts
        return told or ["another catalogue, segmentations, tissues or findings"]
    for name, spoken in PARTS.items():
        there, now = (of.parts_sha256.get(name) for of in (found, wanted))
        if there == now or (keys and name in FROM_THE_PROTOCOL):
            continue
        lacking = "there" if there is None else "now" if now is None else ""
        told.append(f"no {spoken} {lacking}" if lacking else f"other {spoken}")
    return told or ["the same, planned by another version of this program"]
