"""Planes and volume geometry equal highdicom's wherever highdicom accepts the images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import polars as pl
import pydicom
import pytest
from highdicom.spatial import PixelToReferenceTransformer
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.header import read_headers
from dicomgeom.index import header_row, index
from dicomgeom.plane import ImagePlane
from dicomgeom.row_planes import plane_of
from dicomgeom.sources import FoundFile
from dicomgeom.stack import build_stacks
from tests.helpers.dicom_files import mr_dataset
from tests.helpers.real import real_exam
from tests.helpers.strategies import image_planes, numbers

Affine = NDArray[np.float64]

LARGEST_DISAGREEMENT_MM = 1e-3


@given(image_planes())
def test_planes_of_random_images_equal_those_of_highdicom(plane: ImagePlane) -> None:
    dataset = mr_dataset(plane, PixelData=None)
    (header,) = read_headers(dataset)
    theirs = PixelToReferenceTransformer(
        image_position=[float(value) for value in dataset.ImagePositionPatient],
        image_orientation=[float(value) for value in dataset.ImageOrientationPatient],
        pixel_spacing=[float(value) for value in dataset.PixelSpacing],
    )
    corners = np.array([[0, 0], [plane.columns - 1, 0], [3, plane.rows - 1]])
    np.testing.assert_allclose(header.plane.to_patient(corners), theirs(corners), atol=1e-4)


def volume_of_series(datasets: list[Dataset]) -> highdicom.VolumeGeometry | None:
    """Highdicom's geometry of a series; None where it does not accept it as a volume."""
    try:
        volume = highdicom.get_volume_from_series(datasets)
    except (ValueError, RuntimeError, AttributeError, KeyError, TypeError):
        return None
    return volume.get_geometry() if hasattr(volume, "get_geometry") else volume


def largest_distance_mm(stack: list[ImagePlane], geometry: highdicom.VolumeGeometry) -> float:
    """Between the corners of our slices and those of a volume (slice, row, column), in either direction."""

    def corners(slices: range) -> Affine:
        return np.array(
            [
                (geometry.affine @ [s, row, column, 1])[:3]
                for s in slices
                for column, row in ((0, 0), (stack[0].columns - 1, 0), (0, stack[0].rows - 1))
            ]
        )

    ours = np.concatenate(
        [plane.to_patient([(0, 0), (plane.columns - 1, 0), (0, plane.rows - 1)]) for plane in stack]
    )
    count = geometry.spatial_shape[0]
    both = (corners(range(count)), corners(range(count - 1, -1, -1)))
    return float(min(np.linalg.norm(ours - theirs, axis=1).max() for theirs in both))


def planes_of_stack(catalogue: Catalogue, stack_id: str) -> list[ImagePlane]:
    images = catalogue.images.filter(pl.col("stack_id") == stack_id).unique("slice_index").sort("slice_index")
    return [plane_of(row) for row in images.iter_rows(named=True)]


@given(image_planes(), st.integers(3, 6), numbers(0.5, 12))
@settings(max_examples=25)
def test_volumes_of_random_stacks_equal_those_of_highdicom(
    first: ImagePlane, count: int, step_mm: float
) -> None:
    small = replace(first, columns=9, rows=6)
    datasets = [
        mr_dataset(small.moved(np.eye(3), n * step_mm * first.normal), PixelData=bytes(108))
        for n in range(count)
    ]
    headers = [header for dataset in datasets for header in read_headers(dataset)]
    rows = [
        header_row(FoundFile("/export", f"{n}", 1, 1), header, b"salt") for n, header in enumerate(headers)
    ]
    (stack,) = build_stacks(rows[::-1])
    geometry = volume_of_series(datasets)
    assert geometry is not None
    assert largest_distance_mm([stack.plane(n) for n in range(count)], geometry) < LARGEST_DISAGREEMENT_MM


@pytest.mark.real
@pytest.mark.parametrize(("name", "accepted"), [("knee-flothesof", 4), ("qa-canon-oblique", 1)])
def test_volumes_of_real_series_equal_those_of_highdicom(name: str, accepted: int, tmp_path: Path) -> None:
    source = real_exam(name)
    index([source], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    compared = 0
    for stack in catalogue.stacks.filter((pl.col("n_phases") == 1) & (pl.col("n_slices") > 2)).iter_rows(
        named=True
    ):
        images = catalogue.images.filter(pl.col("stack_id") == stack["stack_id"])
        datasets = [pydicom.dcmread(Path(row["root"], row["path"])) for row in images.iter_rows(named=True)]
        geometry = volume_of_series(datasets)
        if geometry is None:
            continue
        compared += 1
        planes = planes_of_stack(catalogue, stack["stack_id"])
        assert geometry.spatial_shape == (len(planes), planes[0].rows, planes[0].columns)
        assert largest_distance_mm(planes, geometry) < LARGEST_DISAGREEMENT_MM
        np.testing.assert_allclose(stack["spacing_mm"], geometry.spacing[0], atol=1e-4)
        assert stack["regular"]
    assert compared >= accepted


@pytest.mark.real
@pytest.mark.parametrize("name", ["Philips/IM_0027_fMAP.dcm", "Siemens/XA10/6_1.dcm", "Siemens/XA10/6_4.dcm"])
def test_frames_of_enhanced_files_equal_those_of_highdicom(name: str) -> None:
    path = real_exam("qa-enhanced") / "In" / name
    dataset = pydicom.dcmread(path)
    for header in read_headers(dataset):
        theirs = PixelToReferenceTransformer.for_image(dataset, frame_number=header.frame + 1)
        corners = np.array([[0, 0], [header.plane.columns - 1, 0], [3, header.plane.rows - 1]])
        np.testing.assert_allclose(
            header.plane.to_patient(corners), theirs(corners), atol=LARGEST_DISAGREEMENT_MM
        )
