"""Codes of label maps: what a manifest calls each of them, and those that it doesn't name.

A code without a name would become background, and its structure would be missing without a word: such codes
are counted. One that is meant to be background is named so, `4 = "background"`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from dicomgeom.data_manifest import DataManifest
from dicomgeom.errors import UnusableFile, WrongUse
from pretext_targets.annotations import BACKGROUND, canonical_name
from pretext_targets.nifti import read_nifti_codes

WITHOUT_CONTENT: Final = {"labels": {"merged"}}
"""Keys of a manifest from which nothing in a store follows, as pydantic leaves them out."""

FEW_CODES: Final = 2**16
"""Codes below it are counted by a table, others by sorting."""


@dataclass(frozen=True)
class CodeSeen:
    """Where a code that has no name was found."""

    label_maps: int
    pixels: int


def codes_of(manifest: DataManifest) -> dict[int, str]:
    """What each code of the label maps of a data set means, the heart's structures by their own names.

    Raises
    ------
    WrongUse
        When the manifest names no code, a code is no whole number or has no name, or several have one
        name that `labels.merged` does not list.
    """
    labels = manifest.labels
    if labels is None or not labels.codes:
        raise WrongUse(f"the manifest {manifest.name} names no codes of labels; it needs labels.codes")
    faults: list[str] = []
    codes: dict[int, str] = {}
    for code, name in labels.codes.items():
        if not code.removeprefix("-").isdecimal():
            faults.append(f"code {code!r} is no whole number")
        elif not name.strip():
            faults.append(f'code {code} has no name; what is meant to be background is called "{BACKGROUND}"')
        elif int(code) in codes:
            faults.append(f"code {int(code)} is named twice")
        else:
            codes[int(code)] = _name_of(name)
    several = {name for name, count in Counter(codes.values()).items() if count > 1} - {BACKGROUND}
    merged = {_name_of(name) for name in labels.merged}
    for name in sorted(several - merged):
        both = " and ".join(str(code) for code, other in sorted(codes.items()) if other == name)
        faults.append(
            f"codes {both} have one name, {name!r}; give each its own, or merge them: "
            f'labels.merged = ["{name}"]'
        )
    faults += [f"labels.merged: no two codes are called {name!r}" for name in sorted(merged - several)]
    if faults:
        raise WrongUse(f"the manifest {manifest.name}: {'; '.join(faults)}")
    return codes


def _name_of(label: str) -> str:
    return BACKGROUND if label.strip().lower() == BACKGROUND else canonical_name(label)


class UnnamedCodes:
    """Counts the codes in label maps that have no name; 0 is background in any case."""

    def __init__(self, codes: Mapping[int, str]) -> None:
        self._named = {0, *codes}
        self._maps: dict[int, set[str]] = defaultdict(set)
        self._pixels: Counter[int] = Counter()

    def add(self, path: str, first: int, slices: int) -> None:
        """Count those of a volume: so many slices of a file from the first on."""
        try:
            drawn = np.stack([read_nifti_codes(path, first + place) for place in range(slices)])
        except UnusableFile:  # told when the image is written
            return
        for code, pixels in _counts(drawn.ravel()).items():
            if code not in self._named:
                self._maps[code].add(path)
                self._pixels[code] += pixels

    def found(self) -> dict[int, CodeSeen]:
        """Each code that has no name, ascending."""
        return {code: CodeSeen(len(self._maps[code]), self._pixels[code]) for code in sorted(self._maps)}


def _counts(codes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> dict[int, int]:
    if codes.min() >= 0 and codes.max() < FEW_CODES:
        counts = np.bincount(codes)
        return {int(code): int(counts[code]) for code in np.flatnonzero(counts)}
    found, times = np.unique(codes, return_counts=True)
    return dict(zip(found.tolist(), times.tolist(), strict=True))
