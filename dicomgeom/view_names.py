"""The views, and what descriptions call them in several languages."""

from __future__ import annotations

import re
from typing import Final

LV_VIEWS: Final = ("4CH", "2CH", "3CH")
LONG_AXIS_VIEWS: Final = (*LV_VIEWS, "RV2CH", "RVOT")
BODY_VIEWS: Final = ("SAG", "COR", "AX")

VIEWS: Final = ("SAX", *LONG_AXIS_VIEWS, "LAX", *BODY_VIEWS, "OTHER")
"""Every answer there is; LAX is a long axis that is not told which."""

TEXT: Final = {
    "SAX": r"<sa>|sax|short.?ax|petit.?axe|kurz.?achs|<ks?a>|eje.?corto",
    "RV2CH": r"rv.?2.?ch|2.?ch.?rv|right.?2.?ch",
    "RVOT": r"rvot",
    "2CH": r"2.?ch|two.?ch|2.?cav|2.?kammer|<2k>|<vla>",
    "3CH": r"3.?ch|three.?ch|3.?cav|3.?kammer|<3k>|lvot",
    "4CH": r"4.?ch|four.?ch|4.?cav|4.?kammer|<4k>|<hla>",
    "SAG": r"<sag",
    "COR": r"<cor",
    "AX": r"<ax(ial)?>|<tra(ns)?(vers[ae]l?)?>",
}
"""< and > are the ends of a word; right-ventricular views stand before the left's."""

_PATTERNS: Final = {
    view: re.compile(pattern.replace("<", r"(?<![a-z0-9])").replace(">", r"(?![a-z0-9])"), re.IGNORECASE)
    for view, pattern in TEXT.items()
}


def view_in_text(text: str) -> str:
    """The view a description names, or an empty string."""
    return next((view for view, pattern in _PATTERNS.items() if pattern.search(text)), "")
