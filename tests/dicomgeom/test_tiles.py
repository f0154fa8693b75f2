"""Siemens mosaics and UIH grids: tiles on their true planes, or a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicomgeom.errors import UnusableFile
from dicomgeom.header import read_headers
from dicomgeom.pixels import read_image
from dicomgeom.plane import ImagePlane
from dicomgeom.siemens_mosaic import csa_header
from tests.helpers.dicom_files import axial
from tests.helpers.real import real_exam
from tests.helpers.special_files import csa_bytes, enhanced_dataset, grid_dataset, item, mosaic_dataset, save
from tests.helpers.strategies import image_planes

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
UIH_SERIES = Path("In") / "DTI_132225" / "dti_tra_dir16_PA_rot_SaveBySlc__134057"


def refusal(dataset: Dataset) -> tuple[str, str]:
    with pytest.raises(UnusableFile) as caught:
        read_headers(dataset)
    return caught.value.reason, caught.value.detail


def stack_of(first: ImagePlane, count: int, step_mm: float) -> list[ImagePlane]:
    return [first.moved(np.eye(3), n * step_mm * first.normal) for n in range(count)]


@given(image_planes(), st.integers(2, 40), st.floats(0.5, 12), st.booleans())
def test_tiles_of_a_mosaic_lie_where_its_slices_were_measured(
    first: ImagePlane, count: int, step_mm: float, upward: bool
) -> None:
    small = ImagePlane(
        first.origin_mm, first.right, first.down, first.column_spacing_mm, first.row_spacing_mm, 7, 5
    )
    headers = read_headers(mosaic_dataset(small, count, step_mm, upward=upward))
    assert [header.frame for header in headers] == list(range(count))
    expected = stack_of(small, count, step_mm if upward else -step_mm)
    for header, plane in zip(headers, expected, strict=True):
        np.testing.assert_allclose(header.plane.patient_from_pixel, plane.patient_from_pixel, atol=1e-5)
        assert (header.plane.columns, header.plane.rows) == (7, 5)


@pytest.mark.parametrize("tiles", [2, 20, 35])
def test_a_tile_of_a_mosaic_is_read_as_an_image_of_its_own(tmp_path: Path, tiles: int) -> None:
    save(tmp_path / "a", mosaic_dataset(axial(), tiles, 5.0))
    for tile in (0, 1, tiles - 1):
        image = read_image(str(tmp_path), "a", tile)
        assert image.shape == (16, 24)
        assert (image == 100 * (tile + 1)).all()
    with pytest.raises(UnusableFile, match="no-such-frame"):
        read_image(str(tmp_path), "a", tiles)


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"csa": False}, "missing or damaged"),
        ({"SpacingBetweenSlices": None}, "Spacing Between Slices"),
        ({"Columns": 73}, "do not fit"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "slice normal"),
    ],
)
def test_a_mosaic_that_does_not_prove_where_its_tiles_lie_is_refused(
    changes: dict[str, Any], detail: str
) -> None:
    csa = bool(changes.pop("csa", True))
    dataset = mosaic_dataset(axial(), 9, 5.0, csa=csa)
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    reason, told = refusal(dataset)
    assert reason == "siemens-mosaic"
    assert detail in told


def test_a_negative_spacing_between_slices_does_not_turn_a_mosaic_round() -> None:
    right_way = read_headers(mosaic_dataset(axial(), 4, 5.0))
    dataset = mosaic_dataset(axial(), 4, 5.0)
    dataset.SpacingBetweenSlices = "-5"
    for header, expected in zip(read_headers(dataset), right_way, strict=True):
        np.testing.assert_allclose(header.plane.origin_mm, expected.plane.origin_mm)


@given(st.binary(max_size=400))
def test_bytes_that_are_no_csa_header_are_none(raw: bytes) -> None:
    sound = csa_bytes({"NumberOfImagesInMosaic": ["9"], "SliceNormalVector": ["0", "0", "1"]})
    for broken in (raw, b"SV10\4\3\2\1" + raw, sound[:90] + raw):
        found = csa_header(broken)
        assert all(isinstance(text, str) for texts in found.values() for text in texts)


@pytest.mark.filterwarnings("ignore:The DICOM readers are highly experimental")
def test_a_csa_header_is_read_as_nibabel_reads_it() -> None:
    from nibabel.nicom import csareader  # warns when it is imported

    newer = csa_bytes({"NumberOfImagesInMosaic": ["9"], "SliceNormalVector": ["0.5", "0", "-1.25"]})
    assert csa_header(newer) == {"NumberOfImagesInMosaic": ["9"], "SliceNormalVector": ["0.5", "0", "-1.25"]}
    path = next(path for path in sorted((real_exam("qa-transfer-syntaxes") / "In").iterdir()))
    raw = pydicom.dcmread(path, stop_before_pixels=True)[0x00291010].value
    ours, theirs = csa_header(raw), csareader.read(raw)["tags"]
    assert ours.keys() == theirs.keys()
    for name in ("NumberOfImagesInMosaic", "SliceNormalVector", "MosaicRefAcqTimes"):
        np.testing.assert_allclose([float(text) for text in ours[name]], theirs[name]["items"])


@pytest.mark.real
@pytest.mark.parametrize("number", range(1, 10))
def test_tiles_of_a_real_mosaic_equal_the_reference_affine_and_its_pixels(number: int) -> None:
    folder = real_exam("qa-transfer-syntaxes")
    reference = nibabel.load(folder / "Ref" / f"{number}.nii")
    affine = LPS_FROM_RAS @ reference.affine
    voxels = np.asarray(reference.dataobj)
    path = folder / "In" / f"{number}.dcm"
    headers = read_headers(pydicom.dcmread(path, stop_before_pixels=True))
    assert len(headers) == reference.shape[2] == 35
    for tile, header in enumerate(headers):
        # The reference counts rows upward.
        corners = [
            affine @ [column, 63 - row, tile, 1] for column, row in ((0, 0), (63, 0), (0, 63), (63, 63))
        ]
        ours = header.plane.to_patient([(0, 0), (63, 0), (0, 63), (63, 63)])
        assert np.abs(ours - np.array(corners)[:, :3]).max() < 1e-3
    for tile in (0, 20, 34):
        image = read_image(str(path.parent), path.name, tile)
        np.testing.assert_array_equal(image, voxels[:, ::-1, tile].T)


def test_tiles_of_a_grid_lie_where_its_private_items_say(tmp_path: Path) -> None:
    planes = stack_of(axial(), 7, 4.0)
    dataset = grid_dataset(planes)
    headers = read_headers(dataset)
    assert len(headers) == 7
    for header, plane in zip(headers, planes, strict=True):
        np.testing.assert_allclose(header.plane.patient_from_pixel, plane.patient_from_pixel, atol=1e-6)
    save(tmp_path / "a", dataset)
    assert (read_image(str(tmp_path), "a", 6) == 700).all()


def test_a_grid_in_an_implicit_file_is_read_although_its_private_types_are_unknown(tmp_path: Path) -> None:
    planes = stack_of(axial(), 7, 4.0)
    dataset = grid_dataset(planes)
    pydicom.Dataset(dataset).save_as(tmp_path / "implicit", implicit_vr=True, little_endian=True)
    (read,) = [pydicom.dcmread(tmp_path / "implicit", force=True)]
    origins = [header.plane.origin_mm for header in read_headers(read)]
    np.testing.assert_allclose(origins, [plane.origin_mm for plane in planes], atol=1e-6)


def test_a_grid_that_does_not_prove_where_its_tiles_lie_is_refused() -> None:
    planes = stack_of(axial(), 7, 4.0)
    bare = grid_dataset(planes)
    del bare[0x00651051]
    uncounted = grid_dataset(planes)
    uncounted[0x00651050].value = "17"
    placeless = grid_dataset(planes)
    placeless[0x00651051].value[3] = item(SliceLocation="4")
    shifted = grid_dataset(planes)
    shifted[0x00651051].value[3][0x00651015].value = ["0", "0", "99"]
    for dataset, detail in (
        (bare, "missing"),
        (uncounted, "17 tiles stated, positions for 7"),
        (placeless, "position of a tile"),
        (shifted, "centre of a tile"),
    ):
        reason, told = refusal(dataset)
        assert reason == "uih-grid"
        assert detail in told


def test_a_position_of_the_whole_grid_places_no_tile() -> None:
    planes = stack_of(axial(), 7, 4.0)
    dataset = grid_dataset(planes, ImagePositionPatient=["1", "2", "3"])
    assert [header.plane.origin_mm[2] for header in read_headers(dataset)] == [4.0 * n for n in range(7)]
    del dataset[0x00651051]
    assert refusal(dataset)[0] == "uih-grid"


def test_mosaics_inside_an_enhanced_image_are_refused() -> None:
    dataset = enhanced_dataset([axial(0.0), axial(5.0)], ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    assert refusal(dataset)[0] == "siemens-mosaic"


@pytest.mark.real
def test_tiles_of_a_real_grid_lie_in_the_series_own_slice_locations() -> None:
    folder = real_exam("qa-uih-grid") / UIH_SERIES
    for path in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        headers = read_headers(dataset)
        assert len(headers) == 20
        assert {(header.plane.columns, header.plane.rows) for header in headers} == {(64, 64)}
        along = [float(header.plane.origin_mm @ header.plane.normal) for header in headers]
        stated = [float(tile.SliceLocation) for tile in dataset[0x00651051].value]
        np.testing.assert_allclose(along, stated, atol=1e-3)
        np.testing.assert_allclose(np.diff(along), float(dataset.SpacingBetweenSlices), atol=1e-3)
        moments = {header.acquired_at for header in headers}
        assert len(moments) == 20  # each tile has its own time
