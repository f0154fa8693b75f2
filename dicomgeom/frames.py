"""In which frame of reference images are compared, seen through what de-identification did to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Row = Mapping[str, Any]

FEWEST_FRAMES: Final = 3
"""So many frames of reference in one series, nearly one for each file, no scanner writes."""


@dataclass(frozen=True)
class FrameChoice:
    """The frame of reference images are compared in; `reason` says why it had to be assumed."""

    key: str
    uid: str
    reason: str = ""

    @property
    def assumed(self) -> bool:
        return bool(self.reason)


def choose_frames(rows: Sequence[Row], *, strict: bool = False) -> list[FrameChoice]:
    """One choice for each image of a study.

    A stated frame is believed, unless every file has one of its own. Images of an assumed
    frame are compared within one study and day, or (`strict`) within their series only.
    """
    replaced = _replaced_frames(rows)
    days = _day_of_series(rows)
    one_day = len({day for day in days.values() if day}) <= 1
    choices = []
    for row in rows:
        uid, series = row["frame_of_reference"], row["series_instance_uid"]
        if uid and uid not in replaced:
            choices.append(FrameChoice(key=f"stated:{uid}", uid=uid))
            continue
        place = series if strict else row["study_instance_uid"]
        day = "" if one_day else days[series]
        reason = "frame-for-every-file" if uid else "no-frame-stated"
        choices.append(FrameChoice(key=f"assumed:{place}:{day}", uid="", reason=reason))
    return choices


def _replaced_frames(rows: Sequence[Row]) -> set[str]:
    """Frames of reference that belong to one file each and so say nothing of the patient."""
    images_of_frame: Counter[str] = Counter()
    frames_of_series: dict[str, set[str]] = defaultdict(set)
    files_of_series: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in rows:
        uid, series, file = row["frame_of_reference"], row["series_instance_uid"], (row["root"], row["path"])
        files_of_series[series].add(file)
        if uid:
            images_of_frame[uid] += 1
            frames_of_series[series].add(uid)

    def one_for_each(frames: set[str], files: int) -> bool:
        return len(frames) >= FEWEST_FRAMES and len(frames) >= files / 2

    replaced = {
        uid
        for series, frames in frames_of_series.items()
        if one_for_each(frames, len(files_of_series[series]))
        for uid in frames
    }
    # Where it was done to one series it was done to all, the short ones included.
    lone = {uid for uid, images in images_of_frame.items() if images == 1}
    all_lone = len(lone) == len(images_of_frame) > FEWEST_FRAMES
    return replaced | lone if replaced or all_lone else set()


def _day_of_series(rows: Sequence[Row]) -> dict[str, str]:
    days: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        moment = row["acquired_at"]
        days[row["series_instance_uid"]][moment.date().isoformat() if moment else ""] += 1
    return {series: max(count, key=lambda day: (bool(day), count[day])) for series, count in days.items()}
