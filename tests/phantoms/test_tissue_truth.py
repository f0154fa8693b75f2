from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import polars as pl
import pydicom
import pytest

from phantoms.cardiac_exam import CardiacExam
from phantoms.export import PhantomSummary, write_exams
from phantoms.knee_exam import KneeExam
from phantoms.options import ExportOptions
from phantoms.tissue_truth import TABLE, TISSUE_SEGMENTS
from phantoms.tissues import RELAXATION, Tissue


def test_the_files_hold_the_tissue_of_every_image_that_is_segmented(
    export: PhantomSummary, tiny: ExportOptions
) -> None:
    exam = CardiacExam(5, 0, tiny)
    images = pl.read_parquet(export.truth / "images.parquet")
    rows = {
        (row["series_instance_uid"], row["slice_index"], row["phase_index"]): row["sop_instance_uid"]
        for row in images.to_dicts()
    }
    described = {
        row["series_instance_uid"]: row for row in pl.read_parquet(export.truth / "series.parquet").to_dicts()
    }
    seen = set()
    for series in exam.series:
        path = described[series.uid]["tissue"]
        assert bool(path) == series.segmented
        if not series.segmented:
            continue
        seen.add(series.view)
        stored = hd.seg.segread(export.truth / path)
        for image in list(exam.images(series))[:3]:
            uid = rows[series.uid, image.slice_index, image.phase_index]
            read = stored.get_pixels_by_source_instance([uid], combine_segments=True)[0]
            np.testing.assert_array_equal(read, image.tissue)
    assert seen == {"SAX", "2CH", "3CH", "4CH"}


def test_segments_are_the_tissues_by_name_and_number(export: PhantomSummary) -> None:
    path = next((export.truth / "tissues").rglob("*.dcm"))
    stored = hd.seg.segread(path)
    assert stored.segmentation_type == hd.seg.SegmentationTypeValues.LABELMAP
    named = {int(one.SegmentNumber): str(one.SegmentLabel) for one in stored.SegmentSequence}
    assert named == {segment.number: segment.name for segment in TISSUE_SEGMENTS}
    assert named[Tissue.LV_MYOCARDIUM] == "lv myocardium"
    assert set(named) == set(Tissue) - {Tissue.AIR}


def test_tissues_and_segments_are_two_objects_of_the_same_frames(export: PhantomSummary) -> None:
    for path in sorted((export.truth / "tissues").rglob("*.dcm"))[:4]:
        ours, theirs = (
            pydicom.dcmread(path),
            pydicom.dcmread(Path(str(path).replace("tissues", "segmentations"))),
        )
        for name in ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber"):
            assert ours[name].value != theirs[name].value
        for name in ("PerFrameFunctionalGroupsSequence", "ReferencedSeriesSequence", "FrameOfReferenceUID"):
            assert ours[name] == theirs[name]


def test_the_table_says_what_the_images_were_made_with(export: PhantomSummary) -> None:
    table = json.loads((export.truth / "tissues" / TABLE).read_text())
    assert [row["number"] for row in table["tissues"]] == list(range(len(Tissue)))
    for row in table["tissues"]:
        relaxation = RELAXATION[Tissue(row["number"])]
        assert (row["density"], row["t1_ms"], row["t2_ms"]) == (
            relaxation.density,
            relaxation.t1_ms,
            relaxation.t2_ms,
        )
    fat = {row["name"] for row in table["tissues"] if row["fat"]}
    assert {"fat", "leg fat", "femur marrow"} <= fat
    assert "muscle" not in fat


def test_frames_of_enhanced_objects_are_told_apart(tmp_path: Path) -> None:
    options = ExportOptions(
        columns=40,
        rows=36,
        spacing_mm=4.0,
        vendor="philips",
        enhanced_share=1,
        compressed_share=0,
        nifti=False,
    )
    summary = write_exams(tmp_path / "export", exams=1, anatomy="knee", seed=3, options=options)
    exam = KneeExam(3, 0, options)
    series = next(one for one in exam.series if one.segmented)
    (row,) = (
        pl.read_parquet(summary.truth / "series.parquet").filter(series_instance_uid=series.uid).to_dicts()
    )
    stored = pydicom.dcmread(summary.truth / row["tissue"])
    frames = [
        int(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for group in stored.PerFrameFunctionalGroupsSequence
    ]
    images = list(exam.images(series))
    assert sorted(frames) == list(range(1, len(images) + 1))
    sampled = [image.tissue for image in images if image.tissue is not None]
    np.testing.assert_array_equal(stored.pixel_array, np.stack(sampled))


@pytest.mark.parametrize("kept", [True, False])
def test_exports_can_go_without_and_are_the_same_otherwise(
    kept: bool, export: PhantomSummary, tiny: ExportOptions, tmp_path: Path
) -> None:
    other = write_exams(tmp_path / "export", exams=1, seed=5, options=replace(tiny, tissues=kept))
    assert (other.truth / "tissues").exists() == kept
    series = pl.read_parquet(other.truth / "series.parquet")
    assert (series["tissue"] != "").any() == kept
    for path in other.folder.rglob("*.dcm"):
        assert path.read_bytes() == (export.folder / path.relative_to(other.folder)).read_bytes()
