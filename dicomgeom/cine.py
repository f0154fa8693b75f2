"""The order of the images taken at one plane, and whether they are one heartbeat.

Scanners and archives leave different traces of time. They are tried in a fixed order,
the first that tells all images of a plane apart decides for the whole stack, and its name
is recorded as `phase_source`. Where none does, the images keep no order: none is invented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

PHASE_EVIDENCE: Final = (
    ("trigger-time", ("trigger_time_ms",)),
    ("temporal-position", ("temporal_position",)),
    ("acquisition-time", ("acquired_at",)),
    ("content-time", ("content_time",)),
    ("instance-number", ("instance_number",)),
)
"""Ranked: time after the R wave says most; the instance number only that somebody counted."""

INTERVAL_SLACK: Final = 1.3
"""Trigger times of one beat stay below this many R-R intervals (the nominal interval is a mean)."""

LONGEST_BEAT_MS: Final = 2500.0
"""Where no R-R interval is stated, later trigger times belong to further beats (24 beats a minute)."""

SHORTEST_STEP_MS: Final = 5.0
"""Phases of a cine are further apart; first-pass images of many beats share a delay, give or take little."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class PhaseOrder:
    """Sorted rows of each plane, and the evidence; `source` empty = order unknown."""

    planes: list[list[int]]
    source: str


def order_phases(rows: Sequence[Row], planes: Sequence[Sequence[int]]) -> PhaseOrder:
    """Order the images of each plane in time.

    Parameters
    ----------
    rows
        Header rows of the images table.
    planes
        For each plane, the indices into `rows` of the images taken there.
    """
    if all(len(plane) == 1 for plane in planes):
        return PhaseOrder([list(plane) for plane in planes], source="single")
    for source, (name,) in PHASE_EVIDENCE:
        if all(_tells_apart([rows[i][name] for i in plane]) for plane in planes):
            return PhaseOrder([sorted(plane, key=lambda i: rows[i][name]) for plane in planes], source)
    by_uid = [
        sorted(plane, key=lambda i: (rows[i]["sop_instance_uid"], rows[i]["frame"])) for plane in planes
    ]
    return PhaseOrder(by_uid, source="")


def _tells_apart(values: Sequence[Any]) -> bool:
    return not any(v is None or v == "" for v in values) and len(set(values)) == len(values)


def is_one_beat(rows: Sequence[Row], order: PhaseOrder) -> bool:
    """Whether the phases are one heartbeat (a cine) and not a series of beats (perfusion) or repeats.

    Either the trigger times of the fullest plane step through one R-R interval, or the scanner
    says that the plane holds that many cardiac images.
    """
    fullest = max(order.planes, key=len)
    if len(fullest) < 2:
        return False
    if order.source == "trigger-time":
        delays_ms = [float(rows[i]["trigger_time_ms"]) for i in fullest]
        interval_ms = rows[fullest[-1]]["nominal_interval_ms"]
        longest_ms = INTERVAL_SLACK * interval_ms if interval_ms else LONGEST_BEAT_MS
        step_ms = (delays_ms[-1] - delays_ms[0]) / (len(delays_ms) - 1)
        return step_ms >= SHORTEST_STEP_MS and delays_ms[-1] <= longest_ms
    return all((rows[i]["cardiac_images"] or 0) >= max(2, len(fullest) // 2) for i in fullest)


def rr_fraction(row: Row, source: str) -> float | None:
    """When in the beat an image was taken, as a fraction of its R-R interval; None where that is not stated.

    Slices are taken in different beats, with different counts of phases: their phases are
    compared by this fraction, never by number. It is not guessed from the number of phases,
    since triggered cines leave out the end of the beat.
    """
    delay_ms, interval_ms = row["trigger_time_ms"], row["nominal_interval_ms"]
    if "trigger-time" not in source.split("+") or delay_ms is None or not interval_ms:
        return None
    fraction = float(delay_ms) / float(interval_ms)
    return fraction if 0 <= fraction <= INTERVAL_SLACK else None  # else it counts from an earlier beat
