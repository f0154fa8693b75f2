"""What the headers of NIfTI files say of place, sizes and the axis of slices; which files are left out."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from nibabel.orientations import aff2axcodes
from scipy.spatial.transform import Rotation

from dicomgeom.data_manifest import DataManifest, load_data_manifest
from dicomgeom.errors import UnusableFile
from pretext_targets.build import build
from pretext_targets.nifti import open_nifti
from pretext_targets.nifti_sets import plan_nifti
from pretext_targets.nifti_subjects import planes_of, tells_pixel_size
from pretext_targets.protocol import Protocol, load_protocol
from pretext_targets.reader import StoreReader
from pretext_targets.verify import verify_store

COLUMNS, ROWS, SLICES = 20, 26, 4
STEPS_MM = 1.4, 1.7, 9.0
AXES_OF = {"SAG": "LR", "COR": "AP", "AX": "SI"}


@pytest.fixture
def heart() -> Protocol:
    return load_protocol("cardiac-sax").with_changes(rows=ROWS, columns=COLUMNS, spacing_mm=1.5)


@pytest.fixture
def knee() -> Protocol:
    return load_protocol("knee-sag").with_changes(rows=32, columns=32, spacing_mm=1.0)


def manifest(geometry: str = "present", view: str = "SAX") -> DataManifest:
    return load_data_manifest("acdc").model_copy(update={"geometry": geometry, "views": {"*": view}})


def pixels(*shape: int, highest: int = 999) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, highest, shape).astype(np.int16)


def save(path: Path, array: np.ndarray, affine: np.ndarray | None) -> Path:
    """Without an affine both codes are 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def subject(folder: Path, number: int, array: np.ndarray, affine: np.ndarray | None) -> None:
    save(folder / f"patient{number:03d}_frame01.nii.gz", array, affine)
    save(folder / f"patient{number:03d}_frame01_gt.nii.gz", pixels(*array.shape[:3], highest=4), affine)


def oblique(seed: int) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=seed).as_matrix() @ np.diag(STEPS_MM)
    affine[:3, 3] = 30.123456, -20.98765, 55.1
    return affine


@pytest.mark.parametrize("decimals", [12, 6, 5, 4])
@pytest.mark.parametrize("seed", range(3))
def test_rounded_cosines_are_mended_and_the_store_is_whole(
    seed: int, decimals: int, heart: Protocol, tmp_path: Path
) -> None:
    affine = np.round(oblique(seed), decimals)
    subject(tmp_path / "set", 1, pixels(COLUMNS, ROWS, SLICES), affine)
    plan = plan_nifti(tmp_path / "set", heart, manifest())
    assert plan.left_out_counts == {}
    build(plan, tmp_path / "store")
    assert verify_store(tmp_path / "store") == []
    matrices = StoreReader(tmp_path / "store").column("patient_from_pixel")
    grid_px = np.array([(COLUMNS - 1) / 2, (ROWS - 1) / 2])
    for place in range(SLICES):  # the middle of the grid is that of the image
        ras = nibabel.affines.apply_affine(affine, [*grid_px, place])
        lps = matrices[place] @ [*grid_px, 0.0, 1.0]
        np.testing.assert_allclose(lps[:3], ras * [-1, -1, 1], atol=0.01)


def test_planes_are_those_of_simpleitk(heart: Protocol, tmp_path: Path) -> None:
    path = save(tmp_path / "one.nii.gz", pixels(COLUMNS, ROWS, SLICES), oblique(5))
    planes, placed, _ = planes_of(open_nifti(str(path)), heart, placed=True)
    expected = sitk.ReadImage(str(path))
    assert placed
    for place, plane in enumerate(planes):
        for corner in ((0, 0), (COLUMNS - 1, 0), (3, ROWS - 1)):
            point = expected.TransformIndexToPhysicalPoint((*corner, place))
            np.testing.assert_allclose(plane.to_patient(corner), point, atol=1e-4)


def test_axes_that_are_sheared_by_more_than_rounding_are_left_out(heart: Protocol, tmp_path: Path) -> None:
    sheared = oblique(1)
    sheared[:3, 1] += 0.01 * sheared[:3, 0]
    for number, affine in ((1, sheared), (2, oblique(1))):
        subject(tmp_path, number, pixels(COLUMNS, ROWS, SLICES), affine)
    assert plan_nifti(tmp_path, heart, manifest()).left_out_counts == {"geometry": 1}


