"""What a name that is not known was meant to be."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

LEAST_ALIKE: Final = 0.5


def meant(word: str, known: Collection[str]) -> str:
    """The nearest known name as a question in brackets, upper and lower case alike; or nothing."""
    named = {name.lower(): name for name in known}
    near = get_close_matches(word.strip().lower(), named, n=1, cutoff=LEAST_ALIKE)
    return f" (did you mean {named[near[0]]!r}?)" if near else ""


def unknown(what: str, word: str, known: Collection[str]) -> str:
    """A fault to tell: the name, what it may have been, and all that there are."""
    return f"unknown {what} {word!r}{meant(word, known)}; the {what}s are {', '.join(known)}"
