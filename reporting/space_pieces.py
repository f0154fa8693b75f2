"""Rectangles in space cut where they cross, so that nearer parts can be painted over farther ones.

A binary space partition (Fuchs, Kedem and Naylor, SIGGRAPH 1980): each rectangle's plane divides
what is left into what lies before and behind it, and a piece that lies on both sides is cut.
Painted from the far side of every plane to the near one, no piece hides what should be seen,
whatever the look; the cutting is done once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOUCHING = 1e-6
"""Parts of a rectangle's size by which it may stick through a plane and still lie on one side of it."""

MOST_CUT = 10
"""Rectangles that are cut; more would fall into hundreds of pieces, and are painted whole."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a rectangle: outline (k, 2) in fractions of its two edges, from its first corner."""

    sheet: int
    outline: Floats


@dataclass(frozen=True, eq=False)
class Node:
    """A plane by its normal (3,), the pieces that lie in it, and what lies before and behind it."""

    normal: Floats
    pieces: tuple[int, ...]
    front: Node | None
    back: Node | None

    def as_lists(self) -> list[Any]:
        """As plain lists: [normal, pieces, front, back], for the page."""
        front, back = (None if one is None else one.as_lists() for one in (self.front, self.back))
        return [self.normal.round(4).tolist(), list(self.pieces), front, back]


UNIT_SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


def cut_up(corners: Sequence[Floats]) -> tuple[tuple[Piece, ...], Node | None]:
    """Cut rectangles, corners (4, 3) each, along each other's planes; no tree for more than `MOST_CUT`."""
    whole = [Piece(sheet, UNIT_SQUARE) for sheet in range(len(corners))]
    if not corners or len(corners) > MOST_CUT:
        return tuple(whole), None
    done: list[Piece] = []
    tree = _partitioned(whole, corners, done)
    return tuple(done), tree


def painted_order(tree: Node | None, towards_eye: Floats) -> Iterator[int]:
    """Numbers of the pieces from the farthest to the nearest; `towards_eye` (3,) is a direction."""
    if tree is None:
        return
    faces = float(tree.normal @ towards_eye) > 0
    yield from painted_order(tree.back if faces else tree.front, towards_eye)
    yield from tree.pieces
    yield from painted_order(tree.front if faces else tree.back, towards_eye)


def _partitioned(pieces: Sequence[Piece], corners: Sequence[Floats], done: list[Piece]) -> Node | None:
    """Divide pieces by the plane of the first; those that are placed go into `done`."""
    if not pieces:
        return None
    plane = corners[pieces[0].sheet]
    normal = np.cross(plane[1] - plane[0], plane[3] - plane[0])
    normal /= np.linalg.norm(normal)
    here, front, back = [], [], []
    for piece in pieces:
        heights = _heights(corners[piece.sheet], plane[0], normal)
        limit = TOUCHING * float(np.ptp(corners[piece.sheet], axis=0).max())
        at = heights[0] + piece.outline @ heights[1:]
        if (np.abs(at) <= limit).all():
            here.append(len(done))
            done.append(piece)
        elif (at >= -limit).all():
            front.append(piece)
        elif (at <= limit).all():
            back.append(piece)
        else:
            front.append(Piece(piece.sheet, _kept(piece.outline, at)))
            back.append(Piece(piece.sheet, _kept(piece.outline, -at)))
    return Node(normal, tuple(here), _partitioned(front, corners, done), _partitioned(back, corners, done))


def _heights(corners: Floats, origin: Floats, normal: Floats) -> Floats:
    """Height over a plane by the fractions: at the first corner, and what each edge adds."""
    edges = np.array([corners[0] - origin, corners[1] - corners[0], corners[3] - corners[0]])
    return np.asarray(edges @ normal)


def _kept(outline: Floats, at: Floats) -> Floats:
    """The part of a convex outline where `at`, told at its points, is not negative (Sutherland, Hodgman)."""
    kept = []
    for place in range(len(outline)):
        following = (place + 1) % len(outline)
        if at[place] >= 0:
            kept.append(outline[place])
        if (at[place] < 0) != (at[following] < 0):
            part = at[place] / (at[place] - at[following])
            kept.append(outline[place] + part * (outline[following] - outline[place]))
    return np.array(kept)
