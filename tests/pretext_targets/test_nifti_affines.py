"""Which way round a NIfTI file counts another's voxels."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from pretext_targets.nifti_affines import flips_between, is_lost

SHAPE = (30, 24, 7)


def oblique() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0] @ np.diag([1.4, 1.7, 8.0])
    affine[:3, 3] = -40, 12, 71
    return affine


def test_a_file_that_nibabel_turned_is_told_by_its_flips() -> None:
    image = nibabel.Nifti1Image(np.zeros(SHAPE), np.diag([-1.4, -1.7, 8.0, 1.0]))
    turned = nibabel.as_closest_canonical(image)
    assert flips_between(image.affine, turned.affine, SHAPE) == (True, True, False)
    assert flips_between(turned.affine, image.affine, SHAPE) == (True, True, False)


@pytest.mark.parametrize(("shift", "same"), [(0.4, True), (0.6, False), (1.0, False)])
@pytest.mark.parametrize("axis", range(3))
def test_voxels_are_the_same_up_to_half_of_one(axis: int, shift: float, same: bool) -> None:
    moved = oblique()
    moved[:3, 3] += shift * moved[:3, axis]
    assert flips_between(oblique(), moved, SHAPE) == ((False,) * 3 if same else None)


def test_the_only_slice_has_no_other_way_round() -> None:
    back = oblique()
    back[:3, 2] *= -1
    assert flips_between(oblique(), back, (30, 24, 1)) == (False, False, False)
    assert flips_between(oblique(), back, SHAPE) is None


def test_lost_affines_compare_with_anything() -> None:
    flat, of_simpleitk = np.diag([1.0, 1.0, 0.0, 1.0]), np.diag([-1.0, -1.0, 1.0, 1.0])
    for lost in (np.eye(4), of_simpleitk, flat, np.full((4, 4), np.nan)):
        assert is_lost(lost)
        assert flips_between(oblique(), lost, SHAPE) == flips_between(lost, oblique(), SHAPE) == (False,) * 3
    assert not is_lost(oblique())
    assert flips_between(np.eye(4), of_simpleitk, SHAPE) == (False,) * 3


def test_voxels_of_one_mm_elsewhere_than_at_the_origin_have_a_place() -> None:
    moved = np.eye(4)
    moved[:3, 3] = 0, -3, 0
    assert not is_lost(moved)


def test_a_program_that_turned_a_file_with_a_placeholder_is_told_by_its_flips() -> None:
    image = nibabel.Nifti1Image(np.zeros(SHAPE), np.diag([-1.0, -1.0, 1.0, 1.0]))
    turned = nibabel.as_closest_canonical(image)
    assert flips_between(image.affine, turned.affine, SHAPE) == (True, True, False)
    assert flips_between(turned.affine, image.affine, SHAPE) == (True, True, False)
