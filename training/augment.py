"""Augmentation of place on the device, a batch at a time, that carries the label parameters along.

An augmentation is a 3 x 3 matrix on pixel coordinates (column, row, 1), ``augmented = M @ store``: flip,
isotropic zoom and rotation about the centre of the image, then a shift. The image is sampled once through
the inverse of M; the labels' parameters follow exactly:

- a line l = (a, b, c) becomes M^-T l, normalised again to a^2 + b^2 = 1, canonical sign a > 0, or a = 0 and
  b > 0;
- a box's centre c becomes M c; the side of the boxes and the width of the lines grow with the zoom, as both
  are sizes in mm. Boxes stay axis-aligned squares, flips do not exchange their classes: labels follow the
  anatomy;
- a box of which less than half is visible afterwards counts as absent. A box that was absent in the store
  stays so: what it marks was outside the image, and no shift brings it in;
- the segmentation is sampled with nearest neighbours. Outside the store's grid it is background, as in the
  store's own padding: the image is empty there too. Not-annotated pixels (255) stay not annotated.

Every number drawn is a function of the example's key (see `training.draws`), so the same step of the same
run always gives the same images. Nothing here waits for a GPU: no value is copied to it or asked of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from training.draws import uniform

if TYPE_CHECKING:
    from training.settings import AugmentSettings

VISIBLE_FRACTION = 0.5
"""A box of which a smaller part of the area lies inside the image counts as absent."""

# 6 to 10 and 21 upwards belong to `training.intensity`, 300 upwards to `training.contrast`.
_ROTATION, _ZOOM, _SHIFT_X, _SHIFT_Y, _FLIP_X, _FLIP_Y = range(6)
_WINDOW_X, _WINDOW_Y = 11, 12


@dataclass(frozen=True)
class Motion:
    """Where each image of a batch goes.

    Attributes
    ----------
    matrix
        (b, 3, 3) float64: store pixel (column, row, 1) -> augmented pixel.
    zoom
        (b,) float64: lengths grow by this factor.
    rows, columns
        Size of the augmented images.
    """

    matrix: Tensor
    zoom: Tensor
    rows: int
    columns: int


def still(count: int, rows: int, columns: int, device: torch.device) -> Motion:
    """The motion that leaves `count` images of this size where they are."""
    one = torch.ones(count, dtype=torch.float64, device=device)
    return Motion(torch.diag_embed(one[:, None].expand(count, 3)), one, rows, columns)


def windowed(motion: Motion, share: float, draw: Tensor) -> Motion:
    """A motion, and then only a window of the image, at a place drawn at random.

    Parameters
    ----------
    share
        Side of the window over the side of the image.
    draw
        (b,) int64 keys.
    """
    rows, columns = max(1, round(share * motion.rows)), max(1, round(share * motion.columns))
    matrix = motion.matrix.clone()
    matrix[:, 0, 2] -= (uniform(draw, _WINDOW_X).double() * (motion.columns - columns + 1)).floor()
    matrix[:, 1, 2] -= (uniform(draw, _WINDOW_Y).double() * (motion.rows - rows + 1)).floor()
    return Motion(matrix, motion.zoom, rows, columns)


def draw_motion(settings: AugmentSettings, draw: Tensor, rows: int, columns: int) -> Motion:
    """Draw one rotation, zoom, shift and flip for each key.

    Parameters
    ----------
    settings
        Ranges; a range of 0 leaves that part out.
    draw
        (b,) int64 keys.
    rows, columns
        Size of the images; the middle of rotation and zoom is ((columns - 1) / 2, (rows - 1) / 2).
    """

    def between(low: float, high: float, what: int) -> Tensor:
        return low + (high - low) * uniform(draw, what).double()

    angle = torch.deg2rad(between(-settings.rotation_deg, settings.rotation_deg, _ROTATION))
    # Equal chances for a zoom and its inverse: uniform in the logarithm.
    zoom = torch.exp(between(math.log(settings.scale_min), math.log(settings.scale_max), _ZOOM))
    shift_x = between(-settings.shift_fraction, settings.shift_fraction, _SHIFT_X) * columns
    shift_y = between(-settings.shift_fraction, settings.shift_fraction, _SHIFT_Y) * rows
    mirror_x = torch.where(uniform(draw, _FLIP_X) < settings.flip_left_right, -1.0, 1.0).double()
    mirror_y = torch.where(uniform(draw, _FLIP_Y) < settings.flip_up_down, -1.0, 1.0).double()
    matrix = motion_matrix(angle, zoom, shift_x, shift_y, mirror_x, mirror_y, rows, columns)
    return Motion(matrix, zoom, rows, columns)


def motion_matrix(
    angle: Tensor,
    zoom: Tensor,
    shift_x: Tensor,
    shift_y: Tensor,
    mirror_x: Tensor,
    mirror_y: Tensor,
    rows: int,
    columns: int,
) -> Tensor:
    """(b, 3, 3) matrices that flip, zoom and rotate about the image's centre, then shift (radians, px)."""
    centre_x, centre_y = (columns - 1) / 2.0, (rows - 1) / 2.0
    xx, xy = zoom * torch.cos(angle) * mirror_x, -zoom * torch.sin(angle) * mirror_y
    yx, yy = zoom * torch.sin(angle) * mirror_x, zoom * torch.cos(angle) * mirror_y
    to_x = centre_x + shift_x - xx * centre_x - xy * centre_y
    to_y = centre_y + shift_y - yx * centre_x - yy * centre_y
    zero, one = torch.zeros_like(xx), torch.ones_like(xx)
    return torch.stack([xx, xy, to_x, yx, yy, to_y, zero, zero, one], dim=-1).view(-1, 3, 3)


