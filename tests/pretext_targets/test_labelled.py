from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.sr.codedict import codes

from dicomgeom.catalogue import Catalogue
from dicomgeom.errors import NothingUsable, UnusableFile, WrongUse
from pretext_targets.annotations import canonical_name, segment_order
from pretext_targets.build import build, plan_build
from pretext_targets.labelled import index_segmentations, read_labels
from pretext_targets.protocol import Protocol
from pretext_targets.reader import StoreReader
from pretext_targets.resample import resample_labels
from pretext_targets.verify import verify_store
from tests.helpers.dicom_files import uid

SEGMENTS = ("RV", "LV cavity", "Myocardium", "stent")
"""As a file may number them: 1 to 4, in no canonical order."""

STORED = {"background": 0, "LV cavity": 1, "LV myocardium": 2, "RV cavity": 3, "stent": 4}


def drawn(seed: int) -> np.ndarray:
    """Labels as the file numbers them, on 40 x 48 pixels."""
    return np.random.default_rng(seed).integers(0, 5, (40, 48)).astype(np.uint8)


def write_seg(path: Path, images: list[Path], labels: np.ndarray, kind: str) -> Path:
    sources = [pydicom.dcmread(image) for image in images]
    algorithm = AlgorithmIdentificationSequence(
        name="by hand", version="1", family=codes.DCM.ArtificialIntelligence
    )
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Heart,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, label in enumerate(SEGMENTS, start=1)
    ]
    Segmentation(
        source_images=sources,
        pixel_array=labels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=uid(11),
        series_number=100,
        sop_instance_uid=uid(12, len(images)),
        instance_number=1,
        manufacturer="tests",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=True,
    ).save_as(path)
    return path


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_annotations_reach_the_examples_they_were_drawn_on(
    kind: str, catalogue: Catalogue, export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    images = [export / "PID-4711" / "0" / f"{place}-1.dcm" for place in range(3)]
    labels = np.stack([drawn(0), drawn(1), np.zeros((40, 48), np.uint8)])
    folder = tmp_path / "seg"
    folder.mkdir()
    write_seg(folder / "a.dcm", images, labels, kind)
    (folder / "notes.txt").write_text("not DICOM")
    found = index_segmentations(folder)
    assert found.segment_names == tuple(STORED)
    assert len(found) == 3
    assert found.skipped == {"not-dicom": 1}

    plan = plan_build(catalogue, protocol, segmentations=found)
    build(plan, tmp_path / "store.zarr")
    reader = StoreReader(tmp_path / "store.zarr")
    assert reader.attributes.segment_names == tuple(STORED)
    assert verify_store(tmp_path / "store.zarr") == []
    stored = reader.read("segmentation", np.arange(24))
    annotated = (stored != 255).any(axis=(1, 2))
    assert annotated.sum() == 3
    own_codes = np.array([0, 3, 1, 2, 4], dtype=np.uint8)
    for row in plan.examples.with_row_index().filter(annotated).iter_rows(named=True):
        one = plan.slices[row["place"]]
        place = int(Path(row["path"]).stem[0])
        expected = resample_labels(own_codes[labels[place]], one.plane, one.grid)
        np.testing.assert_array_equal(stored[row["index"]], expected)
        assert Path(row["path"]).name == f"{place}-1.dcm"


def test_a_referenced_image_without_a_frame_is_annotated_as_empty(export: Path, tmp_path: Path) -> None:
    images = [export / "PID-4711" / "0" / f"{place}-1.dcm" for place in range(2)]
    labels = np.stack([drawn(0), np.zeros((40, 48), np.uint8)])
    path = write_seg(tmp_path / "a.dcm", images, labels, "BINARY")
    empty = str(pydicom.dcmread(images[1]).SOPInstanceUID)
    assert index_segmentations(tmp_path).find({"sop_instance_uid": empty, "frame": 0}) == 0
    assert not read_labels(str(path), empty, 0, tuple(STORED)).any()


def test_segments_of_the_heart_have_one_order_whatever_they_are_called() -> None:
    names = [canonical_name(one) for one in ("RA", "stent", "left_atrium", "RV", " Myocardium ", "lv")]
    assert segment_order(names) == (
        "background", "LV cavity", "LV myocardium", "RV cavity", "LA", "RA", "stent"
    )  # fmt: skip


def test_a_folder_without_segmentations_says_so(export: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="is no folder"):
        index_segmentations(tmp_path / "nowhere")
    with pytest.raises(NothingUsable, match="holds no DICOM SEG object"):
        index_segmentations(export / "PID-4711")


def test_annotations_of_other_images_say_so(
    catalogue: Catalogue, export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    # Drawn on a long-axis image, and this protocol's carrier is the short axis.
    write_seg(tmp_path / "a.dcm", [export / "PID-4711" / "1" / "0-0.dcm"], drawn(0)[None], "LABELMAP")
    with pytest.raises(NothingUsable, match="none of the 1 annotated images"):
        plan_build(catalogue, protocol, segmentations=index_segmentations(tmp_path))


def test_a_broken_object_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"nothing")
    with pytest.raises(UnusableFile, match="segmentation-broken"):
        read_labels(str(tmp_path / "a.dcm"), "1.2", 0, tuple(STORED))
