"""Two runs measured on the same patients: paired differences of all measures that both have.

What was measured before stands in `evaluation.json`; where it is of the same store, split and weights it is
taken from there, else the run is measured now. That is written where the run had no evaluation: what somebody
measured on other patients is not lost to a comparison.

A mean over structures is compared only where both runs told the same structures apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dicomgeom.errors import NothingUsable
from dicomgeom.progress import Progress, silent
from pretext_targets.places import Where
from pretext_targets.reader import StoreReader
from training.paired_difference import PairedDifference, paired_difference

Differences = dict[str, dict[str, PairedDifference]]
"""Label of a task -> measure -> first run - second run."""

MEAN_OVER_STRUCTURES = re.compile(r"(?P<kind>.+) mean(?P<unit>| \(.+\))")
"""Name of such a measure: `dice mean`, `assd mean (mm)`."""


def measured_or_evaluate(
    run: Path,
    store: Where,
    *,
    split: str = "test",
    any_spacing: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> dict[str, Any]:
    """The evaluation of a run on a split of a store: the one that stands in the run where it is that one.

    Any other that stands there is kept, and what is measured now is then not written.

    Raises
    ------
    HalfWritten, IntegrityError, WrongUse, NothingUsable
        As `evaluate` does.
    """
    # Loads torch, which the report does without.
    from training.evaluate import EVALUATION_FILE, EVALUATION_VERSION, evaluate, weights_sha256
    from training.transfer import WEIGHTS_FILE

    file = Path(run) / EVALUATION_FILE
    held = _held_evaluation(file)
    if held is not None and (Path(run) / WEIGHTS_FILE).is_file():
        wanted = {
            "version": EVALUATION_VERSION,
            "split": split,
            "store": StoreReader(store).attributes.plan_sha256,
            "weights": weights_sha256(Path(run)),
        }
        if {name: held.get(name) for name in wanted} == wanted:
            return held
    return evaluate(
        run,
        store,
        split=split,
        any_spacing=any_spacing,
        write=not file.exists(),
        device=device,
        progress=progress,
    )


def _held_evaluation(file: Path) -> dict[str, Any] | None:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return held if isinstance(held, dict) and isinstance(held.get("tasks"), dict) else None


def compared(first: Mapping[str, Any], second: Mapping[str, Any]) -> Differences:
    """Paired differences, first - second, of the measures that two evaluations share.

    A task is compared with the one of the same label, or else, when the other run has several streams or
    named its stream otherwise, with the only one that shares measures with it.

    Raises
    ------
    NothingUsable
        No patient has a measure in both.
    """
    found: Differences = {}
    for label, task in first["tasks"].items():
        partner = _partner_of(label, task, second["tasks"])
        if partner is not None:
            pairs = {name: _of_measure(task, partner, name) for name in _shared(task, partner)}
            found[label] = {name: pair for name, pair in pairs.items() if pair is not None}
    if not any(found.values()):
        raise NothingUsable(
            "the two runs have no measure of the same patients in common; "
            "give two runs of one task, measured on the same split of the same store"
        )
    return found


def _partner_of(label: str, task: Mapping[str, Any], others: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if label in others:
        return dict(others[label])
    sharing = [other for other in others.values() if _shared(task, other)]
    return dict(sharing[0]) if len(sharing) == 1 else None


def _shared(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Measures of two tasks that mean the same."""
    one, other = first["mean"], second["mean"]
    return [
        name
        for name in one
        # What is true of the patients is no measure of a run.
        if not name.startswith("true ")
        and name in other
        and structures_averaged(name, one) == structures_averaged(name, other)
    ]


def structures_averaged(name: str, measures: Iterable[str]) -> tuple[str, ...]:
    """Structures that a measure is the mean over, told by the other measures of its task; none for others."""
    found = MEAN_OVER_STRUCTURES.fullmatch(name)
    if found is None:
        return ()
    start, end = f"{found['kind']} ", found["unit"]
    parts = [one for one in measures if one != name and one.startswith(start) and one.endswith(end)]
    return tuple(sorted(one.removeprefix(start).removesuffix(end) for one in parts))


def _of_measure(first: Mapping[str, Any], second: Mapping[str, Any], name: str) -> PairedDifference | None:
    values = [
        {key: float(measures[name]) for key, measures in one["patients"].items() if name in measures}
        for one in (first, second)
    ]
    return paired_difference(values[0], values[1])
