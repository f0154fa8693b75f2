"""Masks whose frames state planes of their own: turned back, chosen by place, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from highdicom.content import (
    AlgorithmIdentificationSequence,
    PixelMeasuresSequence,
    PlaneOrientationSequence,
    PlanePositionSequence,
)
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.sr.codedict import codes

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import NothingUsable, UnusableFile, WrongUse
from dicomgeom.index import index
from dicomgeom.plane import ImagePlane
from dicomgeom.row_planes import plane_of
from pretext_targets.build import build, plan_build
from pretext_targets.labelled import SegmentationIndex, index_segmentations
from pretext_targets.nifti import NiftiLabels
from pretext_targets.protocol import Protocol
from pretext_targets.reader import StoreReader
from pretext_targets.resample import resample_labels
from pretext_targets.seg_frames import AS_IT_IS, SegFrame, Turn, pick, says_empty, turn_onto
from tests.helpers.special_files import enhanced_dataset
from tests.pretext_targets.conftest import SMALL, plane
from tests.pretext_targets.test_labelled import drawn, write_seg

TURNS = [Turn(*one) for one in product((False, True), repeat=3)]
OBLIQUE = plane((7, -3, 12), (0.8, 0.6, 0.1), (-0.3, 0.5, 0.9), **SMALL)


def turned(image: ImagePlane, turn: Turn) -> ImagePlane:
    """The plane whose pixels are an image's after a turn: made from where its pixels lie."""
    at = np.stack(np.meshgrid(np.arange(image.columns), np.arange(image.rows)), axis=-1)
    if turn.swapped:
        at = at.transpose(1, 0, 2)
    at = at[:: -1 if turn.rows else 1, :: -1 if turn.columns else 1]
    lie = image.to_patient(at)
    right, down = lie[0, 1] - lie[0, 0], lie[1, 0] - lie[0, 0]
    across, along = float(np.linalg.norm(right)), float(np.linalg.norm(down))
    return ImagePlane(lie[0, 0], right / across, down / along, across, along, at.shape[1], at.shape[0])


