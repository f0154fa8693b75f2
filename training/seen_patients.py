"""Whom a run was trained on: so that nobody is a test patient of a network that has seen them.

Patients have keys, hashed with the salt of their catalogue. Two catalogues with different salts give one
patient two keys, and comparing them finds nothing. The salt is in no store; but a patient who has the same
key in two stores proves that the two have one salt. So a run keeps the keys of all patients of its stores,
the held-out ones included. Where no chain of common patients leads from a store to each of those a run
learned from, it cannot be told whether the run has seen its patients, and that is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dicomgeom.errors import IntegrityError, WrongUse
from training.checkpoint import write_json

SEEN_FILE = "seen_patients.json"


@dataclass(frozen=True)
class SeenPatients:
    """Patients that a network has seen, by their keys in hexadecimal.

    Attributes
    ----------
    trained
        Patients trained on, by the run and by those its weights come from.
    stores
        For each store that was learned from, all its patients.
    ancestors_known
        False when the run began with weights that do not say whom they were trained on.
    """

    trained: frozenset[str]
    stores: frozenset[frozenset[str]]
    ancestors_known: bool = True

    def after(self, earlier: SeenPatients | None) -> SeenPatients:
        """With those that the initial weights had seen; None: that is not known."""
        if earlier is None:
            return SeenPatients(self.trained, self.stores, ancestors_known=False)
        return SeenPatients(
            self.trained | earlier.trained, self.stores | earlier.stores, earlier.ancestors_known
        )

    def comparable_with(self, patients: Iterable[str]) -> bool:
        """Whether common patients prove that all stores share their salt with the store of `patients`."""
        proven, waiting = set(patients), set(self.stores)
        while joined := {store for store in waiting if not proven.isdisjoint(store)}:
            proven.update(*joined)
            waiting -= joined
        return not waiting

    def refuse(self, patients: Iterable[str], split: str) -> None:
        """Raise `WrongUse` when the run was trained on some of these patients of a split to measure on."""
        both = self.trained & set(patients)
        if both and split != "train":
            raise WrongUse(
                f"the run, or one whose weights it began with, was trained on {len(both)} of the {split} "
                "patients of this store; measure on patients it never saw"
            )


def write_seen_patients(run: Path, seen: SeenPatients) -> None:
    """Write the record into the folder of a run."""
    content = {
        "trained": sorted(seen.trained),
        "stores": sorted(sorted(store) for store in seen.stores),
        "ancestors_known": seen.ancestors_known,
    }
    write_json(run / SEEN_FILE, content)


def read_seen_patients(run: Path) -> SeenPatients:
    """Read the record of a run.

    Raises
    ------
    IntegrityError
        It is missing or damaged.
    """
    path = run / SEEN_FILE
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        stores = frozenset(frozenset(store) for store in read["stores"])
        return SeenPatients(frozenset(read["trained"]), stores, bool(read["ancestors_known"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} is missing or damaged, so nobody knows whom the run was trained on; train it again"
        ) from error
