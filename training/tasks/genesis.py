"""Models Genesis: restore an image that was damaged in its grey values, its texture and its context.

Zhou et al., MICCAI 2019, "Models Genesis: generic autodidactic models for 3D medical image analysis", in 2D.
Written from the paper; the authors' code, which has a non-commercial licence, was not used. The image x, in
[0, 1], is damaged to x~ in this order, each part by its own chance (the flip is the recipe's augmentation):

- shuffling (.5): the pixels of small windows change places within their window;
- intensity (.9): x -> y on a cubic Bezier curve from P0 = (0, 0) to P3 = (1, 1), B(t) = (1-t)^3 P0 +
  3 (1-t)^2 t P1 + 3 (1-t) t^2 P2 + t^3 P3, with P1 and P2 at random in the unit square; half of the curves
  fall from 1 to 0 instead;
- painting (.9): up to ten windows are laid over one another; what lies inside (in .2 of the cases) or outside
  (.8) becomes one random number, a quarter of the image at most.

The network says x: loss = mean over the pixels of (y(x~) - x)^2, with a 1 x 1 convolution as the head. Ours
are the sizes of the windows and that those to shuffle tile the image from a random corner with a random side
of at most a tenth of the image's, which takes one sort for the whole batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.backbones import Backbone
from training.draws import mixed, uniform
from training.tasks.task import Batch, StoreFacts, SumAndCount, Task, masked_squared_error

LARGEST_SHUFFLED_SHARE = 0.1
"""Side of a window to shuffle over the shorter side of the image, at most."""

CURVE_POINTS, GREY_STEPS = 512, 4096
WINDOWS, WINDOW_SHARES, LARGEST_HIDDEN_SHARE = 10, (1 / 8, 1 / 3), 1 / 4
"""How many windows at most; their sides, least and most, over the image's; the area that is ever painted."""

_IF_SHUFFLED, _WINDOW, _WINDOW_X, _WINDOW_Y, _PIXEL = range(321, 326)
_IF_CURVED, _FALLING, _CONTROL = 326, 327, 328
_IF_PAINTED, _INSIDE, _PAINT, _COUNT, _SIDE_X, _SIDE_Y, _PLACE_X, _PLACE_Y = range(329, 337)


class ModelsGenesis(Task):
    """Restoration of the undamaged image from the decoder's full-size level.

    Parameters
    ----------
    shuffle, bezier, paint
        Chance of each kind of damage.
    paint_inside
        Of the painted images, the share that is painted inside the windows.
    """

    def __init__(
        self,
        backbone: Backbone,
        facts: StoreFacts,
        shuffle: float = 0.5,
        bezier: float = 0.9,
        paint: float = 0.9,
        paint_inside: float = 0.2,
    ) -> None:
        super().__init__()
        self.shuffle, self.bezier, self.paint, self.paint_inside = shuffle, bezier, paint, paint_inside
        self.head = nn.Conv2d(backbone.decoder_channels[0], 1, kernel_size=1)

    def loss(self, backbone: Backbone, crops: list[Batch]) -> dict[str, SumAndCount]:
        """Squared error over all pixels."""
        (batch,) = crops
        said = self.head(backbone.decode(backbone.encode(self.damaged(batch.image, batch.draw)))[0])
        return {"restored": masked_squared_error(said, batch.image.clamp(0.0, 1.0))}

    def damaged(self, image: Tensor, draw: Tensor) -> Tensor:
        """Images (b, 1, rows, columns), damaged as their keys (b,) say."""
        image = image.clamp(0.0, 1.0)  # the empty border that augmentation brings in may lie below 0
        for chance, what, damage in (
            (self.shuffle, _IF_SHUFFLED, shuffled_in_windows),
            (self.bezier, _IF_CURVED, through_curves),
        ):
            hit = uniform(draw, what) < chance
            image = torch.where(hit[:, None, None, None], damage(image, draw), image)
        painted = painted_places(draw, image.shape[-2], image.shape[-1], self.paint_inside)
        painted &= (uniform(draw, _IF_PAINTED) < self.paint)[:, None, None]
        return torch.where(painted[:, None], uniform(draw, _PAINT)[:, None, None, None], image)

    def predict(self, backbone: Backbone, image: Tensor) -> dict[str, Tensor]:
        """`damaged` (b, rows, columns), by place in the batch, and `restored`, what is made of it."""
        damaged = self.damaged(image, torch.arange(image.shape[0], device=image.device))
        restored = self.head(backbone.decode(backbone.encode(damaged))[0]).float()
        return {"damaged": damaged[:, 0], "restored": restored[:, 0]}

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """`restored`: the image."""
        return {"restored": batch.image[:, 0].clamp(0.0, 1.0)}


