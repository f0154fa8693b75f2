"""Exams as four makers file them: valid DICOM, and the same truth whatever the flavour."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import polars as pl
import pydicom
import pytest
from pydicom.uid import EnhancedMRImageStorage

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.index import index
from phantoms.cardiac_exam import CardiacExam
from phantoms.export import PhantomSummary, write_exams
from phantoms.options import ExportOptions
from phantoms.vendors import VENDORS

FULL = ExportOptions(
    phases=3,
    spacing_mm=7.0,
    columns=44,
    rows=40,
    compressed_share=0,
    late_enhancement_share=1,
    flow_share=1,
    repeat_share=1,
    enhanced_share=0,
    dicomdir_share=0,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PhantomSummary]:
    """One exam of each maker, and an enhanced one."""
    folder = tmp_path_factory.mktemp("vendors")
    options = {name: replace(FULL, vendor=name) for name in VENDORS}
    options["ge"] = replace(options["ge"], dicomdir_share=1)
    options["enhanced"] = replace(FULL, vendor="philips", enhanced_share=1)
    return {
        name: write_exams(folder / name, exams=1, seed=3, options=chosen) for name, chosen in options.items()
    }


@pytest.fixture(scope="module")
def catalogues(
    written: dict[str, PhantomSummary], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Catalogue]:
    folder = tmp_path_factory.mktemp("catalogues")
    for name, export in written.items():
        index([export.folder], folder / name)
    return {name: open_catalogue(folder / name) for name in written}


def one_of_each_series(folder: Path) -> list[Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            header = pydicom.dcmread(path, stop_before_pixels=True)
            found.setdefault(str(header.get("SeriesInstanceUID", path.name)), path)
    return list(found.values())


def assert_valid(folder: Path) -> None:
    for path in one_of_each_series(folder):
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr
        errors = [line for line in said.splitlines() if line.startswith("Error")]
        assert not errors, (path, errors)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
@pytest.mark.parametrize("name", [*VENDORS, "enhanced"])
def test_files_are_valid_by_dciodvfy(written: dict[str, PhantomSummary], name: str) -> None:
    assert_valid(written[name].folder)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
@pytest.mark.parametrize("enhanced", [0, 1])
def test_knees_are_valid_by_dciodvfy(tmp_path: Path, enhanced: int) -> None:
    options = replace(FULL, vendor="siemens", enhanced_share=enhanced, columns=24, rows=24, nifti=False)
    assert_valid(write_exams(tmp_path / "knee", exams=1, seed=1, anatomy="knee", options=options).folder)


@pytest.mark.parametrize("name", [*VENDORS, "enhanced"])
def test_the_catalogue_finds_every_view_and_phase(
    written: dict[str, PhantomSummary], catalogues: dict[str, Catalogue], name: str
) -> None:
    truth = pl.read_parquet(written[name].truth / "images.parquet").filter(pl.col("kind") == "cine")
    found = catalogues[name].images.join(catalogues[name].stacks.select("stack_id", "view"), on="stack_id")
    both = truth.join(found, on=["sop_instance_uid", "frame"], suffix="_found")
    assert both.height == truth.height
    assert (both["view"] == both["view_found"]).all()
    assert (both["kind_found"] == "cine").all()
    assert (both["phase_index"] == both["phase_index_found"]).all()


@pytest.mark.parametrize("name", [*VENDORS, "enhanced"])
def test_every_cine_frame_has_its_segmentation(
    written: dict[str, PhantomSummary], catalogues: dict[str, Catalogue], name: str
) -> None:
    segmented = {
        (str(source.ReferencedSOPInstanceUID), int(source.get("ReferencedFrameNumber", 1)) - 1)
        for path in (written[name].truth / "segmentations").rglob("*.dcm")
        for frame in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
        for source in frame.DerivationImageSequence[0].SourceImageSequence
    }
    cine = (
        catalogues[name]
        .images.filter(pl.col("kind") == "cine")
        .join(
            pl.read_parquet(written[name].truth / "images.parquet").filter(pl.col("kind") == "cine"),
            on=["sop_instance_uid", "frame"],
        )
    )
    assert set(zip(cine["sop_instance_uid"], cine["frame"], strict=True)) == segmented


def test_makers_differ_in_what_they_state(written: dict[str, PhantomSummary]) -> None:
    headers = {
        name: [pydicom.dcmread(path, stop_before_pixels=True) for path in one_of_each_series(export.folder)]
        for name, export in written.items()
    }
    assert all(header.SOPClassUID == EnhancedMRImageStorage for header in headers["enhanced"])
    assert any(header.get("TriggerTime") for header in headers["siemens"])
    assert not any(header.get("TriggerTime") for header in headers["canon"])
    assert any("TemporalPositionIdentifier" in header for header in headers["philips"])
    assert all("RescaleSlope" in header for header in headers["philips"])
    assert (written["ge"].folder / next(written["ge"].folder.iterdir()).name / "DICOMDIR").is_file()


def test_a_dicomdir_lists_every_file(written: dict[str, PhantomSummary]) -> None:
    folder = next(written["ge"].folder.iterdir())
    directory = pydicom.dcmread(folder / "DICOMDIR")
    listed = {
        Path(*record.ReferencedFileID).as_posix()
        for record in directory.DirectoryRecordSequence
        if record.DirectoryRecordType == "IMAGE"
    }
    there = {
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != "DICOMDIR"
    }
    assert listed == there
    starts = {record.seq_item_tell for record in directory.DirectoryRecordSequence}
    ends = [directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity]
    for record in directory.DirectoryRecordSequence:
        ends += [record.OffsetOfTheNextDirectoryRecord, record.OffsetOfReferencedLowerLevelDirectoryEntity]
    assert {end for end in ends if end} == starts  # every record is led to, and nothing else


def test_late_enhancement_shows_scar_and_nulls_healthy_muscle() -> None:
    for index_ in range(12):
        exam = CardiacExam(2, index_, replace(FULL, columns=None, rows=None, spacing_mm=2.0))
        if exam.scene.patient.scarred:
            break
    late = next(series for series in exam.series if series.acquisition.kind == "late-enhancement")
    cine = exam.contrast
    bright = exam._contrast_of(late.acquisition).level
    from phantoms.tissues import Tissue

    assert bright[Tissue.SCAR] > 4 * bright[Tissue.LV_MYOCARDIUM]
    assert bright[Tissue.LV_BLOOD] > 4 * bright[Tissue.LV_MYOCARDIUM]
    assert cine.level[Tissue.SCAR] < 1.2 * cine.level[Tissue.LV_MYOCARDIUM]


@pytest.mark.parametrize("name", ["siemens", "enhanced"])
def test_nifti_labels_lie_where_the_planes_lie(written: dict[str, PhantomSummary], name: str) -> None:
    truth = written[name].truth
    series = pl.read_parquet(truth / "series.parquet").filter((pl.col("view") == "SAX") & pl.col("cine"))
    image = nib.load(truth / series["nifti"][0][0])
    slices = sorted(
        (i, np.array(origin))
        for row in series.iter_rows(named=True)
        for i, origin in zip(row["slices"], row["origins_mm"], strict=True)
    )
    assert image.shape == (44, 40, len(slices), 3)
    for i, origin in slices:
        np.testing.assert_allclose((image.affine @ [0, 0, i, 1])[:3] * [-1, -1, 1], origin, atol=1e-3)
    right = np.array(series["rights"][0][0]) * series["spacing_mm"][0][1]
    np.testing.assert_allclose((image.affine @ [1, 0, 0, 0])[:3] * [-1, -1, 1], right, atol=1e-5)


def test_nifti_and_dicom_segmentations_say_the_same(written: dict[str, PhantomSummary]) -> None:
    import highdicom as hd

    truth = written["siemens"].truth
    row = pl.read_parquet(truth / "series.parquet").filter(pl.col("view") == "4CH").row(0, named=True)
    labels = np.asarray(nib.load(truth / row["nifti"][0]).dataobj)
    stored = hd.seg.segread(truth / row["segmentation"]).pixel_array
    np.testing.assert_array_equal(labels[:, :, 0, :].transpose(2, 1, 0), stored)


def test_breathing_shifts_slices_and_is_off_when_asked() -> None:
    moved, still = (CardiacExam(1, 0, replace(FULL, breathing_mm=mm)) for mm in (3.0, 0.0))
    shifts = np.array([moved.breath_shift_mm("stack", i)[2] for i in range(40)])
    assert 2.0 < shifts.std() < 4.0
    assert not np.any(still.breath_shift_mm("stack", 1))
