"""Labels of digital hearts fall where their anatomy is known to lie."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.index import index
from phantoms.exam import ExportOptions
from phantoms.export import write_exams
from phantoms.prescription import OperatorError
from pretext_targets.labels import SliceLabels
from pretext_targets.plan import BuildPlan, plan_build
from pretext_targets.protocol import load_protocol

EXAMS = 3

Landmarks = dict[str, dict[str, np.ndarray]]
"""Exam -> landmark -> LPS mm, at end-diastole."""


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalogue, Landmarks]:
    """Exams whose radiographer hits every plane."""
    folder = tmp_path_factory.mktemp("phantoms")
    options = ExportOptions(
        phases=6, spacing_mm=4.0, columns=80, rows=72, operator=OperatorError(0, 0), localizers=False
    )
    write_exams(folder / "export", exams=EXAMS, seed=11, options=options)
    index([folder / "export"], folder / "catalogue")
    truth = folder / "export-truth"
    studies = dict(pl.read_parquet(truth / "exams.parquet").select("exam", "study_instance_uid").iter_rows())
    landmarks: Landmarks = {study: {} for study in studies.values()}
    for exam, name, *point in pl.read_parquet(truth / "landmarks.parquet").iter_rows():
        landmarks[studies[exam]][name] = np.array(point)
    return open_catalogue(folder / "catalogue"), landmarks


def by_study(plan: BuildPlan, catalogue: Catalogue) -> dict[str, list[SliceLabels]]:
    """Labelled slices of each study."""
    study_of = dict(catalogue.stacks.select("stack_id", "study_instance_uid").iter_rows())
    found: dict[str, list[SliceLabels]] = {}
    for one in plan.slices:
        found.setdefault(study_of[one.stack_id], []).append(one)
    return found


def test_locations_rise_from_the_base_to_the_apex(hearts: tuple[Catalogue, Landmarks]) -> None:
    catalogue, landmarks = hearts
    exams = by_study(plan_build(catalogue, load_protocol("cardiac-sax")), catalogue)
    assert len(exams) == EXAMS
    for study, slices in exams.items():
        base, apex = landmarks[study]["base_centre"], landmarks[study]["apex"]
        ordered = sorted(slices, key=lambda one: one.location)
        assert [ordered[0].location, ordered[-1].location] == [0, 1]
        to_base = [abs(one.plane.distance_mm(base)) for one in ordered]
        to_apex = [abs(one.plane.distance_mm(apex)) for one in ordered]
        assert np.argmin(to_base) < np.argmin(to_apex)
        # Relative places of base and apex by the labels are those by the planes' own distances.
        along = np.array([one.plane.centre_mm @ (apex - base) for one in ordered])
        expected = (along - along[0]) / (along[-1] - along[0])
        np.testing.assert_allclose([one.location for one in ordered], expected, atol=1e-6)


def test_the_middle_box_of_a_short_axis_lies_in_the_left_ventricle(
    hearts: tuple[Catalogue, Landmarks],
) -> None:
    catalogue, landmarks = hearts
    plan = plan_build(catalogue, load_protocol("cardiac-sax"))
    for study, slices in by_study(plan, catalogue).items():
        points = landmarks[study]
        axis = points["apex"] - points["base_centre"]
        for one in slices:
            # Both long-axis planes hold the axis, so that their lines cross where it pierces the slice.
            depth = one.plane.distance_mm(points["base_centre"]) / -(one.plane.normal @ axis)
            pierced = points["base_centre"] + depth * axis
            assert one.boxes.reason == ""
            np.testing.assert_allclose(one.grid.to_patient(one.boxes.centre_px[0]), pierced, atol=6)


def test_boxes_are_named_for_the_sides_of_the_patient(hearts: tuple[Catalogue, Landmarks]) -> None:
    catalogue, landmarks = hearts
    short = load_protocol("cardiac-sax")
    for study, slices in by_study(plan_build(catalogue, short), catalogue).items():
        points = landmarks[study]
        for one in slices:
            mm = dict(zip(short.boxes.names, one.grid.to_patient(one.boxes.centre_px), strict=True))
            assert mm["near left"][0] > mm["centre"][0] > mm["near right"][0]
            assert mm["far left"][0] > mm["near left"][0]
            assert (mm["near anterior"] - mm["near posterior"]) @ [0, -1, 1] > 0
            # The right atrium lies to the right of the ventricle.
            right = np.linalg.norm(mm["near right"] - points["ra_centre"])
            assert right < np.linalg.norm(mm["near left"] - points["ra_centre"])
    four = load_protocol("cardiac-4ch")
    for study, slices in by_study(plan_build(catalogue, four), catalogue).items():
        points = landmarks[study]
        for one in slices:
            mm = dict(zip(four.boxes.names, one.grid.to_patient(one.boxes.centre_px), strict=True))
            above = np.linalg.norm(mm["near superior"] - points["la_centre"])
            assert above < np.linalg.norm(mm["near inferior"] - points["la_centre"])
            below = np.linalg.norm(mm["near inferior"] - points["apex"])
            assert below < np.linalg.norm(mm["near superior"] - points["apex"])
            # The middle short-axis plane crosses the 2CH plane inside the ventricle.
            assert np.linalg.norm(mm["centre"] - points["lv_centre"]) < 25


def test_the_crossing_centres_the_crop_on_the_left_ventricle(hearts: tuple[Catalogue, Landmarks]) -> None:
    catalogue, landmarks = hearts
    for name in ("cardiac-sax", "cardiac-4ch"):
        protocol = load_protocol(name).with_changes(centre="crossing")
        for study, slices in by_study(plan_build(catalogue, protocol), catalogue).items():
            for one in slices:
                assert one.centred == "crossing"
                foot = one.plane.to_patient(one.plane.to_pixel(landmarks[study]["lv_centre"]))
                assert np.linalg.norm(one.grid.centre_mm - foot) < 25


def test_end_diastole_and_end_systole_are_those_of_the_truth(hearts: tuple[Catalogue, Landmarks]) -> None:
    catalogue, _ = hearts
    protocol = load_protocol("cardiac-sax").with_changes(frames="ED+ES")
    plan = plan_build(catalogue, protocol)
    assert plan.phases_untold == ()
    by_slice = plan.examples.group_by("place").agg(pl.col("phase_index").sort())
    assert set(by_slice["phase_index"].list.len()) == {2}
    # Phase 0 is end-diastole; the ventricle is smallest between a quarter and half of the beat.
    assert (by_slice["phase_index"].list.first() == 0).all()
    assert by_slice["phase_index"].list.last().is_between(1, 3).all()
    only = plan_build(catalogue, protocol.with_changes(frames="ED"))
    assert set(only.examples["phase_index"]) == {0}
