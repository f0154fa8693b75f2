from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import NothingUsable, WrongUse
from dicomgeom.index import index
from dicomgeom.privacy import hashed
from phantoms.export import write_exams
from phantoms.options import ExportOptions
from pretext_targets.build import build
from pretext_targets.findings import Matched, read_findings
from pretext_targets.plan import BuildPlan, plan_build
from pretext_targets.protocol import Protocol, load_protocol
from pretext_targets.reader import StoreReader
from pretext_targets.verify import verify_store
from tests.pretext_targets.conftest import PATIENTS

SALT = bytes(range(32))
ONE, OTHER = PATIENTS


def table(folder: Path, text: str, name: str = "told.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_columns_of_0_and_1_are_findings_and_others_are_not(tmp_path: Path) -> None:
    path = table(tmp_path, "patient_id,age,tear,effusion\nA1,50,1,\nA2,1,0,True\n")
    found = read_findings([path], SALT)
    assert found.names == ("tear", "effusion")
    assert found.of(b"no study", hashed(SALT, "A1")) == (1, -1)
    assert found.of(b"no study", hashed(SALT, "A2")) == (0, 1)
    assert found.of(b"no study", hashed(SALT, "A3")) == (-1, -1)


def test_a_study_counts_before_its_patient(tmp_path: Path) -> None:
    studies = table(tmp_path, "study_instance_uid,patient_id,tear\n1.2.3,A1,1\n1.2.4,A1,0\n")
    found = read_findings([studies], SALT)
    assert found.of(hashed(SALT, "1.2.4"), hashed(SALT, "A1")) == (0,)
    assert found.of(hashed(SALT, "1.2.5"), hashed(SALT, "A1")) == (-1,)


def test_what_is_told_of_the_patient_fills_in_what_is_not_told_of_the_study(tmp_path: Path) -> None:
    studies = table(tmp_path, "study_instance_uid,acl,tear\n1.2.3,1,\n1.2.4,,0\n", "acl.csv")
    patients = table(tmp_path, "patient_id,meniscus,tear\nA1,0,1\nA2,1,\n", "men.csv")
    found = read_findings([studies, patients], SALT)
    assert found.names == ("acl", "tear", "meniscus")

    def told(study: str, patient: str) -> tuple[int, ...]:
        return found.of(hashed(SALT, study), hashed(SALT, patient))

    assert told("1.2.3", "A1") == (1, 1, 0)
    assert told("1.2.4", "A1") == (-1, 0, 0), "the study's word counts before the patient's"
    assert told("1.2.4", "A2") == (-1, 0, 1)
    assert told("1.2.3", "A3") == (1, -1, -1)
    assert told("1.2.5", "A2") == (-1, -1, 1)


def test_the_three_files_of_mrnet_make_one_table(tmp_path: Path) -> None:
    paths = [
        table(tmp_path, "0000,1\n0001,1\n", "train-abnormal.csv"),
        table(tmp_path, "0000,0\n0001,1\n", "train-acl.csv"),
        table(tmp_path, "0001,0\n", "train-meniscus.csv"),
        table(tmp_path, "1130,1\n", "valid-acl.csv"),
    ]
    found = read_findings(paths, SALT)
    assert found.names == ("abnormal", "acl", "meniscus")
    assert found.of(b"", hashed(SALT, "0000")) == (1, 0, -1)
    assert found.of(b"", hashed(SALT, "0001")) == (1, 1, 0)
    assert found.of(b"", hashed(SALT, "1130")) == (-1, 1, -1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("name,tear\nA,1\n", "is no table of findings"),
        ("0000,2\n", "is no table of findings"),
        ("patient_id,age\nA,50\n", "no column of 0 and 1 only"),
        ("patient_id,tear\nA,1\nA,0\n", "tells tear of an exam twice"),
        ("patient_id,tear\nA,1\nA ,0\n", "tells tear of an exam twice"),
        ("patient_id,tear,acl\nA,1\nB,1,0\n", r"heading has 3 cells, other numbers have line 2 \(2\);"),
        ("patient_id,tear\nA,1\n\nB\nC,0,1\nD\nE\n", r"line 4 \(1\), 5 \(3\), 6 \(1\) and 1 more"),
        ("patient_id,tear,tear\nA,1,0\n", "several columns called tear"),
    ],
)
def test_what_is_no_table_of_findings_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(WrongUse, match=said) as caught:
        read_findings([table(tmp_path, text)], SALT)
    assert "\n" not in str(caught.value)


