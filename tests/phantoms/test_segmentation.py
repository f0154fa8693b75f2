from __future__ import annotations

import highdicom as hd
import numpy as np
import polars as pl
import pydicom

from phantoms.export import PhantomSummary
from phantoms.segmentation import segment_numbers
from phantoms.segments import CARDIAC_SEGMENTS
from phantoms.tissues import Tissue


def test_every_segment_has_its_own_tissues() -> None:
    tissues = [tissue for segment in CARDIAC_SEGMENTS for tissue in segment.tissues]
    assert len(tissues) == len(set(tissues))
    numbers = segment_numbers(np.arange(len(Tissue), dtype=np.uint8))
    assert numbers[Tissue.PAPILLARY] == numbers[Tissue.LV_BLOOD] == 1
    assert numbers[Tissue.RV_WALL] == numbers[Tissue.FAT] == 0


def test_highdicom_reads_back_the_sampled_labels_image_by_image(export: PhantomSummary) -> None:
    series = pl.read_parquet(export.truth / "series.parquet").filter(pl.col("cine"))
    for row in series.iter_rows(named=True):
        segmentation = hd.seg.segread(export.truth / row["segmentation"])
        stored = hd.seg.segread(export.truth / row["tissue"])
        references = stored.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        uids = [str(item.ReferencedSOPInstanceUID) for item in references]
        tissue = stored.get_pixels_by_source_instance(uids, combine_segments=True)
        order = np.random.default_rng(0).permutation(len(uids))
        read = segmentation.get_pixels_by_source_instance([uids[i] for i in order], combine_segments=True)
        np.testing.assert_array_equal(read, segment_numbers(tissue)[order])


def test_the_segments_are_named_and_coded(export: PhantomSummary) -> None:
    path = next((export.truth / "segmentations").rglob("*.dcm"))
    segmentation = hd.seg.segread(path)
    assert segmentation.segmentation_type == hd.seg.SegmentationTypeValues.LABELMAP
    for segment in CARDIAC_SEGMENTS:
        description = segmentation.get_segment_description(segment.number)
        assert description.segment_label == segment.name
        assert description.segmented_property_type.value == segment.code


def test_segmentations_refer_to_images_of_the_export_and_share_their_frame(export: PhantomSummary) -> None:
    images = pl.read_parquet(export.truth / "images.parquet")
    for path in (export.truth / "segmentations").rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        referenced = {
            str(item.ReferencedSOPInstanceUID)
            for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        }
        series_uid = str(dataset.ReferencedSeriesSequence[0].SeriesInstanceUID)
        ours = images.filter(pl.col("series_instance_uid") == series_uid)
        assert referenced == set(ours["sop_instance_uid"])
        source = pydicom.dcmread(export.folder / ours["path"][0], stop_before_pixels=True)
        assert dataset.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert dataset.PatientID == source.PatientID
