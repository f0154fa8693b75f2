"""What the names of NIfTI files say: whose they are, of which visit, and at which place in the heart cycle.

`patient007_frame12`, `001_SA_ED`, `case_001`, `sub-01_ses-2_cine`: words that stand between separators.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from dicomgeom.errors import WrongUse
from pretext_targets.patient_facts import PatientFacts

LABEL_ENDING: Final = "_gt"

FRAME_NAME: Final = re.compile(r"frame(\d+)")
END_NAME: Final = re.compile(r"[_.-](ED|ES)(?=[_.-]|$)", re.IGNORECASE)
SESSION_NAME: Final = re.compile(r"_(ses-[^_]+)")

MOMENT: Final = re.compile(r"[_.-](frame\d+|ED|ES|4d|CINE)(?=[_.-]|$)", re.IGNORECASE)
"""What sets files of one series apart: the cine, and its frames."""


def numbered_word(stem: str) -> str | None:
    """The `case` of `case_001`: a word without a digit before a number alone; None where there is none."""
    first, number = (*stem.split("_"), "")[:2]
    names_nobody = number.isdecimal() and not holds_digit(first) and not first.startswith("sub-")
    return first if names_nobody else None


def subject_of(stem: str, words: Collection[str]) -> str:
    """What stands before the first `_`; with the number behind it where that is the set's one word."""
    whole = len(words) == 1 and numbered_word(stem) in words
    return "_".join(stem.split("_")[: 2 if whole else 1])


def session_of(stem: str) -> str:
    """The visit as BIDS writes it, `ses-2`; empty where none is told."""
    found = SESSION_NAME.search(stem)
    return found[1] if found else ""


def series_of(stem: str) -> str:
    """The name without what tells a cine and its frames apart."""
    subject, separator, rest = stem.partition("_")
    return subject + MOMENT.sub("", separator + rest)


def frame_of(stem: str, facts: PatientFacts) -> int | None:
    """Frame of the cine that a name states, counted from 0: `frameNN`, or ED and ES where those are told."""
    found = FRAME_NAME.search(stem)
    if found:
        return int(found[1]) - 1 if int(found[1]) else None
    told = facts.ed_phase, facts.es_phase
    end = _end_of(stem)
    return told[end] if end is not None and min(told) >= 0 and told[0] != told[1] else None


def phase_of(stem: str, facts: PatientFacts) -> int | None:
    """Place in the heart cycle of a volume without a cine: its frame; ED and ES are first and second."""
    frame = frame_of(stem, facts)
    return _end_of(stem) if frame is None and not FRAME_NAME.search(stem) else frame


def _end_of(stem: str) -> int | None:
    _, separator, rest = stem.partition("_")  # a subject may be called ED
    found = END_NAME.search(separator + rest)
    return None if found is None else ("ED", "ES").index(found[1].upper())


def holds_digit(name: str) -> bool:
    """Whether there is a digit in a name, as in nearly all that name a person."""
    return any(letter.isdigit() for letter in name)


def refuse_strangers(name: str, folders: Sequence[str]) -> None:
    """Refuse one name in several folders, unless they are those of one person in BIDS, `sub-NAME/ses-VISIT`.

    Raises
    ------
    WrongUse
        When nothing tells whether it is one person.
    """
    people = {_person_of(name, folder) for folder in folders}
    if len(folders) > 1 and (None in people or len(people) > 1):
        raise WrongUse(
            f"images of {name} lie in {folders[0]} and in {folders[1]}, and nothing tells whether that is "
            "one person: give each person a name of their own before the first _, or put the visits of one "
            "person into folders sub-NAME/ses-VISIT"
        )


def refuse_numbers(name: str, stems: Sequence[str]) -> None:
    """Refuse volumes that could be of several people: numbers alone behind a name, or a name without a digit.

    Raises
    ------
    WrongUse
        When nothing tells whether they are of one person.
    """
    series = sorted({series_of(stem) for stem in stems})
    counted = [one for one in series if one.removeprefix(f"{name}_").isdecimal()]
    nobody = not holds_digit(name) and not name.startswith("sub-")
    doubtful = counted if len(counted) > 1 else series if nobody else []
    if len(doubtful) > 1:
        raise WrongUse(
            f"nothing tells whether {doubtful[0]} and {doubtful[1]} are of one person: write frameNN where a "
            "number is a frame of one person; give each person a name with a number before the first _"
        )


def _person_of(name: str, folder: str) -> str | None:
    """The folder of a person in BIDS, down to `sub-NAME`; None where there is none."""
    parts = folder.split("/")
    for place, part in enumerate(parts):
        session = parts[place + 1 : place + 2]
        if part.startswith("sub-") and (part == name or any(one.startswith("ses-") for one in session)):
            return "/".join(parts[: place + 1])
    return None
