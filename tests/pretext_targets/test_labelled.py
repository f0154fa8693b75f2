from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.sr.codedict import codes

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import NothingUsable, UnusableFile, WrongUse
from dicomgeom.index import index
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


def write_seg(
    path: Path,
    images: list[Path],
    labels: np.ndarray,
    kind: str,
    segments: Sequence[str] = SEGMENTS,
    number: int = 0,
) -> Path:
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
        for number, label in enumerate(segments, start=1)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    Segmentation(
        source_images=sources,
        pixel_array=labels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=uid(11),
        series_number=100,
        sop_instance_uid=uid(12, len(images), number),
        instance_number=1,
        manufacturer="tests",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=True,
    ).save_as(path)
    return path


def test_a_label_with_the_patients_name_in_it_is_not_kept(export: Path, tmp_path: Path) -> None:
    images = [export / "PID-4711" / "0" / "0-1.dcm"]
    names = ("LV cavity", "stent of SECRETOVSKY", "4711", "Eve")  # of Secretovsky^Eve, PID-4711
    write_seg(tmp_path / "a.dcm", images, drawn(0)[None], "BINARY", names)
    found = index_segmentations(tmp_path).segment_names
    assert set(found) == {"background", "LV cavity", "segment 2", "segment 3", "Eve"}  # too short to tell


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
    assert found.unused == {"not-dicom": 1}

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


def short_axis(export: Path, count: int = 3) -> list[Path]:
    return [export / "PID-4711" / "0" / f"{place}-1.dcm" for place in range(count)]