def warp(image: Tensor, motion: Motion, *, mode: str = "bilinear") -> Tensor:
    """Sample images (b, c, rows, columns) on their augmented grids; outside the store's grid they are 0.

    `grid_sample` runs on coordinates in which the outer edges of an image are -1 and 1
    (``align_corners=False``): u = (2 x + 1) / columns - 1.
    """
    store = _normalised_from_pixel(image.shape[-2], image.shape[-1], image.device)
    grid = _grid(store @ inverted(motion.matrix), motion.rows, motion.columns, image.dtype)
    return grid_sample(image, grid, mode=mode, padding_mode="zeros", align_corners=False)


def _grid(normalised_from_augmented: Tensor, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """Where each augmented pixel lies in the store, (b, rows, columns, 2) for `grid_sample`.

    As a sum of what the column and what the row of a pixel add: `affine_grid` multiplies matrices for it,
    which takes ten times as long on a CPU, and which an accelerator may round to a thousandth.
    """
    matrix = normalised_from_augmented[:, :2, :, None]
    column = torch.arange(columns, dtype=matrix.dtype, device=matrix.device)
    row = torch.arange(rows, dtype=matrix.dtype, device=matrix.device)
    across, down = matrix[:, :, 0] * column, matrix[:, :, 1] * row + matrix[:, :, 2]
    return (across.to(dtype)[:, :, None, :] + down.to(dtype)[:, :, :, None]).movedim(1, -1)


# Kept, since making a tensor of numbers on a GPU waits for all that is still to be computed there.
@cache
def _normalised_from_pixel(rows: int, columns: int, device: torch.device) -> Tensor:
    return torch.tensor(
        [[2.0 / columns, 0.0, 1.0 / columns - 1.0], [0.0, 2.0 / rows, 1.0 / rows - 1.0], [0.0, 0.0, 1.0]],
        dtype=torch.float64,
        device=device,
    )


def inverted(matrix: Tensor) -> Tensor:
    """Inverse of affine matrices (..., 3, 3) in closed form; `torch.linalg.inv` would wait for a GPU."""
    a, b, x = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 0, 2]
    c, d, y = matrix[..., 1, 0], matrix[..., 1, 1], matrix[..., 1, 2]
    zero, area = torch.zeros_like(a), a * d - b * c
    entries = torch.stack([d, -b, b * y - d * x, -c, a, c * x - a * y, zero, zero, area], dim=-1)
    return (entries / area[..., None]).view(matrix.shape)


def move_lines(line: Tensor, matrix: Tensor) -> Tensor:
    """Lines (b, K, 3) after `matrix` (b, 3, 3): M^-T l, a^2 + b^2 = 1, canonical sign; NaN stays NaN."""
    moved = line.double() @ inverted(matrix)
    a, b = moved[..., 0], moved[..., 1]
    sign = torch.where((a > 0) | ((a == 0) & (b > 0)), 1.0, -1.0)
    canonical: Tensor = moved * (sign / torch.hypot(a, b))[..., None]
    return canonical.to(line.dtype)


def move_points(point: Tensor, matrix: Tensor) -> Tensor:
    """Points (b, n, 2) as (column, row) after `matrix` (b, 3, 3)."""
    moved = point.double() @ matrix[:, :2, :2].transpose(-1, -2) + matrix[:, None, :2, 2]
    return moved.to(point.dtype)


def visible_fraction(box_centre: Tensor, side_px: Tensor, rows: int, columns: int) -> Tensor:
    """Share of the area of squares round centres (b, n, 2) that lies inside the image; 0 for NaN."""
    half = side_px[:, None] / 2.0
    width, height = (
        (box_centre[..., axis] + half).clamp(max=size - 0.5) - (box_centre[..., axis] - half).clamp(min=-0.5)
        for axis, size in enumerate((columns, rows))
    )
    inside = width.clamp(min=0.0) * height.clamp(min=0.0) / side_px[:, None] ** 2
    return torch.nan_to_num(inside, nan=0.0)


def move_labels(labels: Mapping[str, Tensor], motion: Motion) -> dict[str, Tensor]:
    """The labels of a batch after the motion; see the module's text for the rule of each."""
    moved = dict(labels)
    zoom = motion.zoom.float()
    if "line" in labels:
        moved["line"] = move_lines(labels["line"], motion.matrix)
        moved["line_sigma_px"] = labels["line_sigma_px"] * zoom
    if "box_centre" in labels:
        side_px = labels["box_side_px"] * zoom
        centre = move_points(labels["box_centre"], motion.matrix)
        visible = visible_fraction(centre, side_px, motion.rows, motion.columns) >= VISIBLE_FRACTION
        moved |= {
            "box_centre": centre,
            "box_side_px": side_px,
            "box_present": labels["box_present"] & visible,
        }
    if "segmentation" in labels:
        moved["segmentation"] = move_classes(labels["segmentation"], motion)
    return moved


def move_classes(classes: Tensor, motion: Motion) -> Tensor:
    """Classes (b, rows, columns) of pixels after the motion, int64: those of the nearest pixel, 0 outside."""
    return warp(classes[:, None].float(), motion, mode="nearest")[:, 0].round().long()
