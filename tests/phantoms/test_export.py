from __future__ import annotations

import hashlib
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import polars as pl
import pydicom
import pytest
from pydicom.uid import UID, MRImageStorage

from dicomgeom.errors import IntegrityError, WrongUse
from dicomgeom.plane import ImagePlane
from phantoms.cardiac_exam import CardiacExam
from phantoms.dicom_export import decimal
from phantoms.export import PhantomSummary, write_exams
from phantoms.options import ExportOptions


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_all(folder: Path) -> list[pydicom.FileDataset]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [pydicom.dcmread(path) for path in sorted(folder.rglob("*")) if path.is_file()]


def test_the_same_seed_gives_the_same_bytes(
    export: PhantomSummary, tmp_path: Path, tiny: ExportOptions
) -> None:
    again = write_exams(tmp_path / "again", exams=1, seed=5, options=tiny)
    assert digests(again.folder).items() < digests(export.folder).items()
    truth = {name: digest for name, digest in digests(again.truth).items() if not name.endswith(".parquet")}
    assert truth.items() < digests(export.truth).items()


def test_another_seed_gives_other_patients(
    export: PhantomSummary, tmp_path: Path, tiny: ExportOptions
) -> None:
    quick = replace(tiny, localizers=False, phases=2)
    other = write_exams(tmp_path / "other", exams=1, seed=6, options=quick)
    assert not set(digests(other.folder)) & set(digests(export.folder))


def test_an_interrupted_export_is_finished_by_the_same_command(tmp_path: Path, tiny: ExportOptions) -> None:
    folder, quick = tmp_path / "broken", replace(tiny, localizers=False, phases=2, series_per_slice_share=0)
    write_exams(folder, exams=2, seed=5, options=quick)
    whole = digests(folder)
    lost = min(folder.iterdir())
    half = tmp_path / ".broken-unfinished" / lost.name
    half.parent.mkdir()
    shutil.move(lost, half)
    next(path for path in half.rglob("*") if path.is_file()).unlink()
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    write_exams(folder, exams=2, seed=5, options=quick)
    assert digests(folder) == whole
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    assert not half.parent.exists()


def test_a_larger_number_adds_exams(tmp_path: Path, tiny: ExportOptions) -> None:
    small = replace(tiny, localizers=False, phases=2, series_per_slice_share=0)
    first = write_exams(tmp_path / "export", exams=1, options=small)
    before = digests(first.folder)
    second = write_exams(tmp_path / "export", exams=2, options=small)
    assert second.exams == 2
    assert second.files > first.files
    assert before.items() <= digests(second.folder).items()
    assert pl.read_parquet(second.truth / "exams.parquet")["index"].to_list() == [0, 1]


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one(
    export: PhantomSummary, tmp_path: Path, tiny: ExportOptions
) -> None:
    parallel = write_exams(tmp_path / "parallel", exams=2, seed=5, options=tiny, workers=2)
    assert digests(parallel.folder) == digests(export.folder)
    assert digests(parallel.truth) == digests(export.truth)


