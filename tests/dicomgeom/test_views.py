"""Views by geometry: planes where real exams have them, with and without words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomgeom.catalogue import open_catalogue
from dicomgeom.index import index
from dicomgeom.plane import ImagePlane
from dicomgeom.stack import build_stacks
from dicomgeom.views import ORTHOGONAL, TOWARD_APEX, Heart, judge_views, view_in_text
from tests.dicomgeom.test_stack import rows_of
from tests.helpers.dicom_files import uid, write_mr
from tests.helpers.strategies import numbers

CENTRE_MM = np.array([35.0, -20.0, 5.0])
ANGLES_DEG = {"4CH": 8.0, "2CH": 66.0, "3CH": 129.0, "RV2CH": 68.0, "RVOT": 93.0}
MISSES_MM = {"RV2CH": 38.0, "RVOT": 27.0}


def long_axis(view: str, axis: np.ndarray, turn_deg: float = 0.0) -> ImagePlane:
    """Plane of a view round an axis; RV views lie beside the LV, toward patient-right."""
    left = np.array([1.0, 0, 0]) - axis[0] * axis
    left /= np.linalg.norm(left)
    around = np.cross(axis, left)
    turn = np.radians(ANGLES_DEG[view] + turn_deg)
    trace = np.cos(turn) * left + np.sin(turn) * around
    normal = np.cross(trace, axis)
    aside = -np.sign(normal[0]) * normal * MISSES_MM.get(view, 0.0)
    return centred(trace, axis, CENTRE_MM + aside)


def short_axis(axis: np.ndarray, offset_mm: float) -> ImagePlane:
    left = np.array([1.0, 0, 0]) - axis[0] * axis
    left /= np.linalg.norm(left)
    return centred(left, np.cross(axis, left), CENTRE_MM + offset_mm * axis)


def centred(right: np.ndarray, down: np.ndarray, centre: np.ndarray) -> ImagePlane:
    origin = centre - right * 1.8 * 79.5 - down * 1.6 * 69.5
    return ImagePlane(origin, right, down, 1.8, 1.6, 160, 140, frame_of_reference=uid(4))


def exam(
    folder: Path, views: list[str], axis: np.ndarray = TOWARD_APEX, texts: dict[str, str] | None = None
) -> Path:
    """Write one cine a plane, three phases each, with tiny images (the planes keep their field of view)."""
    planes = [(view, long_axis(view, axis)) for view in views if view != "SAX"]
    if "SAX" in views:
        planes += [("SAX", short_axis(axis, offset)) for offset in (-40, -24, -8, 8, 24, 40)]
    for number, (view, plane) in enumerate(planes):
        for phase in range(3):
            write_mr(
                folder / f"{number}-{phase}",
                plane,
                SeriesInstanceUID=uid(3, number),
                SeriesDescription=(texts or {}).get(view, ""),
                TriggerTime=30.0 * phase,
                NominalInterval=900,
                PixelData=bytes(2 * plane.rows * plane.columns),
            )
    return folder


def judged(folder: Path) -> pl.DataFrame:
    index([folder], folder.with_name("catalogue"))
    return open_catalogue(folder.with_name("catalogue")).stacks


def test_five_long_axis_views_and_a_stack_are_told_apart_without_any_word(tmp_path: Path) -> None:
    stacks = judged(exam(tmp_path / "export", ["SAX", *ANGLES_DEG]))
    assert sorted(stacks["view"]) == sorted(["SAX", *ANGLES_DEG])
    assert stacks.filter(pl.col("view") == "SAX")["n_slices"].item() == 6
    assert stacks["confidence"].min() > 0.6


def test_wrong_descriptions_are_outvoted_by_planes_that_lie_elsewhere(tmp_path: Path) -> None:
    wrong = {"3CH": "cine 4CH", "RV2CH": "cine 2CH", "SAX": "2 chamber", "4CH": "sax"}
    stacks = judged(exam(tmp_path / "export", ["SAX", *ANGLES_DEG], texts=wrong))
    assert sorted(stacks["view"]) == sorted(["SAX", *ANGLES_DEG])


def test_without_a_short_axis_stack_the_axis_comes_from_the_long_axis_planes(tmp_path: Path) -> None:
    stacks = judged(exam(tmp_path / "export", ["4CH", "2CH", "3CH"]))
    assert sorted(stacks["view"]) == ["2CH", "3CH", "4CH"]
    assert "common perpendicular" in stacks["evidence"][0]


def test_slices_of_a_short_axis_stack_count_from_base_to_apex(tmp_path: Path) -> None:
    # The stack is written with its normal pointing from apex to base.
    stacks = judged(exam(tmp_path / "export", ["SAX", "4CH", "2CH"]))
    sax = stacks.filter(pl.col("view") == "SAX")
    assert sax["apex_known"].item()
    assert np.dot(sax["normal"].item(), TOWARD_APEX) > 0.99


def test_two_long_axis_planes_always_cross_so_confidence_is_less_than_with_three(tmp_path: Path) -> None:
    two = judged(exam(tmp_path / "two" / "export", ["SAX", "4CH", "2CH"]))
    three = judged(exam(tmp_path / "three" / "export", ["SAX", "4CH", "2CH", "3CH"]))

    def confidence(stacks: pl.DataFrame) -> float:
        return float(stacks.filter(pl.col("view") == "2CH")["confidence"].item())

    assert confidence(two) < confidence(three)


@given(numbers(-12, 12), numbers(-12, 12))
def test_trace_angles_are_those_the_planes_were_turned_by(turn_deg: float, tilt_deg: float) -> None:
    tilt = np.radians(tilt_deg)
    axis = TOWARD_APEX + np.tan(tilt) * np.array([1.0, 1.0, 0]) / np.sqrt(2)
    axis /= np.linalg.norm(axis)
    heart = Heart(axis, "", None, 0)
    for view, angle in ANGLES_DEG.items():
        found = heart.trace_angle_deg(long_axis(view, axis, turn_deg).normal)
        assert found == pytest.approx((angle + turn_deg) % 180, abs=1e-6)


@given(st.sampled_from(["SAG", "COR", "AX"]), numbers(-20, 20))
def test_joints_are_named_by_the_nearest_direction(view: str, tilt_deg: float) -> None:
    normal = ORTHOGONAL[view]
    right = np.roll(normal, 1)
    tilt = np.radians(tilt_deg)
    down = np.cos(tilt) * np.cross(normal, right) + np.sin(tilt) * normal
    plane = ImagePlane(np.zeros(3), right, down, 0.5, 0.6, 30, 20, uid(4))
    stacks = build_stacks(rows_of((plane, {"BodyPartExamined": "KNEE"})))
    (judgement,) = judge_views(stacks).values()
    assert judgement.view == view
    assert judgement.confidence > 0.5


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("cine_trufi_retro 4CH", "4CH"),
        ("tf2d15_retro_iPAT SA", "SAX"),
        ("RV 2ch", "RV2CH"),
        ("LVOT", "3CH"),
        ("petit axe", "SAX"),
        ("4 cavites", "4CH"),
        ("t2_tse_sag", "SAG"),
        ("AX DP FS .", "AX"),
        ("flow aorta", ""),
    ],
)
def test_descriptions_name_views_in_several_tongues(text: str, view: str) -> None:
    assert view_in_text(text) == view
