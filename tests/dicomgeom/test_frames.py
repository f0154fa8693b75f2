"""Which frames of reference are believed, and which are seen through."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dicomgeom.frames import choose_frames


def row(series: str, frame: str, path: str, **more: Any) -> dict[str, Any]:
    return {
        "series_instance_uid": series,
        "study_instance_uid": "S",
        "frame_of_reference": frame,
        "root": "/",
        "path": path,
        "acquired_at": None,
    } | more


def test_a_stated_frame_is_believed() -> None:
    rows = [row("a", "F", "1"), row("a", "F", "2"), row("b", "G", "3")]
    assert [choice.key for choice in choose_frames(rows)] == ["stated:F", "stated:F", "stated:G"]


def test_four_volumes_in_one_file_each_may_have_four_frames() -> None:
    rows = [row(f"{n}", f"F{n}", f"{n}") for n in range(4) for _ in range(10)]
    assert not any(choice.assumed for choice in choose_frames(rows))


def test_four_series_of_one_image_each_with_four_frames_were_de_identified() -> None:
    rows = [row(f"{n}", f"F{n}", f"{n}") for n in range(4)]
    assert {choice.reason for choice in choose_frames(rows)} == {"frame-for-every-file"}


def test_a_frame_shared_by_files_is_believed_even_where_others_were_replaced() -> None:
    rows = [row("a", f"F{n}", f"{n}") for n in range(4)] + [row("b", "G", "5"), row("b", "G", "6")]
    assert [choice.assumed for choice in choose_frames(rows)] == [True] * 4 + [False] * 2


def test_strict_frames_are_compared_within_their_series_only() -> None:
    rows = [row("a", "", "1"), row("b", "", "2")]
    loose, strict = choose_frames(rows), choose_frames(rows, strict=True)
    assert len({choice.key for choice in loose}) == 1
    assert len({choice.key for choice in strict}) == 2


def test_an_image_without_a_moment_goes_with_the_day_of_its_series() -> None:
    day, other = datetime(2024, 7, 4, 10), datetime(2024, 7, 5, 10)
    rows = [row("a", "", "1", acquired_at=day), row("a", "", "2"), row("b", "", "3", acquired_at=other)]
    first, second, third = (choice.key for choice in choose_frames(rows))
    assert first == second != third
