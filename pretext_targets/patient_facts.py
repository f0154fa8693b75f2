"""What a labelled set tells of its patients beside the images: diagnosis, size, ED and ES.

The manifest of the set says where (`[facts]`): a file of `key: value` lines in each patient's
folder, as ACDC's Info.cfg, or one CSV with a row for each patient, as M&Ms and M&Ms-2 have it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicomgeom.data_manifest import DataManifest, Facts
from dicomgeom.errors import WrongUse

UNKNOWN: Final = ("", "na", "n/a", "nan", "none", "unknown", "-")
"""Words, in small letters, for a value that nobody told."""

TALLEST_M: Final = 3.0
"""A height below this is in metres, above it in centimetres."""


@dataclass(frozen=True)
class PatientFacts:
    """What is told of one patient; NaN and -1 where it isn't."""

    diagnosis: int = -1
    """Index into the names of the diagnoses."""
    height_cm: float = math.nan
    weight_kg: float = math.nan
    ed_phase: int = -1
    """Place of end-diastole in the heart cycle, counted from 0."""
    es_phase: int = -1


NOTHING_TOLD: Final = PatientFacts()


@dataclass(frozen=True)
class TableOfFacts:
    """All that a set tells.

    Attributes
    ----------
    names : tuple of str
        Diagnoses by number: those of the manifest in its order, then others by name.
    patients : mapping
        Subject -> facts.
    """

    names: tuple[str, ...]
    patients: Mapping[str, PatientFacts]

    def of(self, subject: str) -> PatientFacts:
        """What is told of a subject; all unknown when nothing is."""
        return self.patients.get(subject, NOTHING_TOLD)


def read_facts(folder: Path, manifest: DataManifest) -> TableOfFacts | None:
    """Read what a copy of a data set tells of its patients; None when it tells nothing.

    Raises
    ------
    WrongUse
        When a file cannot be read, or a value is no number where one belongs.
    """
    if manifest.facts is None:
        return None
    told = dict(_told(folder, manifest.facts))
    if not told:
        return None
    codes = {values.get(manifest.facts.diagnosis, "").strip() for _, values in told.values()}
    others = sorted(code for code in codes - manifest.facts.diagnoses.keys() if code.lower() not in UNKNOWN)
    number_of = {code: number for number, code in enumerate([*manifest.facts.diagnoses, *others])}
    patients = {
        subject: _facts(path, values, manifest.facts, number_of) for subject, (path, values) in told.items()
    }
    return TableOfFacts((*manifest.facts.diagnoses.values(), *others), patients)


def _told(folder: Path, facts: Facts) -> Iterator[tuple[str, tuple[Path, dict[str, str]]]]:
    """Every patient and the words that are told of it, with the file that tells them."""
    for path in sorted(folder.rglob(facts.file)):
        try:
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise WrongUse(
                f"{path} cannot be read ({type(error).__name__}); it should be UTF-8 text"
            ) from error
        if facts.form == "lines":
            pairs = (line.partition(":") for line in text.splitlines())
            yield path.parent.name, (path, {key.strip(): value.strip() for key, _, value in pairs})
            continue
        table = csv.DictReader(text.splitlines())
        if facts.subject not in (table.fieldnames or ()):
            raise WrongUse(
                f"{path} has no column {facts.subject!r}; found {', '.join(table.fieldnames or ())}"
            )
        for row in table:
            values = {key: (value or "").strip() for key, value in row.items() if key is not None}
            yield values[facts.subject].zfill(facts.subject_digits), (path, values)


def _facts(path: Path, values: Mapping[str, str], facts: Facts, number_of: Mapping[str, int]) -> PatientFacts:
    height, weight_kg = (_number(path, values, key) or math.nan for key in (facts.height, facts.weight_kg))
    phases = [_number(path, values, key) - facts.first_frame for key in (facts.ed, facts.es)]
    ed_phase, es_phase = (-1 if math.isnan(phase) else int(phase) for phase in phases)
    return PatientFacts(
        diagnosis=number_of.get(values.get(facts.diagnosis, "").strip(), -1),
        height_cm=height * 100 if height < TALLEST_M else height,
        weight_kg=weight_kg,
        ed_phase=ed_phase,
        es_phase=es_phase,
    )


def _number(path: Path, values: Mapping[str, str], key: str) -> float:
    word = values.get(key, "")
    if word.lower() in UNKNOWN:
        return math.nan
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise WrongUse(f"{path}: {key} should be a number, found {word!r}; mend it, or leave it empty")
    return number
