"""Short-axis sets for training: labels and images belong together, looks do what they say."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from phantoms.looks import HEART, Look, draw_look
from phantoms.short_axis_set import (
    ACDC_CODE,
    LabelledStack,
    Variety,
    draw_planes,
    draw_scene,
    labelled_stack,
    write_short_axis_sets,
)
from phantoms.tissues import Tissue

SIDE = 48
EVERYTHING = Variety(hearts=True, organs=True, contours=True)
PLAIN = Look(surroundings=False, contrast="fixed", texture=False, shading=False, reception=False)
LV, MUSCLE, RV = (ACDC_CODE[name] for name in ("LV cavity", "LV myocardium", "RV cavity"))


@pytest.fixture(scope="module")
def stack() -> LabelledStack:
    return labelled_stack(3, 1, [PLAIN, Look(), Look()], EVERYTHING, SIDE)


def test_the_same_numbers_give_the_same_stack(stack: LabelledStack) -> None:
    again = labelled_stack(3, 1, [PLAIN, Look(), Look()], EVERYTHING, SIDE)
    np.testing.assert_array_equal(again.images, stack.images)
    np.testing.assert_array_equal(again.labels, stack.labels)


def test_looks_change_the_images_and_neither_heart_nor_labels(stack: LabelledStack) -> None:
    alone = labelled_stack(3, 1, [Look(contrast="published")], EVERYTHING, SIDE)
    np.testing.assert_array_equal(alone.labels, stack.labels)
    assert np.abs(stack.images[1] - stack.images[2]).mean() > 1


def test_images_and_labels_lie_on_each_other(stack: LabelledStack) -> None:
    plain, codes = stack.images[0], stack.labels
    blood, muscle, air = (np.median(plain[codes == code]) for code in (LV, MUSCLE, 0))
    assert blood > 1.8 * muscle > 1.8 * air
    assert (plain[codes == LV] > (blood + muscle) / 2).mean() > 0.7


def test_ventricles_lie_alone_on_a_plain_background(stack: LabelledStack) -> None:
    outside = stack.images[0][0, 0][stack.labels[0, 0] == 0]
    assert np.mean(np.abs(outside - np.median(outside)) < 10) > 0.9


def test_the_cavity_is_as_large_as_the_patients_and_empties() -> None:
    for index in range(2):
        rng = np.random.default_rng([5, index])
        scene = draw_scene(rng, EVERYTHING)
        planes, _ = draw_planes(scene, 2 * SIDE, rng)
        cell_mm3 = planes[0].column_spacing_mm * planes[0].row_spacing_mm * 4
        cell_mm3 *= abs(float(planes[0].distance_mm(planes[-1].origin_mm))) / (len(planes) - 1)
        labels = labelled_stack(5, index, [PLAIN], EVERYTHING, SIDE).labels
        filled, emptied = ((labels[moment] == LV).sum() * cell_mm3 for moment in (0, 1))
        assert filled == pytest.approx(scene.patient.lv_end_diastole_mm3, rel=0.2)
        assert emptied < filled


def test_the_right_ventricle_lies_left_of_the_left_one_as_in_images_of_patients() -> None:
    for index in range(3):
        labels = labelled_stack(6, index, [PLAIN], EVERYTHING, SIDE).labels[0]
        middle = labels[len(labels) // 3]
        assert np.nonzero(middle == RV)[1].mean() < np.nonzero(middle == LV)[1].mean()


def test_switched_off_ingredients_are_absent() -> None:
    drawn = draw_look(np.random.default_rng(1), PLAIN)
    assert drawn.noise == 0
    assert not drawn.mottle.any()
    assert not drawn.off_resonance.any()
    assert len({float(drawn.level[t]) for t in Tissue if t not in HEART}) == 1


def test_fixed_contrast_is_the_same_for_all_and_wide_contrast_spreads_more_than_published() -> None:
    def ratios(kind: Look) -> np.ndarray:
        levels = [draw_look(np.random.default_rng(i), kind).level for i in range(60)]
        return np.array([level[Tissue.LV_MYOCARDIUM] / level[Tissue.LV_BLOOD] for level in levels])

    assert ratios(Look(contrast="fixed")).std() == 0
    assert ratios(Look()).std() > 1.5 * ratios(Look(contrast="published")).std()


def test_blood_is_brighter_than_muscle_in_every_wide_contrast() -> None:
    for seed in range(60):
        level = draw_look(np.random.default_rng(seed), Look()).level
        assert level[Tissue.LV_BLOOD] > 1.3 * level[Tissue.LV_MYOCARDIUM]
        assert level[Tissue.LUNG] < level[Tissue.LV_BLOOD] / 2


def test_a_set_has_acdcs_layout_and_is_finished_when_begun(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    write_short_axis_sets(folders, [PLAIN, Look()], stacks=1, redraws=2, side=SIDE)
    names = sorted(path.name for path in folders[1].iterdir())
    assert names == [
        f"patient0000{redraw}_frame{frame}{end}.nii"
        for redraw in range(2)
        for frame in ("01", "12")
        for end in ("", "_gt")
    ]
    first, last = folders[0] / names[0], folders[1] / names[-1]
    image, labels = nib.load(first).get_fdata(), nib.load(last).get_fdata()
    assert image.shape == labels.shape
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    written = first.read_bytes()
    first.unlink()
    last.unlink()
    write_short_axis_sets(folders, [PLAIN, Look()], stacks=1, redraws=2, side=SIDE)
    assert first.read_bytes() == written
    assert last.exists()
