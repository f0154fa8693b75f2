from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from pretext_targets.predicted import PredictedStack
from pretext_targets.predicted_nifti import even_affine, write_nifti

NAMES = ("background", "LV cavity", "RV cavity")
LPS_FROM_PIXEL = np.array(
    [[1.2, 0.4, 0.0, -50.0], [-0.6, 1.9, 0.0, 20.0], [0.3, -0.7, 0.0, 110.0], [0.0, 0.0, 0.0, 1.0]]
)


def matrices(count: int, jitter_mm: float = 0.0) -> NDArray[np.float64]:
    """Slices 9 mm apart with square axes and pixels of 1.375 x 2.065 mm."""
    right = LPS_FROM_PIXEL[:3, 0]
    down = LPS_FROM_PIXEL[:3, 1] - right * (right @ LPS_FROM_PIXEL[:3, 1]) / (right @ right)
    normal = np.cross(right, down)
    normal /= np.linalg.norm(normal)
    stacked = np.tile(LPS_FROM_PIXEL, (count, 1, 1))
    stacked[:, :3, 1], stacked[:, :3, 2] = down, normal
    stacked[:, :3, 3] += 9.0 * np.arange(count)[:, None] * normal
    stacked[1:2, :3, 3] += jitter_mm * right
    return stacked


def stack(planes: NDArray[np.float64], slices: tuple[int, ...], phases: int = 2) -> PredictedStack:
    classes = np.random.default_rng(1).integers(0, 3, (phases, len(slices), 7, 9)).astype(np.uint8)
    return PredictedStack(
        patient_key=bytes(16),
        stack_key=bytes(range(16)),
        slices=slices,
        phases=tuple(range(phases)),
        classes=classes,
        known=np.ones((phases, len(slices)), dtype=bool),
        patient_from_pixel=planes,
        spacing_mm=1.5,
        segment_names=NAMES,
    )


def test_every_voxel_lies_where_its_plane_says(tmp_path: Path) -> None:
    predicted = stack(matrices(4), (0, 1, 2, 3))
    (path,) = write_nifti(tmp_path, predicted)
    read = SimpleITK.ReadImage(str(path))
    assert read.GetSize() == (9, 7, 4, 2)
    values = SimpleITK.GetArrayFromImage(read)
    assert np.array_equal(values, predicted.classes)
    for column, row, number in ((0, 0, 0), (8, 0, 1), (3, 6, 3)):
        point = read.TransformIndexToPhysicalPoint((column, row, number, 1))[:3]
        expected = predicted.patient_from_pixel[number] @ [column, row, 0.0, 1.0]
        assert point == pytest.approx(expected[:3], abs=1e-3)
    assert path.name == f"{bytes(range(16)).hex()}.nii.gz"


@pytest.mark.parametrize(
    ("planes", "slices"), [(matrices(3, jitter_mm=0.5), (0, 1, 2)), (matrices(3), (0, 1, 4))]
)
def test_slices_that_no_affine_can_tell_get_a_file_each(
    planes: NDArray[np.float64], slices: tuple[int, ...], tmp_path: Path
) -> None:
    paths = write_nifti(tmp_path, stack(planes, slices))
    assert [path.name[-10:-7] for path in paths] == [f"{number:03d}" for number in slices]
    for place, path in enumerate(paths):
        read = SimpleITK.ReadImage(str(path))
        point = read.TransformIndexToPhysicalPoint((4, 5, 0, 0))[:3]
        assert point == pytest.approx((planes[place] @ [4.0, 5.0, 0.0, 1.0])[:3], abs=1e-3)


def test_a_stack_without_a_place_claims_none(tmp_path: Path) -> None:
    (path,) = write_nifti(tmp_path, stack(np.full((3, 4, 4), np.nan), (0, 1, 2), phases=1))
    read = SimpleITK.ReadImage(str(path))
    assert read.GetSize() == (9, 7, 3)
    assert read.GetSpacing() == pytest.approx((1.5, 1.5, 1.0))
    assert {read.GetMetaData("qform_code"), read.GetMetaData("sform_code")} == {"0"}


def lacking(predicted: PredictedStack, *places: tuple[int, int]) -> PredictedStack:
    """The stack without images at (phase, slice)."""
    known = predicted.known.copy()
    known[tuple(np.transpose(places))] = False
    return replace(predicted, known=known, classes=np.where(known[..., None, None], predicted.classes, 0))


def test_an_image_that_was_not_seen_is_in_no_file(tmp_path: Path) -> None:
    predicted = lacking(stack(matrices(4), (0, 1, 2, 3), phases=4), (1, 3), (2, 1), (3, 0))
    found = {path.name[33:]: SimpleITK.ReadImage(str(path)) for path in write_nifti(tmp_path, predicted)}
    gap = [f"phase002-00{number}.nii.gz" for number in (0, 2, 3)]
    assert list(found) == ["phase000.nii.gz", "phase001.nii.gz", *gap, "phase003.nii.gz"]
    for name, phase, slices in (
        ("phase000", 0, [0, 1, 2, 3]),
        ("phase001", 1, [0, 1, 2]),
        ("phase002-002", 2, [2]),
        ("phase003", 3, [1, 2, 3]),
    ):
        read = found[f"{name}.nii.gz"]
        assert np.array_equal(SimpleITK.GetArrayFromImage(read), predicted.classes[phase, slices])
        expected = predicted.patient_from_pixel[slices[0]] @ [4.0, 5.0, 0.0, 1.0]
        assert read.TransformIndexToPhysicalPoint((4, 5, 0)) == pytest.approx(expected[:3], abs=1e-3)


def test_a_slice_without_any_image_is_left_out_of_the_file(tmp_path: Path) -> None:
    predicted = lacking(stack(matrices(4), (0, 1, 2, 3)), (0, 0), (1, 0))
    (path,) = write_nifti(tmp_path, predicted)
    read = SimpleITK.ReadImage(str(path))
    assert np.array_equal(SimpleITK.GetArrayFromImage(read), predicted.classes[:, 1:])
    point = read.TransformIndexToPhysicalPoint((4, 5, 0, 0))[:3]
    assert point == pytest.approx((matrices(4)[1] @ [4.0, 5.0, 0.0, 1.0])[:3], abs=1e-3)


@pytest.mark.parametrize("lost", [0, 1])
def test_without_a_place_slices_that_begin_late_or_leave_a_gap_get_a_file_each(
    lost: int, tmp_path: Path
) -> None:
    predicted = lacking(stack(np.full((3, 4, 4), np.nan), (0, 1, 2), phases=1), (0, lost))
    names = [path.name[33:] for path in write_nifti(tmp_path, predicted)]
    assert names == [f"{number:03d}.nii.gz" for number in (0, 1, 2) if number != lost]


def test_tilted_slices_have_no_common_affine() -> None:
    planes = matrices(3)
    angle = 0.01
    planes[2, :3, 0] = planes[2, :3, 0] * np.cos(angle) + 1.4 * planes[2, :3, 2] * np.sin(angle)
    assert even_affine(planes) is None
    assert even_affine(matrices(3)) is not None
