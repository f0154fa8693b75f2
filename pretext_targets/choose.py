"""Which stacks of a catalogue carry labels, and which plane of which partner stack cuts them.

Every choice is recorded: stacks that are passed over get a reason, and each partner says how
many stacks competed and what decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomgeom.plane import ImagePlane
from pretext_targets.locations import middle_slice
from pretext_targets.protocol import Protocol

Row = Mapping[str, Any]
"""One row of the stacks table."""

KIND = "kind-not-admitted"
SUPERSEDED = "repeated-later"
OTHER_CONTRAST = "fat-suppressed-preferred"
NO_ORIGINAL = "not-original"

DECIDERS = ("completeness", "frames", "repeat", "acquisition time", "series number", "nearness")
"""What decides between competing partner stacks, in this order; after them a tie."""


@dataclass(frozen=True, eq=False)
class StackPlanes:
    """A stack with the planes of its slices, in the order of `slice_index`."""

    row: Row
    slice_indices: tuple[int, ...]
    planes: tuple[ImagePlane, ...]

    @property
    def stack_id(self) -> str:
        """Identity in the catalogue."""
        return str(self.row["stack_id"])

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector along which the slices are counted, shape (3,)."""
        return np.asarray(self.row["normal"], dtype=np.float64)

    @property
    def positions_mm(self) -> NDArray[np.float64]:
        """Place of each slice along the normal, shape (n,)."""
        return np.array([plane.centre_mm @ self.normal for plane in self.planes])

    @property
    def middle(self) -> int:
        """Place (in `planes`) of the middle slice."""
        return middle_slice(self.positions_mm)


@dataclass(frozen=True)
class Choice:
    """The partner that one carrier stack got for one view; `partner` None when there is none."""

    stack_id: str
    view: str
    partner: StackPlanes | None
    place: int
    """Of the partner's central plane among its planes."""
    candidates: int
    decided_by: str

    @property
    def plane(self) -> ImagePlane | None:
        """The partner's central plane."""
        return None if self.partner is None else self.partner.planes[self.place]

    @property
    def slice_index(self) -> int | None:
        """The partner's central slice."""
        return None if self.partner is None else self.partner.slice_indices[self.place]


def carrier_verdicts(stacks: Iterable[Row], protocol: Protocol) -> list[tuple[Row, str]]:
    """Every stack of the carrier's view with the reason it is passed over, empty when it is taken."""
    verdicts: list[tuple[Row, str]] = []
    for row in stacks:
        if row["view"] != protocol.carrier:
            continue
        reason = ""
        if row["kind"] not in protocol.kinds:
            reason = KIND
        elif row["superseded_by"]:
            reason = SUPERSEDED
        verdicts.append((row, reason))
    if not protocol.prefer_fat_suppressed:
        return verdicts
    with_preferred = {
        row["study_instance_uid"] for row, reason in verdicts if not reason and row["fat_suppressed"]
    }
    return [
        (row, OTHER_CONTRAST)
        if not reason and row["study_instance_uid"] in with_preferred and not row["fat_suppressed"]
        else (row, reason)
        for row, reason in verdicts
    ]


def choose_partners(
    carrier: StackPlanes, candidates: Sequence[StackPlanes], protocol: Protocol
) -> tuple[Choice, ...]:
    """Choose one stack for each partner view of a carrier.

    The latest complete acquisition with most frames; ties by nearness to the centre of the
    short-axis stack (the carrier, or the partner just chosen; where there is none, to the
    carrier's own centre).

    Parameters
    ----------
    carrier : StackPlanes
        The stack whose images are cut.
    candidates : sequence of StackPlanes
        Stacks of the same study and frame of reference.
    protocol : Protocol
        Names the partner views and the kinds admitted.

    Returns
    -------
    tuple of Choice
        In the order of `protocol.partners`.
    """
    reference = carrier
    chosen: dict[str, Choice] = {}
    for view in sorted(protocol.partners, key=lambda view: view != "SAX"):
        fitting = [one for one in candidates if one.row["view"] == view and one.row["kind"] in protocol.kinds]
        best, decided_by = _best(fitting, reference.planes[reference.middle].centre_mm)
        place = 0 if best is None else middle_slice(best.positions_mm, protocol.middle_of_two)
        chosen[view] = Choice(carrier.stack_id, view, best, place, len(fitting), decided_by)
        if view == "SAX":
            reference = chosen[view].partner or carrier
    return tuple(chosen[view] for view in protocol.partners)


def _best(fitting: Sequence[StackPlanes], centre_mm: NDArray[np.float64]) -> tuple[StackPlanes | None, str]:
    """The best of the stacks, and what decided."""
    if not fitting:
        return None, "absent"
    # Sorted by identity first, so that a full tie is broken alike in every run.
    by_identity = sorted(fitting, key=lambda one: one.stack_id)
    ranked = sorted(by_identity, key=lambda one: _rank(one, centre_mm), reverse=True)
    if len(ranked) == 1:
        return ranked[0], "only one"
    first, second = (_rank(one, centre_mm) for one in ranked[:2])
    differing = [name for name, a, b in zip(DECIDERS, first, second, strict=True) if a != b]
    return ranked[0], differing[0] if differing else "tie"


def _rank(stack: StackPlanes, centre_mm: NDArray[np.float64]) -> tuple[Any, ...]:
    row = stack.row
    distance_mm = abs(float(stack.planes[stack.middle].distance_mm(centre_mm)))
    return (
        bool(row["complete"]),
        int(row["n_phases"]),
        not row["superseded_by"],
        row["acquired_at"] or datetime.min,
        -1 if row["series_number"] is None else int(row["series_number"]),
        -round(distance_mm, 3),
    )