def test_what_makes_no_sense_is_refused_in_one_line(tmp_path: Path, tiny: ExportOptions) -> None:
    folder = tmp_path / "export"
    with pytest.raises(WrongUse, match="no phantom of anatomy 'elbow'; there is: cardiac"):
        write_exams(folder, exams=1, anatomy="elbow")
    with pytest.raises(WrongUse, match="lies inside the export"):
        write_exams(folder, exams=1, truth=folder / "truth")
    with pytest.raises(WrongUse, match="at least 1, found 0"):
        write_exams(folder, exams=0)
    with pytest.raises(WrongUse, match="phases must be 2 to 100, found 1"):
        write_exams(folder, exams=1, phases=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(WrongUse, match="is a file"):
        write_exams(tmp_path / "file", exams=1)
    assert not folder.exists()


def test_an_export_of_other_options_is_not_mixed_in(export: PhantomSummary) -> None:
    before = digests(export.folder)
    with pytest.raises(WrongUse, match="belongs to an export with another seed"):
        write_exams(export.folder, exams=2, seed=6)
    assert digests(export.folder) == before


def test_a_broken_marker_is_named(tmp_path: Path) -> None:
    (tmp_path / "export-truth").mkdir()
    (tmp_path / "export-truth" / "phantoms.json").write_text("{")
    with pytest.raises(IntegrityError, match="not readable JSON"):
        write_exams(tmp_path / "export", exams=1)


def test_progress_counts_to_the_end(tmp_path: Path, tiny: ExportOptions) -> None:
    seen: list[tuple[int, int | None]] = []

    def note(what: str, *, done: int, total: int | None) -> None:
        seen.append((done, total))

    write_exams(tmp_path / "export", exams=1, options=replace(tiny, localizers=False), progress=note)
    assert seen == [(0, 1), (1, 1)]


def test_every_file_is_a_valid_mr_image_of_nobody(export: PhantomSummary) -> None:
    datasets = read_all(export.folder)
    assert len(datasets) == export.files
    for dataset in datasets:
        assert dataset.SOPClassUID == MRImageStorage == dataset.file_meta.MediaStorageSOPClassUID
        assert dataset.PatientID.startswith("PHANTOM-")
        assert "Phantom" in str(dataset.PatientName)
        for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
            assert UID(dataset[name].value).is_valid
        for element in dataset:
            if element.VR == "DS" and element.value is not None:
                parts = element.value if element.VM > 1 else [element.value]
                assert all(len(str(part)) <= 16 for part in parts)
        assert dataset.pixel_array.dtype == np.uint16
        assert dataset.pixel_array.max() < 2**dataset.BitsStored
        assert "RescaleSlope" not in dataset
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == len(datasets)
    assert len({dataset.FrameOfReferenceUID for dataset in datasets}) == export.exams


def test_a_cine_says_when_its_phases_were_and_a_localizer_does_not(export: PhantomSummary) -> None:
    series = pl.read_parquet(export.truth / "series.parquet")
    cine = dict(zip(series["series_instance_uid"], series["cine"], strict=True))
    for dataset in read_all(export.folder):
        assert ("TriggerTime" in dataset) == cine[dataset.SeriesInstanceUID]
        if cine[dataset.SeriesInstanceUID]:
            assert dataset.CardiacNumberOfImages == 4
            assert 0 <= float(dataset.TriggerTime) < float(dataset.NominalInterval)


def test_planes_in_the_files_are_those_prescribed_and_highdicom_agrees(
    export: PhantomSummary, tiny: ExportOptions
) -> None:
    exams = {exam.uid("study"): exam for exam in (CardiacExam(5, index, tiny) for index in range(2))}
    planned: dict[str, dict[int, ImagePlane]] = {
        series.uid: dict(series.planes) for exam in exams.values() for series in exam.series
    }
    images = pl.read_parquet(export.truth / "images.parquet")
    corners = np.array([[0, 0], [71, 0], [0, 63], [13, 40]])
    for row in images.filter(pl.col("phase_index") == 0).iter_rows(named=True):
        dataset = pydicom.dcmread(export.folder / row["path"])
        plane = planned[row["series_instance_uid"]][row["slice_index"]]
        places = hd.spatial.PixelToReferenceTransformer.for_image(dataset)(corners)
        np.testing.assert_allclose(places, plane.to_patient(corners), atol=1e-6)
        assert (dataset.Columns, dataset.Rows) == (plane.columns, plane.rows)


def test_a_short_axis_stack_is_one_series_or_one_a_slice() -> None:
    options = ExportOptions(
        phases=4, spacing_mm=4.5, columns=64, rows=64, series_per_slice_share=0.5, enhanced_share=0
    )
    counts = []
    for index in range(8):
        exam = CardiacExam(77, index, options)
        stack = [series for series in exam.series if series.view == "SAX" and series.cine]
        slices = sum(len(series.planes) for series in stack)
        assert len(stack) in (1, slices)
        counts.append(len(stack))
    assert min(counts) == 1
    assert max(counts) >= 8


def test_descriptions_are_right_wrong_or_empty_as_chance_will_have_it() -> None:
    for share, verdicts in ((0.0, {"right"}), (0.5, {"wrong", "empty"})):
        options = ExportOptions(
            wrong_description_share=share, empty_description_share=share, foreign_description_share=0
        )
        series = [series for index in range(3) for series in CardiacExam(8, index, options).series]
        assert {one.description_is for one in series} == verdicts
        assert all((one.description == "") == (one.description_is == "empty") for one in series)


def test_names_and_places_of_files_say_nothing(export: PhantomSummary) -> None:
    names = [path.name.lower() for path in export.folder.rglob("*")]
    assert not any(word in name for name in names for word in ("sax", "ch", "loc", "phantom"))
    images = pl.read_parquet(export.truth / "images.parquet").sort("path")
    assert images["phase_index"].to_list() != sorted(images["phase_index"].to_list())


@pytest.mark.parametrize("number", [0.1 + 0.2, -123.456789012345678, 1e-17, -2.5e-9 / 3, 0.0, 1.40625])
def test_decimals_fit_into_sixteen_characters(number: float) -> None:
    text = decimal(number)
    assert len(text) <= 16
    assert float(text) == pytest.approx(number, rel=1e-9, abs=1e-12)


def test_only_the_phases_can_be_given_alone(tmp_path: Path, tiny: ExportOptions) -> None:
    written = write_exams(tmp_path / "export", exams=1, phases=2, options=replace(tiny, localizers=False))
    assert set(pl.read_parquet(written.truth / "series.parquet")["phases"]) == {2}
    assert written.as_json()["files"] == written.files


def test_nothing_is_written_into_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(WrongUse, match=r"mine holds thesis\.tex, which this command did not write"):
        write_exams(tmp_path / "mine", exams=1)
    with pytest.raises(WrongUse, match="holds something else than truth of phantoms"):
        write_exams(tmp_path / "export", exams=1, truth=tmp_path / "mine")
    with pytest.raises(WrongUse, match="lies inside the truth folder"):
        write_exams(tmp_path / "truth" / "export", exams=1, truth=tmp_path / "truth")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "thesis.tex"]


def test_fewer_exams_than_lie_there_are_refused_and_nothing_is_touched(
    tmp_path: Path, tiny: ExportOptions
) -> None:
    quick = replace(tiny, localizers=False, phases=2, series_per_slice_share=0)
    written = write_exams(tmp_path / "export", exams=2, options=quick)
    before = digests(tmp_path)
    with pytest.raises(WrongUse, match="holds more than 1 of its exams already; give --exams 2 or more"):
        write_exams(tmp_path / "export", exams=1, options=quick)
    assert digests(tmp_path) == before
    work = tmp_path / "export" / "anatprep-work" / "catalogue"
    work.mkdir(parents=True)
    (work / "catalogue.json").write_text('{"format": "anatprep-catalogue"}')
    assert write_exams(tmp_path / "export", exams=2, options=quick) == written
    shutil.rmtree(written.truth)
    with pytest.raises(WrongUse, match="which this command did not write"):
        write_exams(tmp_path / "export", exams=2, options=quick)
