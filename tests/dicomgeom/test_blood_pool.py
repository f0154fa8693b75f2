"""Bright blood that shrinks and grows, on pictures small enough to think about."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomgeom.blood_pool import filling_of, moving_most_px, otsu, smoothed

SPACING_MM = (1.5, 2.0)
"""Between columns, between rows."""


def beating(
    phases: int = 20, es: int = 7, centre_px: tuple[float, float] = (40.0, 30.0), noise: float = 3.0
) -> np.ndarray:
    """A bright disc of 25 mm that is 15 mm small at phase `es`, beside bright still fat."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:70, :90]
    distance = np.hypot((x - centre_px[0]) * SPACING_MM[0], (y - centre_px[1]) * SPACING_MM[1])
    moments = np.arange(phases)
    radius = np.interp(moments, [0, es, phases], [25, 15, 25])
    movie = 40.0 + 120.0 / (1 + np.exp((distance - radius[:, None, None]) / 1.5))
    movie[:, 60:, :] = 220
    return (movie + rng.normal(0, noise, movie.shape)).astype(np.float32)


@given(st.integers(3, 12))
def test_bright_area_is_smallest_at_end_systole_and_largest_at_end_diastole(es: int) -> None:
    filling = filling_of(beating(es=es), SPACING_MM, (40, 30))
    for curve in (filling.area_mm2, filling.component):
        assert abs(int(smoothed(curve).argmin()) - es) <= 1
        assert int(smoothed(curve).argmax()) in (0, 19)
    assert 0.3 < filling.emptied < 0.8


def test_the_ventricle_is_found_where_images_move_most_whatever_the_pixels_shape() -> None:
    column, row = moving_most_px(beating(centre_px=(50, 25)), SPACING_MM)
    assert np.hypot((column - 50) * SPACING_MM[0], (row - 25) * SPACING_MM[1]) < 25


def test_images_that_do_not_move_empty_nothing_and_break_nothing() -> None:
    filling = filling_of(np.full((8, 40, 40), 7.0, np.float32), SPACING_MM)
    assert filling.emptied == 0
    assert np.isfinite(filling.component).all()


def test_the_threshold_parts_two_clouds() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(20, 3, 900), rng.normal(80, 3, 100)])
    assert values[:900].max() < otsu(values) < values[900:].min()


def test_smoothing_goes_round_the_beat() -> None:
    peak = np.eye(8)[0]
    assert smoothed(peak)[7] == smoothed(peak)[1] == pytest.approx(0.25)
    assert smoothed(peak).sum() == pytest.approx(1)
