from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pretext_targets.drawing import draw_heatmaps
from training.line_fit import fitted_line, line_errors

ROWS, COLUMNS = 60, 80
SIGMA_PX = 4.0


def line_through(x: float, y: float, angle: float) -> NDArray[np.float64]:
    return np.array([math.cos(angle), math.sin(angle), -x * math.cos(angle) - y * math.sin(angle)])


def heatmap_of(line: NDArray[np.float64], sigma_px: float = SIGMA_PX) -> NDArray[np.float64]:
    return np.asarray(draw_heatmaps(line[None], sigma_px, ROWS, COLUMNS)[0], dtype=np.float64)


@given(
    angle=st.floats(-math.pi, math.pi),
    x=st.floats(5, COLUMNS - 5),
    y=st.floats(5, ROWS - 5),
    sigma=st.floats(2.0, 6.0),
    height=st.floats(0.3, 1.5),
)
@settings(max_examples=100)
def test_a_line_is_found_again_in_its_heatmap(
    angle: float, x: float, y: float, sigma: float, height: float
) -> None:
    line = line_through(x, y, angle)
    found = fitted_line(height * heatmap_of(line, sigma), SIGMA_PX)
    assert found is not None
    angle_deg, offset_mm = line_errors(found, line, ROWS, COLUMNS, 1.0)
    assert angle_deg < 0.05
    # The foot point may lie beyond the corner that the line cuts off.
    assert offset_mm < 0.05


def test_a_noisy_heatmap_still_gives_its_line() -> None:
    line = np.array([0.8, 0.6, -45.0])
    rng = np.random.default_rng(0)
    heatmap = heatmap_of(line) * 0.8 + rng.normal(0, 0.06, (ROWS, COLUMNS))
    found = fitted_line(heatmap, SIGMA_PX)
    assert found is not None
    angle, offset = line_errors(found, line, ROWS, COLUMNS, 2.0)
    assert angle < 0.5
    assert offset < 0.5


@pytest.mark.parametrize("rival", ["second line", "blob"])
def test_a_fainter_rival_does_not_turn_the_line(rival: str) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    errors = []
    for _ in range(60):
        line = line_through(
            rng.uniform(20, COLUMNS - 20), rng.uniform(20, ROWS - 20), rng.uniform(0, math.pi)
        )
        if rival == "blob":
            distance = np.hypot(x - rng.uniform(0, COLUMNS), y - rng.uniform(0, ROWS))
            other = 0.8 * np.exp(-0.5 * (distance / 6.0) ** 2)
        else:
            other = 0.6 * heatmap_of(
                line_through(rng.uniform(20, 60), rng.uniform(20, 40), rng.uniform(0, 3))
            )
        found = fitted_line(np.maximum(heatmap_of(line), other), SIGMA_PX)
        assert found is not None
        errors.append(line_errors(found, line, ROWS, COLUMNS, 1.0))
    angles, offsets = np.array(errors).T
    # Least squares through all pixels has a median of 3 (blob) and 9 degrees (line).
    assert np.median(angles) < 0.5
    assert np.median(offsets) < 0.5
    assert np.mean(angles < 3.0) > 0.9


def test_a_flat_or_faint_heatmap_has_no_line() -> None:
    assert fitted_line(np.full((ROWS, COLUMNS), 0.01), SIGMA_PX) is None
    assert fitted_line(np.ones((ROWS, COLUMNS)), SIGMA_PX) is None
    assert fitted_line(np.full((ROWS, COLUMNS), np.nan), SIGMA_PX) is None


def test_angle_and_offset_are_in_degrees_and_mm_and_have_no_sign() -> None:
    upright = np.array([1.0, 0.0, -30.0])
    assert line_errors(-upright, upright, ROWS, COLUMNS, 1.5) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert line_errors(np.array([1.0, 0.0, -34.0]), upright, ROWS, COLUMNS, 1.5) == pytest.approx((0.0, 6.0))
    tilt = math.radians(10)
    # Turned about the point of the true line that is level with the middle of the image.
    turned = np.array(
        [math.cos(tilt), math.sin(tilt), -30 * math.cos(tilt) - (ROWS - 1) / 2 * math.sin(tilt)]
    )
    assert line_errors(turned, upright, ROWS, COLUMNS, 1.5) == pytest.approx((10.0, 0.0), abs=1e-9)
