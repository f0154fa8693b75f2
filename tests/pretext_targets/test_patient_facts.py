"""Diagnosis, size, ED and ES of labelled sets, from files in the layouts of ACDC, M&Ms and M&Ms-2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomgeom.data_manifest import load_data_manifest
from dicomgeom.errors import WrongUse
from pretext_targets.build import build
from pretext_targets.nifti_sets import plan_nifti
from pretext_targets.patient_facts import PatientFacts, read_facts
from pretext_targets.protocol import Protocol
from pretext_targets.reader import StoreReader
from pretext_targets.verify import verify_store
from tests.pretext_targets.test_nifti_sets import PHASES, SLICES, drawn, grid, image, save

__all__ = ["grid"]

ACDC, MMS, MMS_2 = (load_data_manifest(name) for name in ("acdc", "mms", "mms-2"))


def acdc_patient(folder: Path, number: int, info: str | None, *, ed: int = 1, es: int = 4) -> Path:
    """One patient of ACDC: the cine, both labelled volumes, and what is told."""
    place = folder / "training" / f"patient{number:03d}"
    cine = save(place / f"patient{number:03d}_4d.nii.gz", image(number, PHASES))
    for frame in (ed, es):
        stem = place / f"patient{number:03d}_frame{frame:02d}"
        save(stem.with_name(f"{stem.name}.nii.gz"), cine[..., frame - 1])
        save(stem.with_name(f"{stem.name}_gt.nii.gz"), drawn(frame))
    if info is not None:
        (place / "Info.cfg").write_text(info)
    return place


def info_of(group: str, height: str = "178.5", weight: str = "81.0", ed: int = 1, es: int = 4) -> str:
    return f"ED: {ed}\nES: {es}\nGroup: {group}\nHeight: {height}\nNbFrame: {PHASES}\nWeight: {weight}\n"


def mms_csv(*rows: str) -> str:
    return "\n".join([",External code,VendorName,Vendor,Centre,ED,ES,Age,Pathology,Sex,Height,Weight", *rows])


def test_what_acdc_tells_of_its_patients_reaches_the_store(grid: Protocol, tmp_path: Path) -> None:
    acdc_patient(tmp_path, 7, info_of("HCM"))
    acdc_patient(tmp_path, 8, info_of("NOR", height="160", weight="55.5", ed=1, es=3), es=3)
    acdc_patient(tmp_path, 9, None)
    build(plan_nifti(tmp_path, grid, ACDC), tmp_path / "store")
    assert verify_store(tmp_path / "store") == []
    reader = StoreReader(tmp_path / "store")
    names = reader.attributes.diagnosis_names
    assert names[:3] == ("normal", "dilated cardiomyopathy", "hypertrophic cardiomyopathy")
    assert len(names) == 5
    a_patient = SLICES * PHASES
    expected = {
        "diagnosis": [2, 0, -1],
        "height_cm": [178.5, 160.0, np.nan],
        "weight_kg": [81.0, 55.5, np.nan],
        "ed_phase": [0, 0, -1],
        "es_phase": [3, 2, -1],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(reader.column(name), np.repeat(values, a_patient).astype(np.float32))
    # The told phases are those of the label maps.
    annotated = (reader.read("segmentation", np.arange(len(reader))) != 255).any(axis=(1, 2))
    told = reader.column("phase_index")[:, None] == np.stack(
        [reader.column("ed_phase"), reader.column("es_phase")], axis=1
    )
    np.testing.assert_array_equal(annotated[: 2 * a_patient], told.any(axis=1)[: 2 * a_patient])


def test_a_set_that_tells_nothing_has_no_such_arrays(grid: Protocol, tmp_path: Path) -> None:
    acdc_patient(tmp_path, 7, None)
    build(plan_nifti(tmp_path, grid, ACDC), tmp_path / "store")
    reader = StoreReader(tmp_path / "store")
    assert not {"diagnosis", "height_cm", "ed_phase"} & set(reader.names)
    assert reader.attributes.diagnosis_names == ()


def test_a_row_of_mms_is_found_by_its_code_and_counts_frames_from_0(grid: Protocol, tmp_path: Path) -> None:
    labels = drawn(3, PHASES)
    labels[..., [1, 2, 4]] = 0
    for code in ("A1B2C3", "Z9Y8X7", "K0K0K0"):
        place = tmp_path / "Training" / "Labeled" / code
        save(place / f"{code}_sa.nii.gz", image(1, PHASES))
        save(place / f"{code}_sa_gt.nii.gz", labels)
    (tmp_path / "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv").write_text(
        mms_csv(
            "0,A1B2C3,Siemens,A,1,0,3,46,DCM,F,1.71,68.0",
            "1,Z9Y8X7,Philips,B,2,3,0,,Tumour,M,,",
        ),
        encoding="utf-8-sig",
    )
    facts = read_facts(tmp_path, MMS)
    assert facts is not None
    assert facts.names[-1] == "Tumour"
    assert facts.of("A1B2C3") == PatientFacts(1, 171.0, 68.0, 0, 3)
    unsure = facts.of("Z9Y8X7")
    assert (unsure.diagnosis, unsure.ed_phase, unsure.es_phase) == (len(facts.names) - 1, 3, 0)
    assert np.isnan([unsure.height_cm, unsure.weight_kg]).all()
    build(plan_nifti(tmp_path, grid, MMS), tmp_path / "store")
    reader = StoreReader(tmp_path / "store")
    assert reader.column("diagnosis")[:: SLICES * PHASES].tolist() == [1, -1, len(facts.names) - 1]


def test_numbers_of_mms_2_have_three_digits_in_the_names_of_files(tmp_path: Path) -> None:
    (tmp_path / "dataset_information.csv").write_text("SUBJECT_CODE,DISEASE,VENDOR\n7,FALL,GE\n140,,GE\n")
    facts = read_facts(tmp_path, MMS_2)
    assert facts is not None
    assert facts.names[facts.of("007").diagnosis] == "tetralogy of Fallot"
    assert facts.of("140").diagnosis == -1


@pytest.mark.parametrize(("frames", "phases"), [("ED", {0}), ("ED+ES", {0, 3}), (2, {0, 2})])
def test_only_the_wanted_phases_become_examples_and_all_count_in_the_statistics(
    frames: str | int, phases: set[int], grid: Protocol, tmp_path: Path
) -> None:
    acdc_patient(tmp_path, 7, info_of("HCM"))
    build(plan_nifti(tmp_path, grid, ACDC), tmp_path / "all")
    build(plan_nifti(tmp_path, grid.with_changes(frames=frames), ACDC), tmp_path / "some")
    every, some = StoreReader(tmp_path / "all"), StoreReader(tmp_path / "some")
    assert set(some.column("phase_index").tolist()) == phases
    assert len(some) == SLICES * len(phases)
    for name in ("stack_mean", "stack_std", "stack_min", "stack_max"):
        np.testing.assert_allclose(some.column(name), every.column(name)[0], rtol=1e-6)


def test_where_ed_is_not_told_all_phases_are_taken_and_it_is_counted(grid: Protocol, tmp_path: Path) -> None:
    acdc_patient(tmp_path, 7, None)
    summary = build(plan_nifti(tmp_path, grid.with_changes(frames="ED"), ACDC), tmp_path / "store")
    assert (summary.examples, summary.stacks_with_all_phases) == (SLICES * PHASES, 1)


def test_a_table_that_counts_otherwise_than_its_manifest_says_is_noticed(
    grid: Protocol, tmp_path: Path
) -> None:
    acdc_patient(tmp_path, 7, info_of("HCM", ed=2, es=5))
    with pytest.raises(
        WrongUse, match=r"none of 1 patients has a label map at .*first_frame of the manifest acdc"
    ):
        plan_nifti(tmp_path, grid, ACDC)
    acdc_patient(tmp_path, 8, info_of("HCM"))
    assert len(plan_nifti(tmp_path, grid, ACDC).examples) == 2 * SLICES * PHASES


def test_other_facts_are_another_plan(grid: Protocol, tmp_path: Path) -> None:
    place = acdc_patient(tmp_path, 7, info_of("HCM"))
    before = plan_nifti(tmp_path, grid, ACDC).sha256
    assert plan_nifti(tmp_path, grid, ACDC).sha256 == before
    (place / "Info.cfg").write_text(info_of("MINF"))
    assert plan_nifti(tmp_path, grid, ACDC).sha256 != before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (info_of("NOR", height="tall"), "Height should be a number, found 'tall'"),
        (info_of("NOR", weight="-3"), "Weight should be a number, found '-3'"),
        (info_of("NOR", weight="inf"), "Weight should be a number, found 'inf'"),
    ],
)
def test_what_is_no_number_is_named(text: str, said: str, grid: Protocol, tmp_path: Path) -> None:
    acdc_patient(tmp_path, 7, text)
    with pytest.raises(WrongUse, match=said):
        plan_nifti(tmp_path, grid, ACDC)


def test_a_table_without_the_patients_column_names_those_it_has(tmp_path: Path) -> None:
    (tmp_path / "dataset_information.csv").write_text("NUMBER,DISEASE\n7,FALL\n")
    with pytest.raises(WrongUse, match="no column 'SUBJECT_CODE'; found NUMBER, DISEASE"):
        read_facts(tmp_path, MMS_2)
    (tmp_path / "dataset_information.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(WrongUse, match="should be UTF-8 text"):
        read_facts(tmp_path, MMS_2)


def test_zero_and_words_for_unknown_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "patient003").mkdir()
    (tmp_path / "patient003" / "Info.cfg").write_text("ED: 1\nES: n/a\nGroup: NOR\nHeight: 0\nWeight: NaN\n")
    facts = read_facts(tmp_path, ACDC)
    assert facts is not None
    found = facts.of("patient003")
    assert (found.diagnosis, found.ed_phase, found.es_phase) == (0, 0, -1)
    assert np.isnan([found.height_cm, found.weight_kg]).all()
