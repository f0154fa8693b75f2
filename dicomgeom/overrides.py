"""The user's word on views: a TOML file that beats what geometry says.

::

    [[stack]]
    view = "RVOT"
    series_description = "*outflow*"

    [[stack]]
    view = "3CH"
    protocol_name = "lvot?"
    study_instance_uid = "1.2.840.1"

All conditions of an entry must hold for one and the same image of a stack. Descriptions and
protocol names are shell patterns (`*` anything, `?` one character, `[ab]` one of these),
compared without regard to case; UIDs must be equal. The first entry that matches a stack counts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from dicomgeom.errors import WrongUse
from dicomgeom.spelling import unknown
from dicomgeom.stack import Stack
from dicomgeom.view_names import VIEWS

PATTERNS: Final = ("series_description", "protocol_name")
UIDS: Final = ("series_instance_uid", "study_instance_uid")


@dataclass(frozen=True)
class Said:
    """What the user says of a stack, and where."""

    view: str
    where: str


@dataclass(frozen=True)
class Override:
    """One entry: the view, and what an image of the stack must match."""

    view: str
    conditions: Mapping[str, str]
    number: int

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Whether an images row meets all conditions."""
        return all(_holds(name, wanted, row[name] or "") for name, wanted in self.conditions.items())

    @property
    def where(self) -> str:
        """Where it stands, for the evidence."""
        said = ", ".join(f'{name} = "{wanted}"' for name, wanted in self.conditions.items())
        return f"entry {self.number}: {said}"


def _holds(name: str, wanted: str, found: str) -> bool:
    if name in UIDS:
        return found == wanted
    return fnmatchcase(found.casefold(), wanted.casefold())


def read_overrides(path: Path) -> tuple[Override, ...]:
    """Read and check a file of overrides.

    Raises
    ------
    WrongUse
        When it is no TOML, names unknown keys or views, or has an entry that matches nothing
        in particular. All faults are listed at once.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WrongUse(
            f"{path} cannot be read as TOML ({error}); see [[stack]] in docs/reference.md"
        ) from error
    entries = content.get("stack", [])
    faults = [f"unknown key {key!r} (there is only [[stack]])" for key in content if key != "stack"]
    if not isinstance(entries, list) or not entries:
        faults.append("no [[stack]] entry")
        entries = []
    for number, entry in enumerate(entries, start=1):
        faults += [f"entry {number}: {fault}" for fault in _faults(entry)]
    if faults:
        raise WrongUse(f"{path}: {'; '.join(faults)}")
    return tuple(
        Override(entry["view"], {key: entry[key] for key in entry if key != "view"}, number)
        for number, entry in enumerate(entries, start=1)
    )


def _faults(entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return ["must be a table, [[stack]]"]
    known = (*PATTERNS, *UIDS)
    faults = [
        f"unknown key {key!r} (known: view, {', '.join(known)})"
        for key in entry
        if key not in ("view", *known)
    ]
    faults += [
        f"{key} must be a text, found {entry[key]!r}" for key in entry if not isinstance(entry[key], str)
    ]
    view = entry.get("view")
    if view is None:
        faults.append("view is missing")
    elif isinstance(view, str) and view not in VIEWS:
        faults.append(unknown("view", view, VIEWS))
    if not any(key in entry for key in known):
        faults.append(f"nothing to match; give one of {', '.join(known)}")
    return faults


def said_of(stacks: Sequence[Stack], overrides: Sequence[Override]) -> dict[str, Said]:
    """The user's word on stacks, by `stack_id`."""
    said = {}
    for stack in stacks:
        rows = [stack.rows[i] for i in stack.members]
        for override in overrides:
            if any(override.matches(row) for row in rows):
                said[stack.stack_id] = Said(override.view, override.where)
                break
    return said


def unused_entries(overrides: Sequence[Override], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Entries that decide no stack, each with why.

    Parameters
    ----------
    overrides
        In the order of the file.
    rows
        `stack_id` and what entries may match, of all images that are in a stack.
    """
    matched = {one.number: {row["stack_id"] for row in rows if one.matches(row)} for one in overrides}
    decided: set[str] = set()
    unused = []
    for override in overrides:
        stacks = matched[override.number]
        if not stacks - decided:
            why = "an earlier entry decides what it matches" if stacks else "matches no stack"
            unused.append(f"{override.where} ({why})")
        decided |= stacks
    return unused
