from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from pretext_targets.choose import carrier_verdicts, choose_partners
from pretext_targets.protocol import load_protocol
from tests.pretext_targets.conftest import plane, stack

SAX = load_protocol("cardiac-sax")
FOUR = load_protocol("cardiac-4ch")
KNEE = load_protocol("knee-sag")

CARRIER = stack("SAX", *[plane((0, 0, z)) for z in (0.0, 10.0, 20.0)])
ACROSS = {"right": (1, 0, 0), "down": (0, 0, 1)}


def two_chamber(name: str, y_mm: float = 0.0, **row: object):
    return stack("2CH", plane((0, y_mm, 0), **ACROSS), stack_id=name, **row)


@pytest.mark.parametrize(
    ("better", "worse", "decided_by"),
    [
        ({"complete": True, "n_phases": 20}, {"complete": False, "n_phases": 30}, "completeness"),
        ({"n_phases": 30}, {"n_phases": 25, "series_number": 9}, "frames"),
        ({"superseded_by": ""}, {"superseded_by": "st-x", "series_number": 9}, "repeat"),
        (
            {"acquired_at": datetime(2020, 1, 1, 9), "series_number": 1},
            {"acquired_at": datetime(2020, 1, 1, 8), "series_number": 9},
            "acquisition time",
        ),
        ({"series_number": 9}, {"series_number": 8}, "series number"),
        ({"series_number": 9}, {"series_number": None}, "series number"),
        ({"y_mm": 2.0}, {"y_mm": -9.0}, "nearness"),
        ({}, {}, "tie"),
    ],
)
def test_of_several_partners_the_rule_decides_and_is_recorded(
    better: dict[str, object], worse: dict[str, object], decided_by: str
) -> None:
    # The worse one has the identity that a tie would take.
    good, bad = two_chamber("st-b", **better), two_chamber("st-a", **worse)
    for candidates in ([good, bad], [bad, good]):
        choice = choose_partners(CARRIER, candidates, SAX)[0]
        assert choice.decided_by == decided_by
        assert choice.candidates == 2
        assert choice.partner is (bad if decided_by == "tie" else good)


def test_an_absent_view_is_a_choice_without_a_plane() -> None:
    choices = choose_partners(CARRIER, [two_chamber("st-a")], SAX)
    assert [choice.view for choice in choices] == ["2CH", "4CH"]
    assert choices[1].plane is None
    assert choices[1].decided_by == "absent"


def test_only_admitted_kinds_become_partners() -> None:
    assert choose_partners(CARRIER, [two_chamber("st-a", kind="map")], SAX)[0].partner is None


def test_the_partner_plane_is_the_central_one() -> None:
    four = stack("4CH", plane(**ACROSS))
    sax = stack("SAX", *[plane((0, 0, z)) for z in (0.0, 10.0, 20.0, 30.0)])
    assert choose_partners(four, [sax], FOUR)[1].slice_index == 2
    basal = FOUR.with_changes(middle_of_two="first")
    choice = choose_partners(four, [sax], basal)[1]
    assert choice.slice_index == 1
    assert choice.plane is not None
    np.testing.assert_allclose(choice.plane.centre_mm, [0, 0, 10], atol=1e-9)


def test_nearness_is_measured_to_the_short_axis_stack() -> None:
    four = stack("4CH", plane((0, 0, 0), **ACROSS))
    sax = stack("SAX", *[plane((0, 40, z)) for z in (0.0, 10.0, 20.0)])
    near_sax, near_carrier = two_chamber("st-a", 38.0), two_chamber("st-b", 1.0)
    assert choose_partners(four, [near_carrier, near_sax, sax], FOUR)[0].partner is near_sax


def test_stacks_that_carry_no_labels_say_why() -> None:
    rows = [
        {**stack("SAX", plane()).row, **change}
        for change in ({}, {"kind": "flow-phase"}, {"superseded_by": "st-9"}, {"view": "2CH"})
    ]
    reasons = [reason for _, reason in carrier_verdicts(rows, SAX)]
    assert reasons == ["", "kind-not-admitted", "repeated-later"]


def test_the_knee_prefers_fat_suppression_within_a_study() -> None:
    base = {**stack("SAG", plane()).row, "kind": "static"}
    rows = [
        {**base, "study_instance_uid": "1", "fat_suppressed": True},
        {**base, "study_instance_uid": "1", "fat_suppressed": False},
        {**base, "study_instance_uid": "2", "fat_suppressed": None},
    ]
    reasons = [reason for _, reason in carrier_verdicts(rows, KNEE)]
    assert reasons == ["", "fat-suppressed-preferred", ""]
