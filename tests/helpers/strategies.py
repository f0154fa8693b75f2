"""Random planes and motions for property tests: oblique, anisotropic, non-square."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dicomgeom.plane import ImagePlane


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """Draw a number of nine decimals: SimpleITK makes NaN of denormal numbers, which no scanner writes."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False).map(lambda value: round(value, 9))


@st.composite
def rotations(draw: st.DrawFn) -> NDArray[np.float64]:
    """Draw a proper rotation, shape (3, 3)."""
    angles = draw(st.tuples(numbers(-180, 180), numbers(-180, 180), numbers(-180, 180)))
    return np.asarray(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())


@st.composite
def points_mm(draw: st.DrawFn, reach_mm: float = 200) -> NDArray[np.float64]:
    """Draw a point in the patient, shape (3,)."""
    return np.array(draw(st.tuples(*[numbers(-reach_mm, reach_mm)] * 3)))


@st.composite
def image_planes(draw: st.DrawFn, frame_of_reference: str = "1.2.3") -> ImagePlane:
    """Draw an oblique plane with non-square pixels and a non-square matrix."""
    axes = draw(rotations())
    return ImagePlane(
        origin_mm=draw(points_mm()),
        right=axes[0],
        down=axes[1],
        column_spacing_mm=draw(numbers(0.3, 3)),
        row_spacing_mm=draw(numbers(0.3, 3)),
        columns=draw(st.integers(20, 400)),
        rows=draw(st.integers(20, 400)),
        frame_of_reference=frame_of_reference,
    )


@st.composite
def crossing_planes(draw: st.DrawFn) -> tuple[ImagePlane, ImagePlane]:
    """Draw two planes whose images overlap: a point of one is put on a point of the other."""
    plane, other = draw(image_planes()), draw(image_planes())
    share = st.tuples(numbers(0.1, 0.9), numbers(0.1, 0.9))
    here = plane.to_patient(np.array(draw(share)) * [plane.columns - 1, plane.rows - 1])
    there = other.to_patient(np.array(draw(share)) * [other.columns - 1, other.rows - 1])
    return plane, other.moved(np.eye(3), here - there)