def row_of(image: Path) -> dict[str, object]:
    return {"sop_instance_uid": str(pydicom.dcmread(image).SOPInstanceUID), "frame": 0}


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_objects_of_one_structure_each_are_laid_over_one_another(
    kind: str, catalogue: Catalogue, export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    images = short_axis(export)
    left, right, rim = (np.zeros((3, 40, 48), np.uint8) for _ in range(3))
    left[:, 10:20, 10:20], right[:, 12:26, 16:30], rim[:2, 8:22, 8:22] = 1, 1, 1
    drawn_by = {"LV": (left, images), "RV": (right, images), "Myocardium": (rim[:2], images[:2])}
    for number, (name, (mask, on)) in enumerate(drawn_by.items()):
        write_seg(tmp_path / "seg" / f"{name}.dcm", on, mask, kind, (name,), number)
    found = index_segmentations(tmp_path / "seg")
    assert found.segment_names == ("background", "LV cavity", "LV myocardium", "RV cavity")
    assert (len(found), found.unused) == (3, {})
    # As overlapping segments of one object: the later name wins.
    expected = np.where(left, 1, 0)
    expected[rim > 0] = 2
    expected[right > 0] = 3
    for place, image in enumerate(images):
        annotation = found.annotation(found.find(row_of(image)) or 0, row_of(image))
        np.testing.assert_array_equal(annotation.read(found.segment_names), expected[place])
    plan = plan_build(catalogue, protocol, segmentations=found)
    summary = build(plan, tmp_path / "store.zarr")
    assert (summary.invalid, summary.annotations_unused) == (0, {})
    reader = StoreReader(tmp_path / "store.zarr")
    stored = reader.read("segmentation", np.arange(len(reader)))
    annotated = (stored != 255).any(axis=(1, 2))
    assert annotated.sum() == 3
    assert set(np.unique(stored[annotated])) >= {0, 2, 3}


def test_of_a_segment_drawn_twice_one_is_taken_and_differing_images_are_told(
    export: Path, tmp_path: Path
) -> None:
    images = short_axis(export)
    first = np.zeros((3, 40, 48), np.uint8)
    first[:, 10:20, 10:20] = 1
    second = first.copy()
    second[0, 10:20, 20:24] = 1  # drawn otherwise
    second[1] = 0  # not drawn: the other's stays
    for number, mask in enumerate((first, second)):
        write_seg(tmp_path / f"{number}.dcm", images, mask, "BINARY", ("LV",), number)
    found = index_segmentations(tmp_path)
    assert found.unused == {"segment-drawn-twice": 1}
    names = found.segment_names
    read = [found.annotation(found.find(row_of(one)) or 0, row_of(one)).read(names) for one in images]
    last = (first, second)[int(found.files[-1].stem)]
    np.testing.assert_array_equal(read[0], last[0])
    np.testing.assert_array_equal(read[1], first[1])
    np.testing.assert_array_equal(read[2], first[2])


def test_objects_of_other_sizes_on_one_image_are_a_reason(export: Path, tmp_path: Path) -> None:
    (image,) = short_axis(export, 1)
    write_seg(tmp_path / "a.dcm", [image], np.ones((1, 40, 48), np.uint8), "BINARY", ("LV",), 1)
    smaller = pydicom.dcmread(image)
    smaller.Rows = 32
    smaller.save_as(tmp_path / "smaller.dcm")
    other = write_seg(
        tmp_path / "b.dcm", [tmp_path / "smaller.dcm"], np.ones((1, 32, 48), np.uint8), "BINARY", ("RV",), 2
    )
    (tmp_path / "smaller.dcm").unlink()
    assert other.is_file()
    found = index_segmentations(tmp_path)
    with pytest.raises(UnusableFile, match="segmentation-size"):
        found.annotation(found.find(row_of(image)) or 0, row_of(image)).read(found.segment_names)


def test_an_object_that_breaks_off_anywhere_is_a_reason_beside_a_good_one(
    export: Path, tmp_path: Path
) -> None:
    good = write_seg(tmp_path / "seg" / "good.dcm", short_axis(export), drawn(0)[None].repeat(3, 0), "BINARY")
    whole = good.read_bytes()
    told = 0
    for length in (0, 100, 140, 400, *range(401, len(whole), len(whole) // 60), len(whole) - 2):
        (tmp_path / "seg" / "broken.dcm").write_bytes(whole[:length])
        found = index_segmentations(tmp_path / "seg")
        assert found.files == (good,)
        assert sum(found.unused.values()) == 1
        told += "segmentation-broken" in found.unused
    assert told


def test_an_object_whose_frames_name_no_image_says_nothing_of_those_of_its_series(
    export: Path, tmp_path: Path
) -> None:
    path = write_seg(tmp_path / "a.dcm", short_axis(export), drawn(0)[None].repeat(3, 0), "BINARY")
    unplaced = pydicom.dcmread(path)
    for group in unplaced.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence
    unplaced.save_as(path)
    with pytest.raises(NothingUsable, match="1 segmentation-without-images"):
        index_segmentations(tmp_path)


def test_an_annotation_is_of_nobody_where_two_images_share_its_uid(
    export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    shutil.copytree(export, tmp_path / "export")
    images = short_axis(tmp_path / "export")
    write_seg(tmp_path / "seg" / "a.dcm", images, drawn(0)[None].repeat(3, 0), "BINARY")
    other = tmp_path / "export" / "PID-4712" / "0" / "2-2.dcm"
    taken = pydicom.dcmread(other)
    taken.SOPInstanceUID = taken.file_meta.MediaStorageSOPInstanceUID = row_of(images[0])["sop_instance_uid"]
    taken.save_as(other)
    index([tmp_path / "export"], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    plan = plan_build(catalogue, protocol, segmentations=index_segmentations(tmp_path / "seg"))
    annotated = plan.examples.filter(plan.examples["segmentation"].is_not_null())
    assert {Path(one).name for one in annotated["path"]} == {"1-1.dcm", "2-1.dcm"}
    assert plan.annotations_unused == {"several-images": 1}


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


def test_a_label_map_that_draws_a_number_it_does_not_describe_is_broken_and_no_background(
    catalogue: Catalogue, export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    images = [export / "PID-4711" / "0" / f"{place}-0.dcm" for place in range(2)]
    masks = np.stack([drawn(0), np.minimum(drawn(1), 2)])
    assert {3, 4} <= set(np.unique(masks[0]))
    written = pydicom.dcmread(write_seg(tmp_path / "seg" / "a.dcm", images, masks, "LABELMAP"))
    written.SegmentSequence = [one for one in written.SegmentSequence if one.SegmentNumber in (0, 1, 2)]
    written.save_as(tmp_path / "seg" / "a.dcm")
    found = index_segmentations(tmp_path / "seg")
    summary = build(plan_build(catalogue, protocol, segmentations=found), tmp_path / "store")
    assert summary.invalid_reasons == {"segmentation-broken": 1}
    assert (summary.annotated, summary.some_skipped) == (1, True)
    with pytest.raises(UnusableFile, match="no segment 3, 4"):
        read_labels(
            str(tmp_path / "seg" / "a.dcm"), str(pydicom.dcmread(images[0]).SOPInstanceUID), 0, SEGMENTS
        )
