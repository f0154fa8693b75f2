"""The knee: shapes, truth, and what the catalogue and the shipped protocol make of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pydicom
import pytest

from dicomgeom.catalogue import open_catalogue
from dicomgeom.index import index
from phantoms.cardiac_exam import CardiacExam
from phantoms.export import PhantomSummary, write_exams
from phantoms.knee_exam import KneeExam
from phantoms.knee_patient import draw_knee
from phantoms.knee_scene import KneeScene
from phantoms.knee_volumes import tissue_at
from phantoms.options import ExportOptions
from phantoms.prescription import Grid, plane_at
from phantoms.sampling import SampledPlane
from phantoms.segmentation import segment_numbers
from phantoms.segments import KNEE_SEGMENTS
from phantoms.tissues import Tissue
from pretext_targets.build import plan_build
from pretext_targets.protocol import load_protocol

SMALL = ExportOptions(columns=64, rows=64, spacing_mm=2.5, dicomdir_share=0)


@pytest.fixture(scope="module")
def knees(tmp_path_factory: pytest.TempPathFactory) -> PhantomSummary:
    return write_exams(
        tmp_path_factory.mktemp("knee") / "export", exams=2, anatomy="knee", seed=2, options=SMALL
    )


@pytest.fixture(scope="module")
def scene() -> KneeScene:
    return KneeScene(np.random.default_rng(4))


def test_a_knee_and_a_heart_of_one_seed_share_no_uid() -> None:
    knee, heart = KneeExam(3, 0, SMALL), CardiacExam(3, 0, SMALL)
    assert {one.uid for one in knee.series}.isdisjoint(one.uid for one in heart.series)
    assert knee.uid("study") != heart.uid("study")
    assert knee.frame_of_reference != heart.frame_of_reference


def test_the_catalogue_finds_two_sagittal_stacks_one_coronal_one_axial(
    knees: PhantomSummary, tmp_path: Path
) -> None:
    summary = index([knees.folder], tmp_path / "catalogue")
    assert summary.views == {"SAG": 4, "COR": 2, "AX": 2}
    stacks = open_catalogue(tmp_path / "catalogue").stacks
    static = stacks.filter(pl.col("kind") == "static")
    sagittal = static.filter(pl.col("view") == "SAG")
    assert sorted(sagittal["fat_suppressed"]) == [False, False, True, True]
    assert set(stacks.filter(pl.col("kind") == "localizer")["view"]) == {"SAG", "COR", "AX"}


def test_the_shipped_knee_protocol_builds_from_it(knees: PhantomSummary, tmp_path: Path) -> None:
    index([knees.folder], tmp_path / "catalogue")
    plan = plan_build(open_catalogue(tmp_path / "catalogue"), load_protocol("knee-sag"))
    series = pl.read_parquet(knees.truth / "series.parquet")
    wanted = series.filter((pl.col("view") == "SAG") & pl.col("fat_suppressed"))
    assert plan.examples.height == sum(len(slices) for slices in wanted["slices"])


def test_labels_of_the_diagnosis_are_in_the_table(knees: PhantomSummary) -> None:
    exams = pl.read_parquet(knees.truth / "exams.parquet")
    assert {"abnormality", "acl_tear", "meniscus_tear", "side"} <= set(exams.columns)
    patients = [draw_knee(np.random.default_rng(i)) for i in range(300)]
    for name in ("abnormal", "acl_tear", "meniscus_tear"):
        share = np.mean([getattr(patient, name) for patient in patients])
        assert 0.1 < share < 0.8, name
    assert all(patient.abnormal for patient in patients if patient.acl_tear or patient.meniscus_tear)


def test_a_torn_ligament_and_meniscus_show_in_the_tissue() -> None:
    torn = next(
        s
        for s in (KneeScene(np.random.default_rng(i)) for i in range(60))
        if s.patient.acl_tear and s.patient.medial_tear
    )
    centre = torn.landmarks()["joint_centre"]
    points = np.random.default_rng(0).uniform(-40, 40, (3, 200_000)) + centre[:, None]
    found = set(np.unique(tissue_at(torn, points.astype(np.float32))))
    assert {Tissue.ACL_TEAR, Tissue.MEDIAL_MENISCUS_TEAR} <= found
    assert Tissue.ACL not in found


def test_volumes_by_counting_labels_are_the_volumes_of_the_truth() -> None:
    exam = KneeExam(3, 0, SMALL)
    centre, grid = exam.scene.landmarks()["joint_centre"], Grid(1.3, 100, 100)
    counted = np.zeros(len(KNEE_SEGMENTS) + 1)
    for height in np.arange(-64.35, 65, 1.3):
        plane = plane_at(centre + np.array([0.0, 0.0, height]), np.array([0.0, 0.0, 1.0]), grid, "")
        sampled = SampledPlane(exam.scene, plane, 1.3, exam.contrasts["t1"], middle_only=True)
        counted += np.bincount(
            segment_numbers(sampled.at(0.0)[1], KNEE_SEGMENTS).ravel(), minlength=len(counted)
        )
    true = exam.volumes_ml()[0]
    for segment in KNEE_SEGMENTS:
        volume = counted[segment.number] * 1.3**3 / 1000
        assert volume == pytest.approx(true[segment.name], rel=0.06, abs=0.1), segment.name


def test_sizes_are_those_of_adults(scene: KneeScene) -> None:
    exam = KneeExam(3, 0, SMALL)
    volumes = exam.volumes_ml()[0]
    scale = exam.scene.patient.size**3
    for name, low, high in (
        ("patella", 10, 25),
        ("femoral cartilage", 7, 25),
        ("medial meniscus", 1.5, 4.5),
        ("lateral meniscus", 1.5, 4.5),
        ("posterior cruciate ligament", 1, 4),
    ):
        assert low < volumes[name] / scale < high, (name, volumes[name] / scale)


def test_landmarks_lie_in_their_structures(scene: KneeScene) -> None:
    wanted = {
        "medial_condyle": "femur",
        "lateral_condyle": "femur",
        "patella_centre": "patella",
        "fibula_head": "fibula",
    }
    landmarks = scene.landmarks()
    places = np.array([landmarks[name] for name in wanted], dtype=np.float32).T
    numbers = segment_numbers(tissue_at(scene, places), KNEE_SEGMENTS)
    names = {segment.number: segment.name for segment in KNEE_SEGMENTS}
    assert [names[int(number)] for number in numbers] == list(wanted.values())


def test_left_and_right_knees_are_mirror_images() -> None:
    sides = {}
    for i in range(20):
        scene = KneeScene(np.random.default_rng(i))
        medial, lateral = (scene.landmarks()[name][0] for name in ("medial_condyle", "lateral_condyle"))
        sides[scene.patient.side] = np.sign(medial - lateral)
    assert sides == {"R": 1.0, "L": -1.0}  # medial of the right knee is patient-left


def test_fat_is_dark_where_suppressed_and_bright_in_t1() -> None:
    exam = KneeExam(3, 0, SMALL)
    suppressed, t1 = exam.contrasts["fat-suppressed"].level, exam.contrasts["t1"].level
    assert suppressed[Tissue.LEG_FAT] < 0.5 * suppressed[Tissue.LEG_MUSCLE]
    assert t1[Tissue.LEG_FAT] > 2 * t1[Tissue.LEG_MUSCLE]
    assert suppressed[Tissue.SYNOVIAL_FLUID] > 1.5 * suppressed[Tissue.FEMUR_CARTILAGE]
    assert t1[Tissue.SYNOVIAL_FLUID] < t1[Tissue.LEG_FAT]


def test_the_t1_stack_shows_the_planes_and_the_truth_of_the_first(knees: PhantomSummary) -> None:
    series = pl.read_parquet(knees.truth / "series.parquet").filter(pl.col("view") == "SAG")
    for _, pair in series.group_by("exam"):
        first, second = pair.sort("series_number").iter_rows(named=True)
        assert first["origins_mm"] == second["origins_mm"]
        a, b = (pydicom.dcmread(knees.truth / one["tissue"]).pixel_array for one in (first, second))
        np.testing.assert_array_equal(a, b)