def write_placed(path: Path, images: Sequence[Path], planes: Sequence[ImagePlane], masks: np.ndarray) -> Path:
    """A SEG object by highdicom whose frames lie on planes of their own."""
    first = planes[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    algorithm = AlgorithmIdentificationSequence(
        name="by hand", version="1", family=codes.DCM.ArtificialIntelligence
    )
    Segmentation(
        source_images=[pydicom.dcmread(image) for image in images],
        pixel_array=masks,
        segmentation_type="BINARY",
        segment_descriptions=[
            SegmentDescription(1, "LV", codes.SCT.Organ, codes.SCT.Heart, "AUTOMATIC", algorithm)
        ],
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="tests",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        plane_positions=[PlanePositionSequence("PATIENT", one.origin_mm.tolist()) for one in planes],
        plane_orientation=PlaneOrientationSequence("PATIENT", [*first.right, *first.down]),
        pixel_measures=PixelMeasuresSequence([first.row_spacing_mm, first.column_spacing_mm], 8.0),
    ).save_as(path)
    return path


def images_of(export: Path, count: int = 3) -> list[Path]:
    return [export / "PID-4711" / "0" / f"{place}-1.dcm" for place in range(count)]


def rows_of(catalogue: Catalogue, images: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of the catalogue, in the order of the images."""
    by_uid = {row["sop_instance_uid"]: row for row in catalogue.images.to_dicts()}
    return [by_uid[str(pydicom.dcmread(image).SOPInstanceUID)] for image in images]


def read_all(found: SegmentationIndex, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    numbers = [found.find(row) for row in rows]
    assert None not in numbers
    read = [
        found.annotation(number or 0, row).read(found.segment_names)
        for number, row in zip(numbers, rows, strict=True)
    ]
    return np.stack(read)


@pytest.mark.parametrize("turn", TURNS)
def test_a_mask_in_a_turned_orientation_lands_where_highdicom_puts_it(
    turn: Turn, catalogue: Catalogue, export: Path, tmp_path: Path
) -> None:
    images = images_of(export)
    rows = rows_of(catalogue, images)
    masks = np.zeros((3, 40, 48), np.uint8)
    masks[:, 5:12, 30:44], masks[1, 20:23, 3:5] = 1, 1
    planes = [turned(plane_of(row), turn) for row in rows]
    stored = np.stack([turn.of(mask) for mask in masks])
    path = write_placed(tmp_path / "seg" / "a.dcm", images, planes, stored)
    series = hd.get_volume_from_series([pydicom.dcmread(image) for image in images])
    truth = hd.seg.segread(path).get_volume(combine_segments=True).match_geometry(series)
    by_uid = dict(zip(in_order_of(series, rows), truth.array, strict=True))
    read = read_all(index_segmentations(tmp_path / "seg"), rows)
    for row, mask, labels in zip(rows, masks, read, strict=True):
        np.testing.assert_array_equal(labels, by_uid[row["sop_instance_uid"]])
        np.testing.assert_array_equal(labels, mask)


def in_order_of(volume: hd.Volume, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """UIDs of images in the order of a volume's slices."""
    at = [volume.map_reference_to_indices(np.array([row["origin_mm"]]))[0, 0] for row in rows]
    return [rows[number]["sop_instance_uid"] for number in np.argsort(at)]


def test_a_turned_mask_reaches_the_store(
    catalogue: Catalogue, export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    images, turn = images_of(export), Turn(True, False, True)
    rows = rows_of(catalogue, images)
    masks = np.stack([drawn(n) for n in range(3)]) // 3
    planes = [turned(plane_of(row), turn) for row in rows]
    write_placed(tmp_path / "seg" / "a.dcm", images, planes, np.stack([turn.of(mask) for mask in masks]))
    plan = plan_build(catalogue, protocol, segmentations=index_segmentations(tmp_path / "seg"))
    summary = build(plan, tmp_path / "store")
    assert (summary.annotated, summary.invalid, summary.annotations_unused) == (3, 0, {})
    stored = StoreReader(tmp_path / "store").read("segmentation", np.arange(24))
    uids = [row["sop_instance_uid"] for row in rows]
    for number, row in enumerate(plan.examples.iter_rows(named=True)):
        if row["sop_instance_uid"] in uids:
            one, mask = plan.slices[row["place"]], masks[uids.index(row["sop_instance_uid"])]
            np.testing.assert_array_equal(stored[number], resample_labels(mask, one.plane, one.grid))


def test_masks_on_other_pixels_are_refused_with_all_that_is_drawn_on_their_image(
    catalogue: Catalogue, export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    images = images_of(export)
    finer = [
        ImagePlane(one.to_patient([12, 10]), one.right, one.down, 2.25, 2.5, 48, 40)
        for one in map(plane_of, rows_of(catalogue, images))
    ]
    write_placed(tmp_path / "seg" / "a.dcm", images[:1], finer[:1], np.ones((1, 40, 48), np.uint8))
    write_seg(tmp_path / "seg" / "b.dcm", images[:2], drawn(0)[None].repeat(2, 0) % 2, "BINARY", ("RV",), 2)
    plan = plan_build(catalogue, protocol, segmentations=index_segmentations(tmp_path / "seg"))
    assert plan.annotations_unused == {"segmentation-elsewhere": 1}
    annotated = plan.examples.filter(plan.examples["segmentation"].is_not_null())
    assert {Path(one).name for one in annotated["path"]} == {"1-1.dcm"}
    summary = build(plan, tmp_path / "store")
    assert (summary.annotated, summary.invalid, summary.some_skipped) == (1, 0, True)


def test_masks_between_the_slices_are_refused(
    catalogue: Catalogue, export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    images = images_of(export)
    path = write_seg(tmp_path / "a.dcm", images, np.ones((3, 40, 48), np.uint8), "BINARY", ("LV",))
    normal = plane_of(rows_of(catalogue, images)[0]).normal
    written = pydicom.dcmread(path)
    for group in written.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0]
        place.ImagePositionPatient = [
            f"{at:.10g}" for at in np.array(place.ImagePositionPatient) + 1.5 * normal
        ]
    written.save_as(path)
    with pytest.raises(NothingUsable, match="3 segmentation-elsewhere"):
        plan_build(catalogue, protocol, segmentations=index_segmentations(tmp_path))


def test_other_pixels_without_a_place_are_refused_and_the_images_pixels_need_none(
    catalogue: Catalogue, export: Path, tmp_path: Path
) -> None:
    images = images_of(export)
    rows = rows_of(catalogue, images)
    path = write_seg(tmp_path / "a.dcm", images, np.ones((3, 40, 48), np.uint8), "BINARY", ("LV",))
    written = pydicom.dcmread(path)
    del written.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    for group in written.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        if source.ReferencedSOPInstanceUID == rows[0]["sop_instance_uid"]:
            source.SpatialLocationsPreserved = "NO"
    written.save_as(path)
    found = index_segmentations(tmp_path)
    assert [found.find(row) for row in rows] == [None, 0, 0]
    assert found.unused == {"segmentation-elsewhere": 1}


def test_other_pixels_are_not_laid_over_an_image_whose_plane_nobody_knows(
    catalogue: Catalogue, export: Path, tmp_path: Path
) -> None:
    images, turn = images_of(export, 1), Turn(False, True, False)
    (row,) = rows_of(catalogue, images)
    write_placed(tmp_path / "a.dcm", images, [turned(plane_of(row), turn)], np.ones((1, 40, 48), np.uint8))
    found = index_segmentations(tmp_path)
    unknown = {name: row[name] for name in ("sop_instance_uid", "frame")}
    with pytest.raises(UnusableFile, match="segmentation-elsewhere"):
        found.annotation(found.find(unknown) or 0, unknown).read(found.segment_names)
    moved_away = row | {"path": "nowhere.dcm"}
    with pytest.raises(UnusableFile, match="cannot-open"):
        found.annotation(found.find(moved_away) or 0, moved_away).read(found.segment_names)


def test_an_object_on_other_pixels_says_of_no_image_that_it_is_empty() -> None:
    other = turned(OBLIQUE, Turn(True)).moved(np.eye(3), 3.0 * OBLIQUE.right)
    for place, empty in ((moved(8.0), True), (turned(moved(8.0), Turn(True)), True), (other, False)):
        assert says_empty({"1.2": [SegFrame(0, 1, None, True, False, place)]}, OBLIQUE) == empty
    assert says_empty({"1.2": [frame(0)]}, OBLIQUE)


def test_masks_that_name_a_whole_image_of_several_frames_go_where_they_lie(
    export: Path, tmp_path: Path
) -> None:
    images = images_of(export)
    sources = [pydicom.dcmread(image) for image in images]
    planes = [
        ImagePlane.from_dicom(
            one.ImagePositionPatient, one.ImageOrientationPatient, one.PixelSpacing, 48, 40, "1.2"
        )
        for one in sources
    ]
    fourth = planes[2].moved(np.eye(3), planes[2].origin_mm - planes[1].origin_mm)
    order = [planes[2], planes[0], fourth, planes[1]]
    whole = enhanced_dataset(order, SeriesDescription="SAX")
    (tmp_path / "export").mkdir()
    whole.save_as(tmp_path / "export" / "a.dcm", enforce_file_format=True)
    index([tmp_path / "export"], tmp_path / "catalogue")
    rows = sorted(open_catalogue(tmp_path / "catalogue").images.to_dicts(), key=lambda row: int(row["frame"]))
    masks = np.stack([drawn(n) for n in range(3)]) // 3
    path = write_seg(tmp_path / "seg" / "a.dcm", images, masks, "BINARY", ("LV",))
    written = pydicom.dcmread(path)
    for group in written.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        source.ReferencedSOPInstanceUID = whole.SOPInstanceUID
    written.save_as(path)
    found = index_segmentations(tmp_path / "seg")
    read = read_all(found, rows)
    for labels, mask in zip(read, (masks[2], masks[0], 0 * masks[0], masks[1]), strict=True):
        np.testing.assert_array_equal(labels, mask)
    assert found.unused == {}
    unknown = {"sop_instance_uid": str(whole.SOPInstanceUID), "frame": 0}
    with pytest.raises(UnusableFile, match="segmentation-frame-unclear"):
        found.annotation(0, unknown).read(found.segment_names)


def frame(
    position: int, place: ImagePlane | None = None, segment: int = 1, *, alone: bool = True
) -> SegFrame:
    return SegFrame(position, segment, None, alone, True, place)


def moved(mm: float) -> ImagePlane:
    return OBLIQUE.moved(np.eye(3), mm * OBLIQUE.normal)


def test_a_mask_that_names_a_whole_cine_is_meant_for_all_its_frames_and_several_are_refused() -> None:
    cine = dict.fromkeys(range(3), OBLIQUE)
    for place in (OBLIQUE, None):
        one_each = [frame(0, place), frame(1, place, segment=2)]
        for number in cine:
            assert [one.position for one in pick(one_each, cine, number)] == [0, 1]
        with pytest.raises(UnusableFile, match="segmentation-frame-unclear"):
            pick([*one_each, frame(2, place)], cine, 1)
    with pytest.raises(UnusableFile, match="segmentation-elsewhere"):
        pick([frame(0, moved(2.0))], cine, 0)


def test_masks_without_a_place_tell_nothing_of_frames_on_several_planes() -> None:
    with pytest.raises(UnusableFile, match="segmentation-frame-unclear"):
        pick([frame(0)], {0: OBLIQUE, 1: moved(8.0)}, 0)
    assert pick([frame(0)], {0: OBLIQUE}, 0) == ((0, 1, AS_IT_IS),)


def test_a_mask_that_names_several_images_goes_onto_the_one_it_lies_on() -> None:
    stack = [frame(number, moved(8.0 * number), alone=False) for number in range(3)]
    assert [one.position for one in pick(stack, {0: moved(8.0)}, 0)] == [1]
    with pytest.raises(UnusableFile, match="no mask lies on"):
        pick(stack, {0: moved(4.0)}, 0)


@pytest.mark.parametrize("turn", TURNS)
def test_turns_are_found_within_the_rounding_of_headers_and_no_further(turn: Turn) -> None:
    mask = turned(OBLIQUE, turn)
    back = turn_onto(mask, OBLIQUE)
    assert back is not None
    pixels = np.arange(40 * 48).reshape(40, 48)
    np.testing.assert_array_equal(back.of(turn.of(pixels)), pixels)
    rounded = ImagePlane.from_dicom(
        np.round(mask.origin_mm, 2).tolist(),
        np.round([*mask.right, *mask.down], 4).tolist(),
        [mask.row_spacing_mm, mask.column_spacing_mm],
        mask.columns,
        mask.rows,
    )
    assert turn_onto(rounded, OBLIQUE) == back
    half = mask.moved(np.eye(3), 0.5 * mask.column_spacing_mm * mask.right)
    assert turn_onto(half, OBLIQUE) is None


def test_more_names_than_codes_are_refused_when_the_folder_is_read(export: Path, tmp_path: Path) -> None:
    images = images_of(export, 1)
    for number in range(2):
        names = [f"structure {number} {one}" for one in range(127)]
        masks = (np.arange(40 * 48).reshape(1, 40, 48) % 128).astype(np.uint8)
        write_seg(tmp_path / f"{number}.dcm", images, masks, "LABELMAP", names, number)
    assert len(index_segmentations(tmp_path).segment_names) == 255
    write_seg(tmp_path / "2.dcm", images, np.ones((1, 40, 48), np.uint8), "LABELMAP", ("one more",), 2)
    with pytest.raises(WrongUse, match=r"found 255 names of structures, 254 fit.*give a folder with fewer"):
        index_segmentations(tmp_path)


def test_more_names_than_codes_in_label_maps_are_refused() -> None:
    names = ("background", *(f"structure {one}" for one in range(254)))
    assert NiftiLabels(names, (), (), {}, {}).segment_names == names
    with pytest.raises(WrongUse, match=r"found 255 names of structures, 254 fit.*labels\.codes"):
        NiftiLabels((*names, "one more"), (), (), {}, {})
