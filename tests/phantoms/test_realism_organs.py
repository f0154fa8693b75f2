"""Regions under the diaphragm: inside their bounds, and no two patients alike."""

from __future__ import annotations

import numpy as np

from phantoms.organs import MOST_REGIONS, draw_organs
from phantoms.smooth_random import Texture

POINTS = np.random.default_rng(0).uniform(-120, 120, (3, 20_000)).astype(np.float32)
BOUNDS = np.linalg.norm(POINTS, axis=0).astype(np.float32) - 80


def test_organs_never_leave_their_bounds_and_have_a_rim() -> None:
    rng = np.random.default_rng(4)
    field = Texture(rng, 34.0)
    organs = [organ for _ in range(12) for organ in draw_organs(rng)]
    assert len(organs) > 8
    for organ in organs:
        rim, inside = organ.paints(POINTS, BOUNDS, field)
        assert (BOUNDS[rim.distance_mm < 0] < 0).all()
        assert (rim.distance_mm < 0).sum() > (inside.distance_mm < 0).sum()
        np.testing.assert_allclose(inside.distance_mm - rim.distance_mm, organ.rim_mm, atol=1e-3)


def test_patients_differ_in_how_many_and_which() -> None:
    drawn = [draw_organs(np.random.default_rng(seed)) for seed in range(60)]
    assert {len(organs) for organs in drawn} == set(range(MOST_REGIONS + 1))
    assert len({organ.inside for organs in drawn for organ in organs}) > 4
