"""Groups of patients keep ACDC's criteria, in the truth and not only in what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from phantoms.cardiac_groups import MYOCARDIUM_G_ML, draw_patient
from phantoms.cardiac_patient import CardiacPatient, Group
from phantoms.cardiac_scene import CardiacScene
from phantoms.cardiac_volumes import chamber_volumes_ml

PATIENTS = [draw_patient(np.random.default_rng([7, i])) for i in range(400)]


def ejection(patient: CardiacPatient) -> float:
    return 1 - patient.lv_end_systole_mm3 / patient.lv_end_diastole_mm3


def index_ml(patient: CardiacPatient, volume_mm3: float) -> float:
    return volume_mm3 / 1000 / patient.body_surface_m2


def test_every_group_keeps_its_criterion() -> None:
    for patient in PATIENTS:
        lv = index_ml(patient, patient.lv_end_diastole_mm3)
        rv = index_ml(patient, patient.rv_end_diastole_mm3)
        mass = index_ml(patient, patient.muscle_mm3) * MYOCARDIUM_G_ML
        rv_ejection = 1 - patient.rv_end_systole_mm3 / patient.rv_end_diastole_mm3
        if patient.group == Group.NORMAL:
            assert lv < (90 if patient.sex == "M" else 80)
            assert ejection(patient) > 0.5
            assert rv < 100
        if patient.group == Group.DILATED:
            assert lv > 100
            assert ejection(patient) < 0.4
        if patient.group == Group.HYPERTROPHIC:
            assert mass > 110
            assert ejection(patient) > 0.55
        if patient.group == Group.INFARCTION:
            assert ejection(patient) < 0.4
            assert patient.scarred
        if patient.group == Group.ABNORMAL_RV:
            assert rv > 110 or rv_ejection < 0.4


def test_healthy_men_and_women_have_the_ejection_and_mass_of_the_uk_biobank() -> None:
    for sex, usual, mass in (("M", 0.58, 53), ("F", 0.61, 42)):
        healthy = [p for p in PATIENTS if p.group == Group.NORMAL and p.sex == sex]
        assert np.mean([ejection(p) for p in healthy]) == pytest.approx(usual, abs=0.025)
        masses = [index_ml(p, p.muscle_mm3) * MYOCARDIUM_G_ML for p in healthy]
        assert np.mean(masses) == pytest.approx(mass, abs=4)


def test_thick_walls_are_thick_and_others_are_not() -> None:
    thickest: dict[Group, list[float]] = {group: [] for group in Group}
    for i in range(14):
        scene = CardiacScene(np.random.default_rng([8, i]))
        thickest[scene.patient.group].append(scene.heart.thickest_wall_mm)
    assert min(thickest[Group.HYPERTROPHIC], default=16) > 15
    assert max(thickest[Group.NORMAL], default=8) < 12
    assert max(thickest[Group.DILATED], default=8) < 12


def test_a_warped_heart_still_has_the_volumes_that_were_drawn() -> None:
    for i in range(5):
        scene = CardiacScene(np.random.default_rng([8, i]))
        (found,) = chamber_volumes_ml(scene, [0.0])
        assert found["LV cavity"] * 1000 == pytest.approx(scene.patient.lv_end_diastole_mm3, rel=0.03)
        assert found["RV cavity"] * 1000 == pytest.approx(scene.patient.rv_end_diastole_mm3, rel=0.08)
