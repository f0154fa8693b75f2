"""Names of NIfTI files: people, visits, series, phases, and what is refused as it tells none of them."""

from __future__ import annotations

import pytest

from dicomgeom.errors import WrongUse
from pretext_targets.nifti_names import (
    frame_of,
    numbered_word,
    phase_of,
    refuse_numbers,
    refuse_strangers,
    series_of,
    session_of,
    subject_of,
)
from pretext_targets.patient_facts import NOTHING_TOLD, PatientFacts


@pytest.mark.parametrize(
    ("stem", "subject"),
    [
        ("patient007_frame12", "patient007"),
        ("001_SA_ED", "001"),
        ("A0S9V9_sa", "A0S9V9"),
        ("case_001", "case_001"),
        ("case_001_frame01", "case_001"),
        ("case_sax_001", "case"),
        ("p07_01", "p07"),
        ("sub-anna_01", "sub-anna"),
        ("heart", "heart"),
    ],
)
def test_the_subject_has_a_number(stem: str, subject: str) -> None:
    words = {word} if (word := numbered_word(stem)) else set[str]()
    assert subject_of(stem, words) == subject


def test_two_words_before_numbers_may_be_two_people() -> None:
    words = {"anna", "bert"}
    assert [subject_of(one, words) for one in ("anna_01", "anna_02", "bert_01")] == ["anna", "anna", "bert"]


@pytest.mark.parametrize(
    ("stem", "frame", "phase"),
    [
        ("p07_frame09", 8, 8),
        ("p07_frame00", None, None),
        ("001_SA_ED", None, 0),
        ("001_SA_es", None, 1),
        ("001-sa.ES-2", None, None),
        ("001_sa.ES-2", None, 1),
        ("sub-ES_sax", None, None),
        ("p07_edge", None, None),
        ("p07_sax", None, None),
    ],
)
def test_phases_stand_between_separators_behind_the_subject(
    stem: str, frame: int | None, phase: int | None
) -> None:
    assert (frame_of(stem, NOTHING_TOLD), phase_of(stem, NOTHING_TOLD)) == (frame, phase)


def test_ed_and_es_are_the_frames_that_are_told_of_the_patient() -> None:
    told = PatientFacts(ed_phase=3, es_phase=11)
    assert [frame_of(one, told) for one in ("p_ED", "p_ES", "p_frame01", "p_sax")] == [3, 11, 0, None]
    half_told = PatientFacts(ed_phase=3)
    assert [phase_of(one, half_told) for one in ("p_ED", "p_ES")] == [0, 1]


def test_a_cine_and_its_frames_are_one_series_and_a_second_run_is_another() -> None:
    first = ("p1_run1_4d", "p1_run1_frame01", "p1_run1_ES", "p1_CINE_run1", "p1_run1")
    assert {series_of(one) for one in first} == {"p1_run1"}
    assert series_of("p1_run2_4d") == "p1_run2"
    assert [session_of(one) for one in ("sub-1_ses-2_cine", "sub-1_cine")] == ["ses-2", ""]


@pytest.mark.parametrize(
    "folders",
    [
        ["001"],
        ["sub-01/ses-1", "sub-01/ses-2"],
        ["data/sub-01/ses-1/anat", "data/sub-01/ses-1/func"],
        ["sub-01/anat", "sub-01/cine"],
    ],
)
def test_folders_of_one_person_are_taken(folders: list[str]) -> None:
    refuse_strangers("sub-01", folders)


@pytest.mark.parametrize(
    "folders",
    [
        ["centreA/001", "centreB/001"],
        ["ses-1", "ses-2"],
        ["A/sub-01/ses-1", "B/sub-01/ses-1"],
        ["sub-01/ses-1", "others"],
        ["sub-study/a", "sub-study/b"],
    ],
)
def test_one_name_in_folders_that_may_be_of_several_people_is_refused(folders: list[str]) -> None:
    with pytest.raises(WrongUse, match=r"nothing tells whether that is one person: .* sub-NAME/ses-VISIT"):
        refuse_strangers("sub-01", folders)


@pytest.mark.parametrize(
    ("name", "stems"),
    [
        ("p07", ["p07_01", "p07_02"]),
        ("ct", ["ct_train_1001", "ct_train_1002"]),
        ("anna", ["anna_a", "anna_b"]),
    ],
)
def test_volumes_that_may_be_of_several_people_are_refused(name: str, stems: list[str]) -> None:
    with pytest.raises(WrongUse, match=f"whether {stems[0]} and {stems[1]} are of one person: write frameNN"):
        refuse_numbers(name, stems)


@pytest.mark.parametrize(
    ("name", "stems"),
    [
        ("p07", ["p07_a", "p07_b"]),
        ("p07", ["p07_01", "p07_sax"]),
        ("anna", ["anna_4d", "anna_frame01", "anna_frame09"]),
        ("sub-anna", ["sub-anna_a", "sub-anna_b"]),
        ("case_001", ["case_001"]),
    ],
)
def test_volumes_of_one_person_are_taken(name: str, stems: list[str]) -> None:
    refuse_numbers(name, stems)
