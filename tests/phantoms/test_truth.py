from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from dicomgeom.plane import ImagePlane
from phantoms.cardiac_exam import CardiacExam
from phantoms.cardiac_groups import draw_patient
from phantoms.cardiac_patient import Group
from phantoms.export import PhantomSummary
from phantoms.options import ExportOptions
from phantoms.prescription import Grid, plane_at
from phantoms.sampling import SampledPlane
from phantoms.segmentation import segment_numbers
from phantoms.segments import CARDIAC_SEGMENTS


def volumes_by_counting(exam: CardiacExam, phase: int, step_mm: float = 2.5) -> dict[str, float]:
    """Segment volumes, ml, from labels of a fine stack across the whole heart."""
    landmarks, patient = exam.scene.landmarks(), exam.scene.patient
    axis = patient.patient_from_heart[:, 2]
    grid = Grid(step_mm, 90, 90)
    counted = np.zeros(len(CARDIAC_SEGMENTS) + 1)
    middle = landmarks["lv_centre"] - 25 * patient.patient_from_heart[:, 0]
    for height in np.arange(-130, 90, step_mm):
        plane: ImagePlane = plane_at(middle + axis * height, axis, grid, "")
        sampled = SampledPlane(exam.scene, plane, step_mm, exam.contrast, middle_only=True)
        _, tissue = sampled.at(phase / exam.phases)
        counted += np.bincount(segment_numbers(tissue).ravel(), minlength=len(counted))
    return {s.name: float(counted[s.number]) * step_mm**3 / 1000 for s in CARDIAC_SEGMENTS}


@pytest.mark.parametrize("at_end_systole", [False, True])
def test_volumes_of_the_labels_are_the_volumes_of_the_truth(exam: CardiacExam, at_end_systole: bool) -> None:
    phase = exam.end_systole_phase if at_end_systole else 0
    counted, true = volumes_by_counting(exam, phase), exam.volumes_ml()[phase]
    assert counted["LV cavity"] == pytest.approx(true["LV cavity"], rel=0.02)
    assert counted["LV myocardium"] == pytest.approx(true["LV myocardium"], rel=0.02)
    for name in ("RV cavity", "LA cavity", "RA cavity"):
        assert counted[name] == pytest.approx(true[name], rel=0.06), name


def test_voxel_counting_in_the_exported_stack_finds_the_lv(exam: CardiacExam) -> None:
    stack = [series for series in exam.series if series.view == "SAX" and series.cine]
    planes = [plane for series in stack for _, plane in series.planes]
    spacing_mm = abs(float(planes[0].distance_mm(planes[1].origin_mm)))
    area_mm2 = planes[0].column_spacing_mm * planes[0].row_spacing_mm
    counted = 0
    for plane in planes:
        _, tissue = SampledPlane(exam.scene, plane, 8.0, exam.contrast, middle_only=True).at(0.0)
        counted += int((segment_numbers(tissue) == 1).sum())
    # Slices 8 to 10 mm apart meet a flat base somewhere between two of them: half a slice of doubt.
    true = exam.volumes_ml()[0]["LV cavity"]
    assert counted * area_mm2 * spacing_mm / 1000 == pytest.approx(true, rel=0.10)


def test_the_ventricles_empty_until_end_systole_and_the_atria_fill() -> None:
    for patient in range(3):
        exam = CardiacExam(31, patient, ExportOptions(phases=20))
        volumes = pl.DataFrame(exam.volumes_ml())
        es = exam.end_systole_phase
        assert 0.33 <= es / 20 <= 0.42
        for name in ("LV cavity", "RV cavity"):
            assert volumes[name].arg_max() == 0, name
            assert abs(int(volumes[name].arg_min() or 0) - es) <= 1, name
        for name in ("LA cavity", "RA cavity"):
            assert volumes[name][es] > 1.1 * volumes[name][0], name
        muscle = volumes["LV myocardium"].to_numpy()
        assert np.ptp(muscle) < 0.03 * muscle.mean()


def test_patients_reach_the_volumes_that_were_drawn_for_them() -> None:
    # But for the warp, which changes volumes a little; the truth counts that in.
    for patient in range(6):
        exam = CardiacExam(41, patient, ExportOptions(phases=2))
        drawn, found = exam.scene.patient, exam.volumes_ml()
        assert found[0]["LV cavity"] == pytest.approx(drawn.lv_end_diastole_mm3 / 1000, rel=0.12)
        assert found[0]["RV cavity"] == pytest.approx(drawn.rv_end_diastole_mm3 / 1000, rel=0.15)


def test_all_groups_are_drawn_and_differ_as_their_names_say() -> None:
    rng = np.random.default_rng(0)
    patients = [draw_patient(rng) for _ in range(200)]
    ejection = {
        group: np.mean(
            [1 - p.lv_end_systole_mm3 / p.lv_end_diastole_mm3 for p in patients if p.group == group]
        )
        for group in Group
    }
    muscle = {g: np.mean([p.muscle_mm3 for p in patients if p.group == g]) for g in Group}
    right = {g: np.mean([p.rv_end_diastole_mm3 for p in patients if p.group == g]) for g in Group}
    assert ejection[Group.DILATED] < ejection[Group.INFARCTION] < ejection[Group.NORMAL]
    assert max(muscle, key=lambda group: muscle[group]) == Group.HYPERTROPHIC
    assert max(right, key=lambda group: right[group]) == Group.ABNORMAL_RV


def test_the_tables_join_on_what_the_files_say(export: PhantomSummary) -> None:
    tables = {
        name: pl.read_parquet(export.truth / f"{name}.parquet")
        for name in ("exams", "series", "images", "landmarks", "volumes")
    }
    assert tables["exams"].height == 2
    assert tables["images"].height == export.files
    assert tables["images"]["sop_instance_uid"].is_unique().all()
    assert set(tables["images"]["series_instance_uid"]) == set(tables["series"]["series_instance_uid"])
    assert set(tables["series"]["view"]) == {"SAX", "2CH", "3CH", "4CH", "localizer"}
    assert {"lv_centre", "apex", "base_centre", "rv_insertion_anterior", "rv_insertion_inferior"} <= set(
        tables["landmarks"]["landmark"]
    )
    assert tables["volumes"].height == 2 * 4 * len(CARDIAC_SEGMENTS)
    for row in tables["images"].iter_rows(named=True):
        assert (export.folder / row["path"]).is_file()
    for row in tables["series"].filter(pl.col("cine")).iter_rows(named=True):
        assert (export.truth / row["segmentation"]).is_file()
        assert (export.truth / row["tissue"]).is_file()


def test_rv_insertions_lie_on_the_septal_side(export: PhantomSummary) -> None:
    landmarks = pl.read_parquet(export.truth / "landmarks.parquet")
    for _, of_exam in landmarks.group_by("exam"):
        place = {
            row["landmark"]: np.array([row["x_mm"], row["y_mm"], row["z_mm"]]) for row in of_exam.to_dicts()
        }
        centre = place["lv_centre"]
        for name in ("rv_insertion_anterior", "rv_insertion_inferior"):
            assert 20 < np.linalg.norm(place[name] - centre) < 65
        between = (place["rv_insertion_anterior"] + place["rv_insertion_inferior"]) / 2
        assert (between - centre) @ (place["tricuspid_valve"] - centre) > 0
        assert place["rv_insertion_anterior"][2] > place["rv_insertion_inferior"][2]
