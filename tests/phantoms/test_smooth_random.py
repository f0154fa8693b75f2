from __future__ import annotations

import numpy as np

from phantoms.smooth_random import Texture, Warp


def test_a_warp_is_undone_to_a_micrometre() -> None:
    rng = np.random.default_rng(0)
    warp, points = Warp(rng, 3.0), rng.uniform(-80, 80, (3, 400))
    there = warp.apply(warp.undo(points).astype(np.float32))
    np.testing.assert_allclose(there, points, atol=1e-4)


def test_a_warp_never_folds_space() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        warp = Warp(rng, 40.0)  # far more than any patient gets
        assert (warp.volume_ratio(rng.uniform(-200, 200, (3, 2000))) > 0.05).all()


def test_the_volume_ratio_is_that_of_a_small_cube() -> None:
    rng = np.random.default_rng(2)
    warp, centre, step = Warp(rng, 3.0), rng.uniform(-60, 60, (3, 50)), 1e-3
    sides = []
    for axis in range(3):
        offset = np.zeros((3, 1))
        offset[axis] = step
        # `undo` works in double precision, so the slope of the inverse is measured.
        sides.append((warp.undo(centre + offset, 1e-13) - warp.undo(centre - offset, 1e-13)) / (2 * step))
    inverse = np.linalg.det(np.stack(sides, axis=-1).transpose(1, 0, 2))
    np.testing.assert_allclose(warp.volume_ratio(warp.undo(centre, 1e-13)) * inverse, 1.0, rtol=1e-4)


def test_a_texture_is_standardised_and_smooth() -> None:
    texture = Texture(np.random.default_rng(3), grain_mm=10.0)
    points = np.random.default_rng(4).uniform(-300, 300, (3, 40000)).astype(np.float32)
    values = texture.at(points)
    # Reading between cells averages neighbours, so the spread is a little below 1.
    assert abs(values.mean()) < 0.05
    assert 0.75 < values.std() < 1.05
    near = texture.at(points + np.float32(0.5))
    assert np.abs(near - values).mean() < 0.3
