"""No text that people typed into an exam, its files' names or the overrides comes out in a report."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.index import index
from pretext_targets.build import build, plan_build
from pretext_targets.protocol import load_protocol
from reporting.report import write_report
from tests.helpers.exams import STUDY_DATE, write_heart_exam

CANARY = "kanari"
"""Stands in every text; compared without regard to case."""

TYPED = f"Doe {CANARY} 1961"
"""What somebody typed; short enough for every text of DICOM."""

TEXTS = (
    "AccessionNumber", "AcquisitionComments", "AdmittingDiagnosesDescription",
    "CommentsOnThePerformedProcedureStep", "ContrastBolusAgent", "DerivationDescription",
    "DeviceSerialNumber", "ImageComments", "InstitutionAddress", "InstitutionName",
    "InstitutionalDepartmentName", "IssuerOfPatientID", "Manufacturer", "ManufacturerModelName",
    "NameOfPhysiciansReadingStudy", "OperatorsName", "OtherPatientIDs", "OtherPatientNames",
    "PatientAddress", "PatientComments", "PatientID", "PatientName", "PerformedProcedureStepDescription",
    "PerformingPhysicianName", "ProtocolName", "ReceiveCoilName", "ReferringPhysicianName",
    "RequestedProcedureDescription", "SequenceName", "SeriesDescription", "SoftwareVersions",
    "StationName", "StudyDescription", "StudyID", "TransmitCoilName",
)  # fmt: skip
CODES = (
    "AnatomicalOrientationType",
    "ComplexImageComponent",
    "ScanOptions",
    "ScanningSequence",
    "SequenceVariant",
)


def plant(dataset: Dataset, series: str) -> None:
    """Put canaries into every text, a view's name among them."""
    for keyword in TEXTS:
        setattr(dataset, keyword, TYPED)
    for keyword in CODES:
        setattr(dataset, keyword, CANARY.upper())
    dataset.ImageType = ["ORIGINAL", "PRIMARY", CANARY.upper()]
    dataset.BodyPartExamined = f"HEART {CANARY}".upper()
    dataset.SeriesDescription = "cine"
    dataset.ProtocolName = f"JANE {TYPED}-04-02 {series}"
    dataset.PatientBirthDate = "19610402"
    dataset.ContentTime = "102317"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typed")
    export = write_heart_exam(folder / f"export {TYPED}")
    for file in sorted(export.rglob("*.dcm")):
        dataset = pydicom.dcmread(file)
        plant(dataset, {"01": "sax", "02": "4ch", "03": "2ch"}[file.parent.name])
        dataset.save_as(file.with_name(f"{TYPED} {file.name}"))
        file.unlink()
    sound = next(export.rglob("*.dcm"))
    for keyword in ("Modality", "PhotometricInterpretation", "SOPClassUID"):
        spoilt = pydicom.dcmread(sound)
        setattr(spoilt, keyword, CANARY.upper() if keyword != "SOPClassUID" else "1.2.3.4.5.6.7")
        spoilt.save_as(export / f"{TYPED} {keyword}.dcm")
    (export / f"{TYPED}.txt").write_text(TYPED)
    with zipfile.ZipFile(export / f"{TYPED}.zip", "w") as archive:
        archive.writestr(f"{TYPED}/letter.txt", TYPED)
    overrides = folder / "overrides.toml"
    overrides.write_text(f'[[stack]]\nview = "RVOT"\nprotocol_name = "*{CANARY}*2ch"\n')
    index([export], folder / "catalogue", views=overrides)
    return folder / "catalogue"


@pytest.fixture(scope="module")
def words(catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """All of a report on the catalogue and its store but the pixels."""
    protocol = load_protocol("cardiac-sax").with_changes(rows=48, columns=48, spacing_mm=5.0)
    store = catalogue.parent / "sax.zarr"
    build(plan_build(open_catalogue(catalogue), protocol), store)
    out = tmp_path_factory.mktemp("page") / "r.html"
    page = write_report([catalogue, store], out).read_text(encoding="utf-8")
    # Base64 may spell anything by chance.
    return re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)


def secrets_of(catalogue: Catalogue) -> set[str]:
    """Texts and keys of the catalogue's tables that must stay there."""
    images, files = catalogue.images, catalogue.files
    columns = ("sop_instance_uid", "series_instance_uid", "study_instance_uid", "frame_of_reference", "path",
               "root", "protocol_name", "sequence", "image_type", "content_time", "patient_key")  # fmt: skip
    found = {str(value) for column in columns for value in images[column].unique()}
    found |= {*files["path"], *files["root"], *catalogue.stacks["stack_id"], str(catalogue.folder)}
    return found - {"", None}


def test_the_canaries_are_in_the_catalogue(catalogue: Path) -> None:
    tables = open_catalogue(catalogue)
    assert all(CANARY in text for text in tables.images["protocol_name"])
    quoted = [text for text in tables.stacks["evidence"] if CANARY in text]
    assert len(quoted) == tables.stacks.height == 3
    assert any('"override"' in text for text in quoted)


def test_no_typed_text_uid_path_or_date_is_in_the_report(catalogue: Path, words: str) -> None:
    for canary in (CANARY, "jane", "doe ", "1961", STUDY_DATE, STUDY_DATE[:4], "102317", "101500"):
        assert canary.casefold() not in words.casefold()
    assert not [secret for secret in secrets_of(open_catalogue(catalogue)) if secret in words]
    assert not re.search(r"\b\d+(\.\d+){4,}\b", words)


def test_what_the_texts_said_is_told_in_known_words(words: str) -> None:
    for told in ("the description names SAX", "the description names 4CH", "the user says RVOT", "not-dicom"):
        assert told in words
