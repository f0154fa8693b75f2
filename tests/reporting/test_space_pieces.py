"""Rectangles cut where they cross: nothing is lost, and what is nearer is painted later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reporting.space_pieces import MOST_CUT, Piece, cut_up, painted_order

Floats = NDArray[np.float64]


def rectangle(rng: np.random.Generator) -> Floats:
    """Corners (4, 3) of an oblique rectangle near the origin."""
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    right, down = axes[0] * rng.uniform(60, 120), axes[1] * rng.uniform(60, 120)
    first = rng.normal(size=3) * 15 - (right + down) / 2
    return np.array([first, first + right, first + right + down, first + down])


def placed(piece: Piece, corners: Floats, outline: Floats | None = None) -> Floats:
    """Points of a piece in space."""
    points = piece.outline if outline is None else outline
    edges = np.array([corners[1] - corners[0], corners[3] - corners[0]])
    return np.asarray(corners[0] + points @ edges)


def area(outline: Floats) -> float:
    x, y = outline.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 6))
def test_the_pieces_of_a_rectangle_cover_it_once(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    pieces, _ = cut_up([rectangle(rng) for _ in range(count)])
    for sheet in range(count):
        assert sum(area(piece.outline) for piece in pieces if piece.sheet == sheet) == pytest.approx(1)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 6))
def test_of_two_pieces_on_one_line_of_sight_the_nearer_is_painted_later(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    sheets = [rectangle(rng) for _ in range(count)]
    pieces, tree = cut_up(sheets)
    eye = rng.normal(size=3)
    eye /= np.linalg.norm(eye)
    order = list(painted_order(tree, eye))
    assert sorted(order) == list(range(len(pieces)))
    across, up, _ = np.linalg.svd(eye[None])[2][[1, 2, 0]]
    for x, y in rng.uniform(-40, 40, size=(40, 2)):
        seen = []  # heights towards the eye of what a line of sight meets, in the order of painting
        for number in order:
            piece, corners = pieces[number], sheets[pieces[number].sheet]
            right, down = corners[1] - corners[0], corners[3] - corners[0]
            u, v, near = np.linalg.solve(
                np.stack([right, down, -eye], axis=1), x * across + y * up - corners[0]
            )
            if inside(piece.outline, np.array([u, v])):
                seen.append(near)
        assert (np.diff(seen) > -1e-6).all()


def inside(outline: Floats, point: Floats) -> bool:
    """Whether a point is well inside a convex outline."""
    edges = np.roll(outline, -1, axis=0) - outline
    offsets = point - outline
    turns = edges[:, 0] * offsets[:, 1] - edges[:, 1] * offsets[:, 0]
    return bool((turns > 1e-9).all() or (turns < -1e-9).all())


def test_no_piece_reaches_through_the_plane_of_another() -> None:
    rng = np.random.default_rng(4)
    sheets = [rectangle(rng) for _ in range(3)]
    pieces, tree = cut_up(sheets)
    assert tree is not None
    heights = [(placed(piece, sheets[piece.sheet]) - sheets[0][0]) @ tree.normal for piece in pieces]
    assert all((one > -1e-3).all() or (one < 1e-3).all() for one in heights)


def test_rectangles_in_one_plane_stay_whole_and_in_their_order() -> None:
    corners = np.array([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0]], dtype=float)
    pieces, tree = cut_up([corners, corners + np.array([2.0, 3.0, 0.0])])
    assert [piece.sheet for piece in pieces] == [0, 1]
    assert list(painted_order(tree, np.array([0.0, 0, 1]))) == [0, 1]
    assert tree is not None
    assert tree.as_lists() == [[0.0, 0.0, 1.0], [0, 1], None, None]


def test_too_many_are_painted_whole() -> None:
    rng = np.random.default_rng(0)
    pieces, tree = cut_up([rectangle(rng) for _ in range(MOST_CUT + 1)])
    assert tree is None
    assert len(pieces) == MOST_CUT + 1


def test_nothing_is_nothing() -> None:
    assert cut_up([]) == ((), None)
    assert list(painted_order(None, np.array([1.0, 0, 0]))) == []
