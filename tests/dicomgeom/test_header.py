"""One dataset -> headers, for the odd things that real files contain."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicomgeom.errors import UnusableFile
from dicomgeom.header import read_headers
from tests.helpers.dicom_files import axial, mr_dataset
from tests.helpers.special_files import enhanced_dataset


def reason(dataset: Dataset) -> str:
    with pytest.raises(UnusableFile) as caught:
        read_headers(dataset)
    return caught.value.reason


def test_the_plane_of_a_classic_image_is_read_with_spacings_in_their_places() -> None:
    plane = axial(12.5)
    (header,) = read_headers(mr_dataset(plane))
    np.testing.assert_allclose(header.plane.patient_from_pixel, plane.patient_from_pixel)
    assert (header.plane.columns, header.plane.rows) == (24, 16)
    assert header.plane.row_spacing_mm == 2.0
    assert header.plane.frame_of_reference == plane.frame_of_reference


def test_an_image_without_position_is_refused_and_all_that_lacks_is_named() -> None:
    dataset = mr_dataset(axial(), ImagePositionPatient=None, PixelSpacing=None)
    with pytest.raises(UnusableFile, match=r"Image Position \(Patient\), Pixel Spacing"):
        read_headers(dataset)
    assert reason(dataset) == "no-position"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Modality": "CT"}, "not-mr"),
        ({"Modality": None}, "not-mr"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "not-an-mr-image-class"),
        ({"Rows": None, "Columns": None}, "not-an-image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "siemens-mosaic"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "VFRAME"]}, "uih-grid"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "bad-geometry"),
        ({"PixelSpacing": [0, 0]}, "bad-geometry"),
        ({"NumberOfFrames": 3}, "multi-frame-without-groups"),
    ],
)
def test_what_is_no_placed_mr_image_is_refused_by_a_word(changes: dict[str, object], expected: str) -> None:
    assert reason(mr_dataset(axial(), **changes)) == expected


def test_derived_alone_proves_nothing_but_a_projection_is_derived() -> None:
    (original,) = read_headers(mr_dataset(axial(), ImageType=["DERIVED", "SECONDARY", "M", "NORM"]))
    (projection,) = read_headers(mr_dataset(axial(), ImageType=["DERIVED", "PRIMARY", "PROJECTION IMAGE"]))
    assert original.role == "original"
    assert projection.role == "derived"


@pytest.mark.parametrize("text", ["localizer_tra", "SCOUT", "3-plane loc", "Survey", "Lokalisator localiser"])
def test_a_localizer_is_known_by_its_description(text: str) -> None:
    (header,) = read_headers(mr_dataset(axial(), SeriesDescription=text))
    assert header.role == "localizer"


def test_numbers_with_commas_and_blanks_are_read() -> None:
    dataset = mr_dataset(axial())
    dataset.add_new("EchoTime", "LO", " 1,49 ")
    (header,) = read_headers(dataset)
    assert header.echo_time_ms == 1.49


def test_a_date_that_is_none_gives_no_moment() -> None:
    dataset = mr_dataset(axial(), AcquisitionTime="101112")
    dataset.add_new("AcquisitionDate", "LO", "20120000")  # as DA it would be refused
    (unreal,) = read_headers(dataset)
    (real,) = read_headers(mr_dataset(axial(), AcquisitionDateTime="20240704103045.3725"))
    assert unreal.acquired_at is None
    assert real.acquired_at == datetime(2024, 7, 4, 10, 30, 45, 372500)


def test_fat_suppression_is_read_from_scan_options_and_text_but_not_from_image_type() -> None:
    (options,) = read_headers(mr_dataset(axial(), ScanOptions=["PFP", "FS"]))
    (text,) = read_headers(mr_dataset(axial(), SeriesDescription="SAG PD FS"))
    (filtered,) = read_headers(mr_dataset(axial(), ImageType=["DERIVED", "SECONDARY", "M", "FS"]))
    assert options.fat_suppressed
    assert text.fat_suppressed
    assert not filtered.fat_suppressed


def test_frames_of_an_enhanced_image_are_placed_by_their_own_functional_groups() -> None:
    planes = [axial(30.0), axial(10.0), axial(20.0)]
    dataset = enhanced_dataset(planes)
    headers = read_headers(dataset)
    assert [header.frame for header in headers] == [0, 1, 2]
    for header, plane in zip(headers, planes, strict=True):
        np.testing.assert_allclose(header.plane.patient_from_pixel, plane.patient_from_pixel)
    assert [header.trigger_time_ms for header in headers] == [0.0, 40.0, 80.0]


def test_an_enhanced_frame_without_a_position_is_refused() -> None:
    dataset = enhanced_dataset([axial(0.0), axial(1.0)])
    del dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    assert reason(dataset) == "no-position"
