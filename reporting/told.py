"""Free text that may be shown: settings and notes, without what looks like a path, a UID or a date.

Nothing that is shown should hold any of them: this is the last fence, for what somebody typed
into a recipe. Texts of a catalogue never come here: see `evidence.py`.
"""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "(not shown)"

_PRIVATE: Final = re.compile(
    r"""
    (?<![\w.])(?:~|\.{1,2})?/[^\s,;'"]+             # /export/of/somebody, ~/it, ../it
    | \b[A-Za-z]:\\[^\s,;'"]+ | \\\\[^\s,;'"]+       # C:\it, \\server\it
    | \b[a-z][a-z0-9+]{1,9}://[^\s,;'"]+             # s3://bucket/it
    | \b\d+(?:\.\d+){4,}\b                           # a UID
    | \b(?:19|20)\d\d(?:-\d\d-|\.\d\d\.)\d\d\b       # 2019-03-17
    | \b\d\d[./]\d\d[./](?:19|20)\d\d\b              # 17.03.2019
    | \b(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\b
    """,
    re.VERBOSE,
)


def told(text: object) -> str:
    """Spell something, with everything private in it hidden."""
    return _PRIVATE.sub(HIDDEN, str(text))