def shuffled_in_windows(image: Tensor, draw: Tensor) -> Tensor:
    """Images (b, 1, rows, columns) whose pixels changed places within their windows."""
    count, _, rows, columns = image.shape
    largest = max(2, int(LARGEST_SHUFFLED_SHARE * min(rows, columns)))
    side = (2 + uniform(draw, _WINDOW) * (largest - 1)).long()[:, None]
    down, top, high = _cut(rows, side, uniform(draw, _WINDOW_Y)[:, None])
    across, left, wide = _cut(columns, side, uniform(draw, _WINDOW_X)[:, None])
    pixel = torch.arange(rows * columns, device=draw.device)
    # One sort by (window, random number), in the bits that the numbers of the windows leave free.
    free_bits = 31 - ((rows // 2 + 1) * (columns // 2 + 2)).bit_length()
    window = (down[:, :, None] * (columns // 2 + 2) + across[:, None, :]).view(count, -1)
    chance = mixed(mixed(draw, _PIXEL)[:, None], pixel) & ((1 << free_bits) - 1)
    mixed_up = ((window << free_bits) + chance).int().argsort(dim=1, stable=True)
    # The place of each pixel when windows, and the pixels within a window, stand row by row.
    row, column = torch.arange(rows, device=draw.device), torch.arange(columns, device=draw.device)
    within = (row - top)[:, :, None] * wide[:, None, :] + (column - left)[:, None, :]
    place = (top * columns)[:, :, None] + high[:, :, None] * left[:, None, :] + within
    taken = mixed_up.gather(1, place.view(count, -1))
    return image.reshape(count, -1).gather(1, taken).view(count, 1, rows, columns)


def _cut(length: int, side: Tensor, corner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `length` pixels (b, length): the number of its window, its first pixel, its extent."""
    pixel, before = torch.arange(length, device=side.device), (corner * side).long()
    number = (pixel + before) // side
    first = (number * side - before).clamp(min=0)
    return number, first, ((number + 1) * side - before).clamp(max=length) - first


def through_curves(image: Tensor, draw: Tensor) -> Tensor:
    """Images in [0, 1] with each value x, to 1/4096, replaced by the y of the image's own Bezier curve."""
    xs, ys = bezier_curves(draw)
    grey = torch.linspace(0.0, 1.0, GREY_STEPS + 1, device=draw.device).expand(len(draw), -1).contiguous()
    after = torch.searchsorted(xs, grey).clamp(1, CURVE_POINTS - 1)
    x0, x1 = xs.gather(1, after - 1), xs.gather(1, after)
    share = ((grey - x0) / (x1 - x0).clamp(min=1e-12)).clamp(0.0, 1.0)
    table = torch.lerp(ys.gather(1, after - 1), ys.gather(1, after), share)
    step = (image.reshape(image.shape[0], -1) * GREY_STEPS).round().long()
    return table.gather(1, step).view(image.shape)


def bezier_curves(draw: Tensor) -> tuple[Tensor, Tensor]:
    """x and y, (b, points) each, along one random curve for each key.

    Both coordinates grow with t, as all control points lie in the unit square, so the curve is a function.
    """
    control = uniform(draw[:, None, None, None], _CONTROL, torch.arange(4, device=draw.device).view(2, 2, 1))
    t = torch.linspace(0.0, 1.0, CURVE_POINTS, device=draw.device)
    curve = 3 * (1 - t) ** 2 * t * control[:, 0] + 3 * (1 - t) * t**2 * control[:, 1] + t**3
    falls = (uniform(draw, _FALLING) < 0.5)[:, None]
    return curve[:, 0].contiguous(), torch.where(falls, 1.0 - curve[:, 1], curve[:, 1])


def painted_places(draw: Tensor, rows: int, columns: int, inside: float) -> Tensor:
    """(b, rows, columns), True where an image is painted over: at most a quarter of it.

    Parameters
    ----------
    draw
        (b,) int64 keys.
    inside
        Chance that it is the inside of the windows; else their outside.
    """
    number = torch.arange(WINDOWS, device=draw.device)
    is_inside = uniform(draw, _INSIDE) < inside
    # Seen from outside the first window alone leaves a quarter at most.
    least = torch.where(
        is_inside[:, None] | (number > 0), WINDOW_SHARES[0], (1 - LARGEST_HIDDEN_SHARE) ** 0.5
    )
    most = torch.where(is_inside[:, None] | (number > 0), WINDOW_SHARES[1], 1.0)
    within, sizes = [], []
    for length, side_draw, place_draw in ((rows, _SIDE_Y, _PLACE_Y), (columns, _SIDE_X, _PLACE_X)):
        share = least + (most - least) * uniform(draw[:, None], side_draw, number)
        size = (share * length).ceil().clamp(max=length)
        start = (uniform(draw[:, None], place_draw, number) * (length - size + 1)).floor()
        pixel = torch.arange(length, device=draw.device)
        within.append((pixel >= start[..., None]) & (pixel < (start + size)[..., None]))
        sizes.append(size)
    laid = number <= (uniform(draw, _COUNT) * WINDOWS)[:, None].floor()
    area = (sizes[0] * sizes[1]).cumsum(dim=1)
    laid &= ~is_inside[:, None] | (area <= LARGEST_HIDDEN_SHARE * rows * columns)
    union = ((within[0] & laid[..., None]).float().transpose(1, 2) @ within[1].float()) > 0.5
    return torch.where(is_inside[:, None, None], union, ~union)
