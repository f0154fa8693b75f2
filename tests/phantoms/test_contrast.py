from __future__ import annotations

from dataclasses import replace

import numpy as np

from dicomgeom.plane import ImagePlane
from phantoms.contrast import balanced_signal, draw_contrast
from phantoms.reception import received, shading
from phantoms.tissues import RELAXATION, Tissue


def test_every_tissue_has_relaxation_times() -> None:
    assert set(RELAXATION) == set(Tissue)


def test_balanced_signal_depends_on_the_ratio_of_t1_to_t2() -> None:
    assert balanced_signal(RELAXATION[Tissue.LV_BLOOD], 55) > 2 * balanced_signal(
        RELAXATION[Tissue.LV_MYOCARDIUM], 55
    )


def test_blood_and_fat_are_bright_muscle_grey_lung_and_air_dark_in_every_exam() -> None:
    for seed in range(40):
        level = draw_contrast(np.random.default_rng(seed)).level
        muscle = level[Tissue.LV_MYOCARDIUM]
        assert level[Tissue.LV_BLOOD] > 1.8 * muscle
        assert level[Tissue.RV_BLOOD] > 1.8 * muscle
        assert level[Tissue.FAT] > 1.5 * muscle
        assert level[Tissue.LUNG] < 0.5 * muscle
        assert level[Tissue.AIR] == 0


def test_noise_in_air_is_rayleigh() -> None:
    contrast = replace(draw_contrast(np.random.default_rng(0)), noise=20.0)
    empty, flat = np.zeros((200, 200), np.float32), np.ones((200, 200), np.float32)
    image = received(empty, flat, contrast, np.random.default_rng(1))
    assert image.dtype == np.uint16
    assert abs(image.mean() - 20.0 * np.sqrt(np.pi / 2)) < 0.3


def test_shading_is_about_one_at_the_heart() -> None:
    heart = np.array([20.0, 5.0, -40.0])
    plane = ImagePlane(
        origin_mm=heart - [100, 80, 0],
        right=np.array([1.0, 0, 0]),
        down=np.array([0, 1.0, 0]),
        column_spacing_mm=2.0,
        row_spacing_mm=2.0,
        columns=101,
        rows=81,
    )
    field = shading(draw_contrast(np.random.default_rng(2)), plane, heart)
    assert field.shape == (81, 101)
    assert abs(field[40, 50] - 1) < 0.02