def test_blanks_around_exams_and_lines_with_nothing_in_them_do_not_matter(tmp_path: Path) -> None:
    path = table(tmp_path, "patient_id , tear,\nA1 ,1,\n , ,\n A2, 0 ,\n")
    found = read_findings([path], SALT)
    assert found.names == ("tear",)
    assert [found.of(b"", hashed(SALT, who)) for who in ("A1", "A2")] == [(1,), (0,)]
    frame = pl.DataFrame({"patient_id": ["A1 "], "tear": [True]})
    frame.write_parquet(tmp_path / "told.parquet")
    assert read_findings([tmp_path / "told.parquet"], SALT).of(b"", hashed(SALT, "A1")) == (1,)


def test_exams_and_rows_that_match_a_catalogue_are_counted(tmp_path: Path) -> None:
    paths = [
        table(tmp_path, "patient_id,tear\nA1,1\nA2,0\n,1\nA3,1\n", "one.csv"),
        table(tmp_path, "patient_id,acl\nA1,0\nA2,0\n", "two.csv"),
    ]
    found = read_findings(paths, SALT)
    keys = {hashed(SALT, "A1"), hashed(SALT, "A9"), hashed(SALT, "")}
    assert found.matched(keys) == Matched(exams=1, exams_told_of=3, rows_without_match=4)
    assert found.of(b"", hashed(SALT, "")) == (-1, -1), "a row without an exam tells nothing of nameless ones"


def test_a_missing_or_broken_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    for path in (tmp_path / "nowhere.csv", tmp_path / "broken.parquet", tmp_path):
        with pytest.raises(WrongUse, match="cannot be read"):
            read_findings([path], SALT)


def test_every_image_of_an_exam_gets_its_findings_and_the_hash_knows_them(
    catalogue: Catalogue, protocol: Protocol, plan: BuildPlan, tmp_path: Path
) -> None:
    path = table(tmp_path, f"patient_id,tear,effusion\n{ONE},1,0\nsomebody else,0,0\n")
    told = plan_build(catalogue, protocol, findings=read_findings([path], catalogue.salt))
    build(told, tmp_path / "store.zarr")
    reader = StoreReader(tmp_path / "store.zarr")
    assert reader.attributes.finding_names == ("tear", "effusion")
    assert verify_store(tmp_path / "store.zarr") == []
    of_one = (reader.column("patient_key") == np.frombuffer(hashed(catalogue.salt, ONE), np.uint8)).all(
        axis=1
    )
    findings = reader.column("findings")
    assert 0 < of_one.sum() < len(reader)
    assert (findings[of_one] == [1, 0]).all()
    assert (findings[~of_one] == -1).all()
    assert told.sha256 != plan.sha256
    for file in (tmp_path / "store.zarr").rglob("*"):
        assert not file.is_file() or b"somebody else" not in file.read_bytes()


def test_findings_by_study_and_by_patient_meet_in_a_plan_and_the_hash_knows_it(
    catalogue: Catalogue, protocol: Protocol, tmp_path: Path
) -> None:
    studies = catalogue.images["study_instance_uid"].unique().to_list()
    rows = "".join(f"{study},1\n" for study in studies)
    acl = table(tmp_path, f"study_instance_uid,acl\n{rows}", "acl.csv")
    meniscus = table(tmp_path, f"patient_id,meniscus\n{ONE},1\n{OTHER},0\n", "men.csv")
    findings = read_findings([acl, meniscus], catalogue.salt)
    plan = plan_build(catalogue, protocol, findings=findings)
    assert {one.findings for one in plan.slices} == {(1, 1), (1, 0)}
    assert plan.parts_sha256["findings"] != findings.sha256
    alone = read_findings([acl], catalogue.salt)
    assert plan_build(catalogue, protocol, findings=alone).parts_sha256["findings"] == alone.sha256


def test_a_table_of_other_exams_is_refused(catalogue: Catalogue, protocol: Protocol, tmp_path: Path) -> None:
    findings = read_findings([table(tmp_path, "patient_id,tear\nsomebody else,0\n")], catalogue.salt)
    with pytest.raises(NothingUsable, match="none of the 1 exams in the tables of findings"):
        plan_build(catalogue, protocol, findings=findings)


def test_the_truth_of_phantom_knees_is_a_table(tmp_path: Path) -> None:
    small = ExportOptions(columns=64, rows=64, spacing_mm=2.5, dicomdir_share=0, nifti=False)
    summary = write_exams(tmp_path / "export", exams=1, anatomy="knee", seed=2, options=small)
    index([summary.folder], tmp_path / "catalogue")
    opened = open_catalogue(tmp_path / "catalogue")
    plan = plan_build(opened, load_protocol("knee-sag"), findings=read_findings([summary.truth], opened.salt))
    assert plan.finding_names == ("abnormality", "acl_tear", "meniscus_tear")
    truth = pl.read_parquet(summary.truth / "exams.parquet")
    wanted = {
        hashed(opened.salt, study): tuple(map(int, told))
        for study, *told in truth.select("study_instance_uid", *plan.finding_names).iter_rows()
    }
    assert {one.study_key: one.findings for one in plan.slices} == wanted
