from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phantoms.heart_beat import FillingCurve, bisected, ventricle_of_volume
from phantoms.heart_shapes import LeftVentricle, Polar


def test_filling_is_full_at_the_start_and_empty_at_end_systole() -> None:
    curve = FillingCurve(0.37)
    moments = np.linspace(0, 1, 401)
    filling = np.array([curve.at(moment) for moment in moments])
    assert curve.at(0.0) == curve.at(1.0) == 1.0
    assert abs(moments[filling.argmin()] - 0.37) < 0.005
    assert (np.diff(filling[moments <= 0.37]) <= 0).all()
    assert (np.diff(filling[moments >= 0.37][:-1]) >= 0).all()


def test_bisected_finds_the_root() -> None:
    assert bisected(lambda x: x**3, 8.0, 0.0, 10.0) == pytest.approx(2.0, abs=1e-6)


OUTLINE = LeftVentricle(
    base_mm=0, apex_mm=1, radius_mm=1, wall_mm=0, oval=0.05, oval_angle_rad=0.4, bulge=0.12,
    bulge_angle_rad=1.1, uneven=0.3, uneven_angle_rad=2.9,
)  # fmt: skip


def test_the_ventricle_has_the_volumes_asked_for() -> None:
    lv = ventricle_of_volume(OUTLINE, base_mm=-45, outer_apex_mm=58, cavity_mm3=140e3, muscle_mm3=110e3)
    inside, outside = lv.volumes_mm3
    assert inside == pytest.approx(140e3, rel=1e-6)
    assert outside - inside == pytest.approx(110e3, rel=1e-5)


@pytest.mark.parametrize("outline", [OUTLINE, replace(OUTLINE, apical_share=0.3, twist_rad=0.25)])
def test_the_formula_of_the_volume_agrees_with_counting_points(outline: LeftVentricle) -> None:
    lv = ventricle_of_volume(outline, base_mm=-45, outer_apex_mm=58, cavity_mm3=140e3, muscle_mm3=110e3)
    points = np.random.default_rng(0).uniform(-65, 65, (3, 400_000)).astype(np.float32)
    polar = Polar(points)
    endo, outside = lv.distances_mm(polar)
    below = lv.above_base_mm(polar) < 0
    counted = [float(((d < 0) & below).mean()) * 130**3 for d in (endo, outside)]
    np.testing.assert_allclose(counted, lv.volumes_mm3, rtol=0.015)


def test_walls_thicken_when_the_cavity_empties_and_the_muscle_stays() -> None:
    full = ventricle_of_volume(OUTLINE, base_mm=-45, outer_apex_mm=58, cavity_mm3=140e3, muscle_mm3=1e5)
    empty = ventricle_of_volume(OUTLINE, base_mm=-32, outer_apex_mm=58, cavity_mm3=55e3, muscle_mm3=1e5)
    assert empty.wall_mm > 1.25 * full.wall_mm


def test_the_whole_wall_wrings_and_keeps_its_volumes() -> None:
    plain = ventricle_of_volume(OUTLINE, base_mm=-45, outer_apex_mm=58, cavity_mm3=140e3, muscle_mm3=110e3)
    twist = np.deg2rad(12)
    wrung = replace(plain, twist_rad=float(twist))
    assert wrung.volumes_mm3 == plain.volumes_mm3
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    for share, turn in ((0.0, -0.3 * twist), (0.9, 0.87 * twist)):
        height = plain.base_mm + share * (plain.apex_mm - plain.base_mm)
        ring = np.stack([30 * np.cos(angle), 30 * np.sin(angle), np.full_like(angle, height)]).astype(
            np.float32
        )
        still, moved = (lv.distances_mm(Polar(ring))[1] for lv in (plain, wrung))
        shift = turn / (2 * np.pi) * len(angle)
        expected = np.interp(
            (np.arange(len(angle)) - shift) % len(angle), np.arange(len(angle) + 1), [*still, still[0]]
        )
        np.testing.assert_allclose(moved, expected, atol=0.02)
        assert wrung.turned_rad(share) == pytest.approx(turn)
        assert np.abs(moved - still).max() > 0.1
