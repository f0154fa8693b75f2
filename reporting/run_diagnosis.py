"""What a run's segmentations are worth to a diagnosis, beside those that people drew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reporting.run_evaluation import is_number, spelled
from reporting.sections import Table, counted

SOURCES = {"manual": "from manual segmentations", "automatic": "from the run's segmentations"}
"""Where the features come from: key in the file -> column of the table."""


def diagnosis_tables(diagnosis: Mapping[str, Any]) -> Iterator[Table]:
    """Areas under curves and accuracy of both, and who was taken for whom."""
    there = {kind: diagnosis[kind] for kind in SOURCES if isinstance(diagnosis.get(kind), Mapping)}
    if not there:
        return
    names = dict.fromkeys(name for one in there.values() for name in one.get("auc") or {})
    rows = [(name, *(_with_interval(one, name) for one in there.values())) for name in names]
    rows.append(("accuracy", *(spelled(one.get("accuracy")) for one in there.values())))
    if any(one.get("volumes_left_out") for one in there.values()):
        told = (spelled(one.get("volumes_left_out")) for one in there.values())
        rows.append(("volumes left out, with unreadable images", *told))
    patients = max(len(one.get("patients") or {}) for one in there.values())
    yield Table(
        ("measure", *(SOURCES[kind] for kind in there)),
        tuple(rows),
        caption=f"Diagnosis of {counted(patients, str(diagnosis.get('split', '')) + ' patient')}",
        numeric=frozenset(range(1, len(there) + 1)),
        note=_forest(diagnosis),
    )
    for kind, one in there.items():
        yield from _confusion(kind, one, [str(name) for name in diagnosis.get("classes") or ()])


def _forest(diagnosis: Mapping[str, Any]) -> str:
    learned, without = diagnosis.get("trained_on"), diagnosis.get("trained_without")
    if not isinstance(learned, int):
        return ""
    note = f"a forest that learned from {counted(learned, 'patient')}"
    if isinstance(without, int) and without:
        note += f", without {counted(without, 'volume')} of theirs that {'has' if without == 1 else 'have'} "
        note += "unreadable images"
    return note


def _with_interval(one: Mapping[str, Any], name: str) -> str:
    value = spelled((one.get("auc") or {}).get(name))
    ends = (one.get("auc_interval") or {}).get(name)
    if isinstance(ends, list) and all(is_number(end) for end in ends):
        return f"{value} ({' to '.join(spelled(end) for end in ends)})"
    return value


def _confusion(kind: str, one: Mapping[str, Any], classes: list[str]) -> Iterator[Table]:
    matrix = one.get("confusion")
    if not isinstance(matrix, list) or len(matrix) != len(classes):
        return
    yield Table(
        ("true diagnosis", *(f"told {name}" for name in classes)),
        tuple((name, *(spelled(count) for count in row)) for name, row in zip(classes, matrix, strict=True)),
        caption=f"Who was taken for whom, {SOURCES[kind]}",
        numeric=frozenset(range(1, len(classes) + 1)),
    )
