"""Mean distance between contours, slice by slice.

Bai et al., MICCAI 2019: manual contours are drawn on slices, so contours are compared within each slice. The
contour of a structure is its outer one (its holes are filled first, so that the myocardium's contour is the
epicardium), as pixels with a neighbour outside across an edge. A slice's distance is the mean of the two
directed means, a volume's the mean over the slices that both outline, as the authors' released code has it.
Slices that only one of the two outlines have no distance: they are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from training.surface_distance import bounding_box, nearest_distances, surface_of


@dataclass(frozen=True)
class ContourDistance:
    """Of one structure in one volume.

    Attributes
    ----------
    mean
        In the unit of a pixel's side; None where no slice has both contours.
    both, only_true, only_predicted
        Slices with both contours, and with only one of them.
    """

    mean: float | None
    both: int
    only_true: int
    only_predicted: int


def contour_distance(predicted: NDArray[np.bool_], true: NDArray[np.bool_], pixel: float) -> ContourDistance:
    """Mean contour distance of two masks (slices, rows, columns) of square pixels.

    `pixel` is the side of a pixel; distances come in its unit.
    """
    in_predicted, in_true = predicted.any(axis=(1, 2)), true.any(axis=(1, 2))
    both = np.flatnonzero(in_predicted & in_true)
    distances = []
    for place in both:
        rows, columns = bounding_box((predicted[place] | true[place])[None])
        first, second = (_contour(mask[place, rows, columns], pixel) for mask in (predicted, true))
        distances.append(nearest_distances(first, second).average())
    return ContourDistance(
        float(np.mean(distances)) if distances else None,
        len(both),
        int((in_true & ~in_predicted).sum()),
        int((in_predicted & ~in_true).sum()),
    )


def _contour(mask: NDArray[np.bool_], pixel: float) -> NDArray[np.float64]:
    """Pixels (n, 3) of the outer contour of a mask (rows, columns); the first coordinate is 0."""
    contour = surface_of(binary_fill_holes(mask)[None])
    return np.argwhere(contour).astype(np.float64) * pixel
