"""Parameters -> rasters: the nine boxes and the lines' heatmaps.

One function for each raster, on the array namespace of its input: the build draws with
NumPy, training draws with torch after augmentation. Both round the parameters to float32
first and use the same operations in the same order, so that without augmentation a box mask
drawn again equals the stored one exactly and a heatmap to one code of its uint8 form.

Pixel coordinates are (column, row), integers are pixel centres.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

HEATMAP_LEVELS = 255
"""The uint8 code of a heatmap's 1.0 in a store."""


def _namespace(array: Any) -> Any:
    """The module an array comes from: torch for its tensors, else NumPy. Never imports torch."""
    return sys.modules["torch"] if type(array).__module__.startswith("torch") else np


def _as_float32(xp: Any, value: Any, like: Any) -> Any:
    if xp is np:
        return np.asarray(value, dtype=np.float32)
    return xp.as_tensor(value, dtype=xp.float32, device=like.device)


def _axis(xp: Any, size: int, like: Any) -> Any:
    """Pixel centres 0 ... size - 1 as float32, where `like` lives."""
    if xp is np:
        return np.arange(size, dtype=np.float32)
    return xp.arange(size, dtype=xp.float32, device=like.device)


def draw_boxes(box_centre: Any, box_present: Any, side_px: Any, rows: int, columns: int) -> Any:
    """Draw axis-aligned square boxes as classes.

    Parameters
    ----------
    box_centre : array or tensor, shape (..., boxes, 2)
        Centres (column, row) in pixels; those of absent boxes may be NaN.
    box_present : array or tensor of bool, shape (..., boxes)
        Absent boxes are not drawn.
    side_px : float or array, shape (...,)
        Side of the boxes in pixels.
    rows, columns : int
        Size of the raster.

    Returns
    -------
    uint8 array or tensor, shape (..., rows, columns)
        0 background, k the k-th box. A pixel belongs to a box when its centre lies in the
        half-open interval [centre - side/2, centre + side/2) along both axes. Where two
        boxes overlap the lower class wins.
    """
    xp = _namespace(box_centre)
    centre = _as_float32(xp, box_centre, box_centre)
    half = _as_float32(xp, side_px, box_centre)[..., None, None] / 2
    low, high = centre - half, centre + half
    x, y = _axis(xp, columns, box_centre), _axis(xp, rows, box_centre)
    inside_x = (x >= low[..., 0:1]) & (x < high[..., 0:1]) & box_present[..., None]
    inside_y = (y >= low[..., 1:2]) & (y < high[..., 1:2])
    size = (*tuple(centre.shape[:-2]), rows, columns)
    mask = xp.zeros(size, dtype=xp.uint8) if xp is np else centre.new_zeros(size, dtype=xp.uint8)
    for index in reversed(range(centre.shape[-2])):
        inside = inside_y[..., index, :, None] & inside_x[..., index, None, :]
        mask[inside] = index + 1
    return mask


def draw_heatmaps(line: Any, sigma_px: Any, rows: int, columns: int) -> Any:
    """Draw exp(-d^2 / (2 sigma^2)), d = distance of a pixel's centre to the infinite line.

    Parameters
    ----------
    line : array or tensor, shape (..., lines, 3)
        a, b, c with a^2 + b^2 = 1: abs(a * column + b * row + c) is the distance in pixels.
        NaN where there is no line.
    sigma_px : float or array, shape (...,)
        Width in pixels.
    rows, columns : int
        Size of the raster.

    Returns
    -------
    float32 array or tensor, shape (..., lines, rows, columns)
        In [0, 1]; all 0 where there is no line (mask the loss with isnan(line)). NaN is
        replaced before the arithmetic, so no gradient becomes NaN either.

    References
    ----------
    Zhang, Wei et al., Medical Image Analysis 2024, equation for the orientation pretext.
    """
    xp = _namespace(line)
    given = _as_float32(xp, line, line)
    absent = xp.isnan(given).any(-1)[..., None]
    # A number copied to a GPU would wait for all that is still to be computed there.
    zero = np.float32(0.0) if xp is np else given.new_zeros(())
    known = xp.where(absent, zero, given)
    sigma = _as_float32(xp, sigma_px, line)[..., None, None, None]
    x, y = _axis(xp, columns, line), _axis(xp, rows, line)
    across = known[..., 0:1] * x
    along = known[..., 1:2] * y + known[..., 2:3]
    scaled = (across[..., None, :] + along[..., :, None]) / sigma
    return xp.where(absent[..., None], zero, xp.exp(-0.5 * (scaled * scaled)))


def heatmap_codes(heatmap: ArrayLike) -> NDArray[np.uint8]:
    """Round heatmaps in [0, 1] to their stored form, uint8 = round(255 * heatmap)."""
    codes = np.rint(np.asarray(heatmap, dtype=np.float32) * np.float32(HEATMAP_LEVELS))
    return np.asarray(codes, dtype=np.uint8)
