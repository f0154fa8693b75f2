"""How the transfer to real images is scored."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks.realism_acdc import dice, mean_with_interval, patients_in, resized, volumes


def test_dice_is_twice_the_overlap_over_the_sizes() -> None:
    found, true = np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8)
    found[0, :2], true[0, 1:3] = 3, 3
    assert dice(found, true, 3) == pytest.approx(2 * 4 / (8 + 8))
    assert dice(found, true, 1) == 1.0


def test_the_interval_is_that_of_drawing_patients_again() -> None:
    columns = np.random.default_rng(3).normal(0.7, 0.1, (6, 400))
    mean, low, high = mean_with_interval(list(columns))
    assert mean == pytest.approx(columns.mean())
    half = 1.96 * columns.mean(axis=0).std() / np.sqrt(400)
    assert (high - mean, mean - low) == (pytest.approx(half, rel=0.1), pytest.approx(half, rel=0.1))


def test_resized_images_cover_the_same_field_of_view() -> None:
    ramp = np.broadcast_to(np.arange(200, dtype=np.float32), (1, 160, 200))
    small = resized(ramp, (40, 50))
    assert small.shape == (1, 40, 50)
    np.testing.assert_allclose(small[0, 20, 3:-3], np.arange(3, 47) * 4 + 1.5, atol=0.01)


def test_patients_are_told_apart_by_number_and_read_slice_by_slice(tmp_path: Path) -> None:
    for number, moment in ((6, "01"), (6, "12"), (7, "01"), (7, "11")):
        for end in ("", "_gt"):
            volume = np.zeros((5, 6, 2), np.int16)
            volume[4, 0, 1] = number
            nib.save(
                nib.Nifti1Image(volume, np.eye(4)),
                tmp_path / f"patient{number:03d}_frame{moment}{end}.nii.gz",
            )
    assert patients_in(tmp_path, (1,)) == [6]
    assert patients_in(tmp_path, (2, 3, 4)) == [7]
    filled, emptied = volumes(tmp_path, [7])
    assert (filled.moment, emptied.moment, filled.patient) == ("ED", "ES", 7)
    assert filled.images.shape == (2, 6, 5)
    assert filled.images[1, 0, 4] == filled.labels[1, 0, 4] == 7
