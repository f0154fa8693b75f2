"""Views by geometry: planes where real exams have them, with and without words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.views import ERRORS, experiment, is_right, real_subsets
from dicomgeom.catalogue import open_catalogue
from dicomgeom.heart import ORTHOGONAL, TOWARD_APEX, Heart
from dicomgeom.index import index
from dicomgeom.plane import ImagePlane
from dicomgeom.stack import build_stacks
from dicomgeom.view_names import view_in_text
from dicomgeom.views import Judgement, judge_views
from tests.dicomgeom.test_stack import cine, rows_of, series
from tests.helpers.dicom_files import uid, write_mr
from tests.helpers.real import real_exam
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


def views_of(*planes: tuple[ImagePlane, dict[str, Any]]) -> list[Judgement]:
    """Verdicts on cine planes in the order given; one-plane stacks of neighbouring places are joined."""
    stacks = build_stacks(rows_of(*(image for plane, more in planes for image in cine(plane, 2, **more))))
    verdicts = judge_views(stacks)
    by_series = {stack.rows[i]["series_number"]: stack.stack_id for stack in stacks for i in stack.members}
    return [verdicts[by_series[more["SeriesNumber"]]] for _, more in planes]


def odd_heart(views: list[str], axis: np.ndarray) -> list[Judgement]:
    """A heart whose axis is not the usual one: verdict on its SAX stack first, then the views."""
    short = [(short_axis(axis, offset), series(1)) for offset in (-32, -16, 0, 16, 32)]
    short = [(plane, {**more, "SeriesDescription": "short axis"}) for plane, more in short]
    long = [(long_axis(view, axis), series(2 + n)) for n, view in enumerate(views)]
    named = [
        (plane, {**more, "SeriesDescription": f"cine {view}"})
        for (plane, more), view in zip(long, views, strict=True)
    ]
    found = views_of(*short, *named)
    return [found[0], *found[len(short) :]]


def across_the_usual_axis(cosine: float) -> np.ndarray:
    side = np.array([1.0, 1.0, 0.0]) / np.sqrt(2)
    return cosine * TOWARD_APEX + np.sqrt(1 - cosine**2) * side


def test_where_the_usual_direction_is_weak_the_long_axis_views_tell_the_apex() -> None:
    for axis in (across_the_usual_axis(0.2), across_the_usual_axis(-0.2)):
        short, *_ = odd_heart(["2CH", "3CH", "4CH"], axis)
        assert (short.view, short.apex_known) == ("SAX", True)
        assert short.direction is not None
        assert short.direction @ axis > 0.99
        assert "the long-axis views tell it" in short.evidence[-1].says


def test_where_nothing_tells_the_apex_it_is_unknown() -> None:
    short, *_ = odd_heart(["4CH"], across_the_usual_axis(0.2))  # 8 degrees and -8 are alike
    assert short.view == "SAX"
    assert not short.apex_known


def test_late_enhancement_on_the_planes_of_the_cine_gets_the_same_names() -> None:
    axis = TOWARD_APEX
    planes = [short_axis(axis, offset) for offset in (-32, -16, 0, 16, 32)]
    late = {"EchoTime": 5, "InversionTime": 300, "TriggerTime": 600}
    images = [image for plane in planes for image in cine(plane, 2, **series(1))]
    images += [(plane, {**series(2), **late}) for plane in planes[1:4]]
    for number, view in enumerate(("4CH", "2CH", "3CH"), start=3):
        images += cine(long_axis(view, axis), 2, **series(number))
        images.append((long_axis(view, axis), {**series(number + 10), **late, "SeriesDescription": "4CH"}))
    stacks = build_stacks(rows_of(*images))
    verdicts = judge_views(stacks)
    named = sorted((verdicts[stack.stack_id].view, stack.kind) for stack in stacks)
    assert named == sorted(
        (view, kind) for view in ("SAX", "2CH", "3CH", "4CH") for kind in ("cine", "static")
    )


def test_a_plane_between_two_views_is_a_long_axis_that_is_not_told_which() -> None:
    axis = TOWARD_APEX
    short = [(short_axis(axis, offset), series(1)) for offset in (-32, -16, 0, 16, 32)]
    clear, between = (views_of(*short, (long_axis("4CH", axis, turn), series(2)))[-1] for turn in (0.0, 29.0))
    assert clear.view == "4CH"
    assert clear.confidence > 0.95
    assert between.view == "LAX"


def test_axial_coronal_and_sagittal_stacks_of_a_cardiac_exam_are_no_short_and_long_axes() -> None:
    images = []
    for number, normal in enumerate(ORTHOGONAL.values(), start=1):
        right = np.roll(normal, 1)
        down = np.cross(normal, right)
        for place in range(6):
            plane = ImagePlane(CENTRE_MM + 10.0 * place * normal, right, down, 1.8, 1.6, 160, 140, uid(4))
            images.append((plane, {**series(number), "BodyPartExamined": "HEART", "EchoTime": number}))
    stacks = build_stacks(rows_of(*images))
    verdicts = judge_views(stacks)
    assert sorted(verdicts[stack.stack_id].view for stack in stacks) == ["AX", "COR", "SAG"]


def test_confidence_means_what_it_says() -> None:
    result = experiment([300], 40, ERRORS["spread 15 degrees, 10 mm"])
    for tally in (result.silent, result.described):
        assert np.mean(tally.right) > 0.85
        stated = np.mean([confidence for _, _, confidence in tally.verdicts])
        assert abs(np.mean(tally.right) - stated) < 0.06
    assert result.static_alike == result.static > 0


@pytest.mark.real
def test_every_subset_of_a_real_exam_with_two_views_of_the_left_ventricle_is_named_right() -> None:
    answers = 0
    for sax, planes, verdicts in real_subsets(real_exam("cardiac-biv-me")):
        left = set(planes.split()) & {"2CH", "3CH", "4CH"}
        for truth, view, confidence in verdicts:
            right = is_right(truth, view)
            assert right or confidence < 0.85, (sax, planes, truth, view)
            assert right or len(left) < 2 or sax == "no SAX", (sax, planes, truth, view)
            answers += 1
    assert answers == 191


@given(numbers(-12, 12), numbers(-12, 12))
def test_trace_angles_are_those_the_planes_were_turned_by(turn_deg: float, tilt_deg: float) -> None:
    tilt = np.radians(tilt_deg)
    axis = TOWARD_APEX + np.tan(tilt) * np.array([1.0, 1.0, 0]) / np.sqrt(2)
    axis /= np.linalg.norm(axis)
    heart = Heart(axis, np.zeros(3), 0.0)
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
