"""Evidence and reasons that may leave the catalogue: numbers, and words of a known list.

A catalogue quotes what people typed (descriptions, protocol names, overrides), and people type
names and dates there. So nothing is searched for and struck out: a text is printed only where
it is one of those below, and what is not known is counted instead. `anatprep explain` shows
all of it to those who may read the catalogue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final

from dicomgeom.reasons import STACK_REASONS
from dicomgeom.view_names import VIEWS
from reporting.sections import Evidence

KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "angle of the normal to the heart's axis, degrees": (
        "normal of the short-axis stack",
        "common perpendicular of the long-axis planes",
    ),
    "angle of the normal to (1, -1, -1), degrees": ("small in SAX stacks",),
    "angle of the normal to VIEW, degrees": ("nearest", ""),
    "angle of the trace round the axis, degrees": ("nearest to VIEW (NUMBER)",),
    "cosine of the normal with (1, -1, -1)": (
        "too weak to tell the apex; the long-axis views tell it",
        "too weak to tell the apex; the long-axis views do not tell it either",
    ),
    "distance from the LV centre, mm": (
        "the centre is known to NUMBER mm only: little evidence",
        "through the LV",
        "misses the LV",
    ),
    "long-axis views together": ("a long axis, not told which",),
    "planes": ("many planes speak for SAX", "few planes"),
    "stacks on these planes": ("judged together",),
}
"""What is measured, and what can follow; its value and its limit are numbers."""

QUOTING: Final[Mapping[str, tuple[str, str]]] = {
    "description": ("names VIEW", "the description names {}"),
    "override": ("the user says VIEW", "the user says {}"),
}
"""Evidence that quotes: what can follow, and how it is told without the quote."""

OTHER_REASON: Final = "another reason"
"""Stands for a word that is on no list."""

NOT_SHOWN: Final = "not shown here; `anatprep explain` shows all"


def _pattern(sentence: str) -> re.Pattern[str]:
    views = "|".join(sorted(VIEWS, key=len, reverse=True))
    spelled = re.escape(sentence).replace("VIEW", f"({views})").replace("NUMBER", r"-?\d{1,4}(?:\.\d+)?")
    return re.compile(spelled, re.ASCII)


_MEASURED: Final = tuple(
    (_pattern(what), tuple(_pattern(says) for says in sentences)) for what, sentences in KNOWN.items()
)
_QUOTED: Final = {what: (_pattern(says), told) for what, (says, told) in QUOTING.items()}


def shown_evidence(text: str) -> tuple[Evidence, ...]:
    """What of a stack's evidence may be shown.

    Parameters
    ----------
    text : str
        The catalogue's `evidence`: a JSON list of {"what", "value", "limit", "says"}.
    """
    try:
        items = json.loads(text or "[]")
    except ValueError:
        items = []
    items = items if isinstance(items, list) else []
    shown = [_shown(item) for item in items if isinstance(item, dict)]
    kept = list(dict.fromkeys(piece for piece in shown if piece is not None))
    unknown = len(items) - len(shown) + shown.count(None)
    if unknown:
        kept.append(Evidence("further evidence", str(unknown), "", NOT_SHOWN))
    return tuple(kept)


def _shown(item: Mapping[str, Any]) -> Evidence | None:
    what, says = str(item.get("what", "")), str(item.get("says", ""))
    if what in _QUOTED:
        pattern, told = _QUOTED[what]
        named = pattern.fullmatch(says)
        return Evidence(what, "", "", told.format(named[1])) if named else None
    value, limit = _number(item.get("value")), _number(item.get("limit"))
    if value is None or limit is None:
        return None
    for pattern, sentences in _MEASURED:
        if pattern.fullmatch(what) and any(one.fullmatch(says) for one in sentences):
            return Evidence(what, value, limit, says)
    return None


def _number(value: object) -> str | None:
    """Spell a number, or an absent one; None where it is something else."""
    if value is None or value == "":
        return ""
    try:
        number = float(value) if isinstance(value, int | float | str) else float("nan")
    except ValueError:
        return None
    return f"{number:.4g}" if isfinite(number) else None


def shown_reasons(words: str) -> Iterator[str]:
    """What the catalogue's words of a stack mean, known ones only.

    Parameters
    ----------
    words : str
        `stacks.reason` or `stacks.frame_reason`: words joined by "; ".
    """
    for word in filter(None, (words or "").split("; ")):
        yield STACK_REASONS.get(word, "a remark that `anatprep explain` shows")


def reason_words(words: str) -> tuple[str, ...]:
    """The catalogue's words of a stack that are known; all others become one.

    Parameters
    ----------
    words : str
        As in `shown_reasons`.
    """
    single = filter(None, (words or "").split("; "))
    return tuple(dict.fromkeys(word if word in STACK_REASONS else OTHER_REASON for word in single))