@pytest.mark.parametrize("view", list(AXES_OF))
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("steps_mm", [(4.0, 1.0, 1.1), (1.0, 1.1, 1.2)])
def test_slices_of_a_body_view_lie_across_its_direction(
    steps_mm: tuple[float, ...], order: tuple[int, ...], view: str, knee: Protocol, tmp_path: Path
) -> None:
    tilt = Rotation.from_euler("xyz", [12, -17, 9], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = (tilt @ np.diag([-steps_mm[0], steps_mm[1], steps_mm[2]]))[:, order]
    opened = open_nifti(str(save(tmp_path / "one.nii.gz", pixels(6, 7, 8), affine)))
    protocol = knee.model_copy(update={"carrier": view})
    if aff2axcodes(affine)[2] in AXES_OF[view]:
        assert planes_of(opened, protocol, placed=True)[1]
    else:
        with pytest.raises(UnusableFile, match="slice-axis"):
            planes_of(opened, protocol, placed=True)


def test_a_sagittal_volume_that_was_turned_to_ras_is_left_out_with_a_reason(
    knee: Protocol, tmp_path: Path
) -> None:
    across = np.array([[0, 0, 4, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
    subject(tmp_path / "set", 1, pixels(40, 40, 6), across)
    subject(tmp_path / "set", 2, pixels(6, 40, 40), np.diag([4.0, 1.0, 1.0, 1.0]))
    summary = build(plan_nifti(tmp_path / "set", knee, manifest(view="SAG")), tmp_path / "store")
    assert (summary.examples, summary.left_out) == (6, {"slice-axis": 1})
    normals = StoreReader(tmp_path / "store").column("patient_from_pixel")[:, :3, 2]
    np.testing.assert_allclose(np.abs(normals), np.tile([1.0, 0.0, 0.0], (6, 1)), atol=1e-6)


@pytest.mark.parametrize("geometry", ["present", "unknown"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_slices_of_a_heart_are_told_by_their_distance_alone(
    order: tuple[int, ...], geometry: str, heart: Protocol, tmp_path: Path
) -> None:
    affine = oblique(2)
    affine[:3, :3] = affine[:3, order]
    subject(tmp_path, 1, pixels(*(np.array([COLUMNS, ROWS, SLICES])[list(order)])), affine)
    subject(tmp_path, 2, pixels(COLUMNS, ROWS, SLICES), oblique(2))
    left_out = plan_nifti(tmp_path, heart, manifest(geometry)).left_out_counts
    assert left_out == ({} if order[2] == 2 else {"slice-axis": 1})


def test_oblong_pixels_of_one_slice_and_voxels_without_a_size_are_no_sign_of_another_axis(
    heart: Protocol, tmp_path: Path
) -> None:
    for affine, slices in ((np.diag([1.0, 3.0, 1.0, 1.0]), 1), (np.eye(4), 5)):
        path = save(tmp_path / f"{slices}.nii.gz", pixels(COLUMNS, ROWS, slices), affine)
        assert len(planes_of(open_nifti(str(path)), heart, placed=True)[0]) == slices
    flat = save(tmp_path / "flat.nii.gz", pixels(COLUMNS, ROWS), np.diag([1.0, 3.0, 1.0, 1.0]))
    assert len(planes_of(open_nifti(str(flat)), heart, placed=True)[0]) == 1


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, 1), (-1, 1, -1)])
def test_voxels_of_one_mm_at_the_origin_are_neither_a_place_nor_a_size(
    signs: tuple[int, ...], heart: Protocol, tmp_path: Path
) -> None:
    subject(tmp_path / "set", 1, pixels(COLUMNS, ROWS, SLICES), np.diag([*map(float, signs), 1.0]))
    summary = build(plan_nifti(tmp_path / "set", heart, manifest()), tmp_path / "store")
    assert summary.without_pixel_size == 1
    assert np.isnan(StoreReader(tmp_path / "store").column("patient_from_pixel")).all()


def test_what_simpleitk_writes_of_an_array_tells_no_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "array.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(pixels(SLICES, ROWS, COLUMNS)), str(path))
    opened = open_nifti(str(path))
    assert not np.allclose(opened.affine, np.eye(4))
    assert not tells_pixel_size(opened)


@pytest.mark.parametrize("steps_mm", [STEPS_MM, (1.0, 1.0, 1.0)])
def test_without_codes_sizes_are_kept_unless_they_are_all_one_and_nothing_has_a_place(
    steps_mm: tuple[float, ...], heart: Protocol, tmp_path: Path
) -> None:
    image: Any = nibabel.Nifti1Image(pixels(COLUMNS, ROWS, SLICES), None)
    image.header.set_zooms(steps_mm)
    nibabel.save(image, tmp_path / "one.nii.gz")
    opened = open_nifti(str(tmp_path / "one.nii.gz"))
    assert (int(opened.header["sform_code"]), int(opened.header["qform_code"])) == (0, 0)
    planes, placed, distance_mm = planes_of(opened, heart, placed=True)
    known = steps_mm == STEPS_MM
    assert (placed, tells_pixel_size(opened)) == (False, known)
    sizes = planes[0].column_spacing_mm, planes[0].row_spacing_mm
    assert sizes == pytest.approx(STEPS_MM[:2] if known else (1.5, 1.5))
    assert distance_mm == pytest.approx(9.0 if known else np.nan, nan_ok=True)


@pytest.mark.parametrize("lost", [np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0]), None])
@pytest.mark.parametrize("of", ["image", "label map"])
def test_a_file_that_lost_its_place_passes_beside_one_that_has_its_own(
    of: str, lost: np.ndarray | None, heart: Protocol, tmp_path: Path
) -> None:
    image, drawn = (lost, oblique(1)) if of == "image" else (oblique(1), lost)
    save(tmp_path / "patient001_frame01.nii.gz", pixels(COLUMNS, ROWS, SLICES), image)
    save(tmp_path / "patient001_frame01_gt.nii.gz", pixels(COLUMNS, ROWS, SLICES, highest=4), drawn)
    plan = plan_nifti(tmp_path, heart, manifest())
    assert plan.left_out_counts == {}
    assert plan.examples["segmentation"].null_count() == 0
    assert {one.placed for one in plan.slices} == {of != "image"}


COLOURS = np.zeros((COLUMNS, ROWS, SLICES), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize("of", ["patient002_frame01", "patient002_frame01_gt"])
@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (COLOURS, "nifti-pixels"),
        (np.full((COLUMNS, ROWS, SLICES), 1 + 2j, dtype=np.complex64), "nifti-pixels"),
        (np.zeros((COLUMNS, ROWS, 0), dtype=np.int16), "nifti-axes"),
        (np.zeros((COLUMNS, ROWS, SLICES, 0), dtype=np.int16), "nifti-axes"),
        (np.zeros((COLUMNS, ROWS, 1, 1, 3), dtype=np.int16), "nifti-axes"),
    ],
)
def test_a_legal_file_of_something_else_is_left_out_and_the_rest_is_imported(
    odd: np.ndarray, reason: str, of: str, heart: Protocol, tmp_path: Path
) -> None:
    for number in (1, 2):
        subject(tmp_path / "set", number, pixels(COLUMNS, ROWS, SLICES), oblique(1))
    save(tmp_path / "set" / f"{of}.nii.gz", odd, oblique(1))
    summary = build(plan_nifti(tmp_path / "set", heart, manifest()), tmp_path / "store")
    assert (summary.valid, summary.left_out) == (SLICES, {reason: 1})
    assert verify_store(tmp_path / "store") == []


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64, np.float32, np.float64])
def test_every_real_number_is_taken(kind: type, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(pixels(COLUMNS, ROWS, SLICES).astype(kind), oblique(1), dtype=kind)
    nibabel.save(image, tmp_path / "one.nii.gz")
    assert open_nifti(str(tmp_path / "one.nii.gz")).shape == (COLUMNS, ROWS, SLICES)


def test_a_cifti_file_is_left_out_as_broken(tmp_path: Path) -> None:
    axes = nibabel.cifti2.ScalarAxis(["one"]), nibabel.cifti2.ScalarAxis(["a", "b", "c"])
    nibabel.save(nibabel.Cifti2Image(np.zeros((1, 3), np.float32), axes), tmp_path / "one.dscalar.nii")
    with pytest.raises(UnusableFile, match="nifti-broken"):
        open_nifti(str(tmp_path / "one.dscalar.nii"))
