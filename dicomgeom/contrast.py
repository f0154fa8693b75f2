"""What kind of image a header describes: its role, its component, its velocity, its fat.

All by words, since DICOM's own words for them differ by maker and age; what words cannot
tell (cine or perfusion, localizer or not) is left to geometry and time.
"""

from __future__ import annotations

import re
from typing import Final

from dicomgeom.attributes import Attributes

DERIVED_TOKENS: Final = frozenset(
    {
        "MPR", "MIP", "MINIP", "MNIP", "PROJECTION IMAGE", "ADC", "SUB", "SUBTRACTION", "CSA MPR",
        "CSAPARALLEL", "REFORMATTED", "TRACEW", "FA", "CURVED", "THICK MPR",
    }
)  # fmt: skip
"""Image Type values that mean computed from other images. DERIVED alone proves nothing:
exports re-written by an archive carry it on every original."""

MAP_TOKENS: Final = frozenset(
    {
        "T1 MAP", "T2 MAP", "T2_STAR MAP", "T2STAR MAP", "T2* MAP", "T1MAP", "T2MAP", "MAP", "PERFUSION_MAP",
        "FIELD_MAP", "ECV", "ECV MAP", "B1 MAP", "R2 MAP", "R2_STAR MAP",
    }
)  # fmt: skip
MAP_TEXT: Final = re.compile(r"(?<![a-z0-9])(t1|t2|t2\*|t2star|ecv|r2\*?)[ _-]?map(?![a-z])", re.IGNORECASE)
COMPUTED_TOKENS: Final = frozenset({"T1", "T2", "T2_STAR", "T2STAR", "MAP", "ECV"})
"""With a description that says map and DERIVED, these third or later values mean one."""

VELOCITY_TOKENS: Final = frozenset(
    {"VELOCITY", "VELOCITY MAP", "PHASE CONTRAST M", "M_PCA", "PCA", "FLOW_ENCODED"}
)
PHASE_TOKENS: Final = frozenset({"P", "PHASE", "PHASE MAP", "VELOCITY", "VELOCITY MAP", "PHASE CONTRAST P"})
REAL_TOKENS: Final = frozenset({"R", "REAL", "R_FFE", "R_IR", "R_SE"})
IMAGINARY_TOKENS: Final = frozenset({"I", "IMAGINARY", "I_FFE", "I_IR", "I_SE"})

VELOCITY_SEQUENCE: Final = re.compile(r"_(v\d+(?:in|ap|rl|fh|through)?)", re.IGNORECASE)
"""Siemens writes the encoded velocity (cm/s) and its direction into the sequence name: *fl2d1_v150in."""

GE_CREATOR: Final = "GEMS_PARM_01"
GE_GROUP: Final = 0x0043
GE_COMPONENT: Final = 0x2F
GE_COMPONENTS: Final = ("", "phase", "real", "imaginary")
"""GE tells components apart by a private number alone."""

LOCALIZER_TEXT: Final = re.compile(r"locali[sz]|scout|survey|\bloc\b|3[ _-]?plan", re.IGNORECASE)
FAT_SUPPRESSION_TEXT: Final = re.compile(
    r"(?<![a-z])(fs|fatsat|fat.?sat|spair|spir|stir|dixon.?w)(?![a-z])", re.IGNORECASE
)


def role_of(tokens: set[str], text: str) -> tuple[str, str]:
    """Role (original, localizer, derived) and the word that made it so, empty for original."""
    derived = sorted(tokens & DERIVED_TOKENS)
    if derived:
        return "derived", derived[0]
    if "LOCALIZER" in tokens:
        return "localizer", "LOCALIZER"
    named = LOCALIZER_TEXT.search(text)
    return ("localizer", named[0]) if named else ("original", "")


def contrast_kind(source: Attributes, tokens: set[str], text: str) -> str:
    """What one frame's header tells: map, flow-phase, flow-magnitude, phase, real, imaginary or ""."""
    if tokens & MAP_TOKENS or ("DERIVED" in tokens and tokens & COMPUTED_TOKENS and MAP_TEXT.search(text)):
        return "map"
    component = _component(source, tokens)
    if encodes_velocity(source, tokens):
        return {"": "flow-magnitude", "phase": "flow-phase"}.get(component, component)
    return component


def _component(source: Attributes, tokens: set[str]) -> str:
    """phase, real, imaginary, or "" for magnitude, by the best of three places."""
    stated = source.text("ComplexImageComponent").upper()
    if stated in ("PHASE", "REAL", "IMAGINARY"):
        return stated.lower()
    for name, names in (("phase", PHASE_TOKENS), ("real", REAL_TOKENS), ("imaginary", IMAGINARY_TOKENS)):
        if tokens & names:
            return name
    number = source.private_numbers(GE_CREATOR, GE_GROUP, GE_COMPONENT)
    return GE_COMPONENTS[int(number[0])] if number and number[0] in (1, 2, 3) else ""


def encodes_velocity(source: Attributes, tokens: set[str]) -> bool:
    """Whether the phase of the signal was made to show motion."""
    return bool(
        tokens & VELOCITY_TOKENS
        or velocity_encoding(source)
        or source.text("PhaseContrast").upper() == "YES"
        or any(source.numbers("VelocityEncodingDirection"))
    )


def velocity_encoding(source: Attributes) -> str:
    """Velocity and direction that are encoded, as the maker writes them: components of one flow differ."""
    name = source.text("SequenceName") or source.text("PulseSequenceName")
    found = VELOCITY_SEQUENCE.search(name)
    if found:
        return found[1].lower()
    direction = source.numbers("VelocityEncodingDirection")
    return "v" + ",".join(f"{part:.3g}" for part in direction) if any(direction) else ""


def fat_suppressed(source: Attributes, text: str) -> bool:
    """By scan options or the words of people; Image Type's FS means a filter."""
    return "FS" in source.texts("ScanOptions") or bool(FAT_SUPPRESSION_TEXT.search(text))
