"""Pictures: pixels survive the way into the page, and what is drawn over them lies where it should."""

from __future__ import annotations

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from reporting import colours
from reporting.pictures import (
    LONGEST_SIDE,
    Picture,
    Tint,
    boxes_over,
    classes_png,
    grey_png,
    heat_png,
    lines_over,
)
from reporting.store_pictures import _segment_legend


def decoded(address: str) -> NDArray[np.uint8]:
    prefix, _, data = address.partition(",")
    assert prefix == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    return np.asarray(image.convert("RGBA") if image.mode == "P" else image)


def test_an_image_keeps_its_size_and_its_order_of_greys() -> None:
    image = np.linspace(-3, 900, 12 * 20).reshape(12, 20)
    shown = decoded(grey_png(image))
    assert shown.shape == (12, 20)
    assert shown[0, 0] == 0
    assert shown[-1, -1] == 255
    assert (np.diff(shown.ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan])
def test_a_flat_image_can_be_shown(value: float) -> None:
    assert (decoded(grey_png(np.full((4, 5), value))) == 0).all()


def test_one_bright_pixel_does_not_make_the_rest_black() -> None:
    image = np.tile(np.arange(100.0), (100, 1))
    image[50, 50] = 1e6
    assert decoded(grey_png(image))[0, 60] > 100


def test_a_heatmap_is_opaque_where_it_is_high_and_clear_where_it_is_zero() -> None:
    heat = decoded(heat_png(np.array([[0.0, 0.5, 1.0, np.nan]]), "#ff0000"))
    assert heat[0, :, 3].tolist() == [0, pytest.approx(108, abs=1), pytest.approx(217, abs=1), 0]
    assert heat[0, 2, :3].tolist() == [255, 0, 0]


def test_the_background_is_clear_and_classes_beyond_the_palette_begin_it_again() -> None:
    painted = decoded(classes_png(np.array([[0, 1, 2, 3, 254]]), ("#000000", "#ff0000", "#00ff00")))
    assert (painted[0, :, 3] > 0).tolist() == [False, True, True, True, True]
    assert painted[0, 1:, :3].tolist() == [[255, 0, 0], [0, 255, 0], [255, 0, 0], [0, 255, 0]]


def test_every_structure_is_painted_as_the_legend_says() -> None:
    names = ("background", *(f"structure {number}" for number in range(1, 21)))
    store = SimpleNamespace(attributes=SimpleNamespace(segment_names=names))
    painted = decoded(classes_png(np.arange(len(names))[None], colours.SEGMENTS))
    legend = _segment_legend(store)  # type: ignore[arg-type]
    assert [one.name for one in legend] == list(names[1:])
    assert [colours.rgb(one.colour) for one in legend] == [tuple(one) for one in painted[0, 1:, :3].tolist()]
    assert (painted[0, 1:, 3] > 0).all()
    assert colours.SEGMENTS[0] not in {one.colour for one in legend}


def test_lines_end_at_the_edges_of_the_image_and_absent_ones_vanish() -> None:
    lines = [[1.0, 0.0, -5.0], [np.nan] * 3, [0.0, 1.0, 40.0]]  # column 5; absent; row -40, outside
    drawn = lines_over(lines, ["4CH", "2CH", "3CH"], columns=20, rows=12)
    assert [line.name for line in drawn] == ["4CH"]
    assert {drawn[0].x1, drawn[0].x2} == {5.0}
    assert {drawn[0].y1, drawn[0].y2} == {-0.5, 11.5}


def test_boxes_stand_round_their_centres_and_absent_ones_vanish() -> None:
    drawn = boxes_over([[10.0, 4.0], [1.0, 1.0]], [True, False], 6.0, ["centre", "far left"])
    assert [(box.x, box.y, box.side, box.name) for box in drawn] == [(7.0, 1.0, 6.0, "centre")]


def test_pixels_that_are_not_square_are_shown_in_their_proportions() -> None:
    picture = Picture("", columns=100, rows=50, column_spacing=1.0, row_spacing=2.0)
    assert picture.width == picture.height == 100


def test_a_large_image_is_averaged_down_and_keeps_its_proportions() -> None:
    image = np.tile(np.arange(1600.0), (800, 1))
    shown = decoded(grey_png(image))
    assert shown.shape == (LONGEST_SIDE // 2, LONGEST_SIDE)
    assert (np.diff(shown.astype(int), axis=1) >= 0).all()


def test_classes_of_a_large_image_are_not_mixed() -> None:
    classes = np.zeros((1000, 1000), dtype=np.uint8)
    classes[:, 500:] = 2
    painted = decoded(classes_png(classes, ("#000000", "#ff0000", "#00ff00")))
    assert painted.shape == (LONGEST_SIDE, LONGEST_SIDE, 4)
    assert {tuple(colour) for colour in painted[painted[..., 3] > 0][:, :3].tolist()} == {(0, 255, 0)}


def test_no_image_of_a_page_is_larger_than_a_byte_for_each_of_its_pixels() -> None:
    noise = np.random.default_rng(0).random((900, 900))
    most = 1.1 * LONGEST_SIDE**2 * 4 / 3  # base64 writes four letters for three bytes
    for png in (grey_png(noise), heat_png(noise, "#ff0000"), classes_png(noise * 8, ["#010203"] * 9)):
        assert len(png) < most


def test_a_picture_is_told_in_words() -> None:
    picture = Picture(
        "",
        20,
        12,
        tints=(Tint("", "heatmap", "2CH"),),
        lines=lines_over([[1.0, 0.0, -5.0]], ["4CH"], columns=20, rows=12),
        boxes=boxes_over([[10.0, 4.0]], [True], 6.0, ["centre"]),
        caption="slice 1 of 3",
        note="location 0.00",
    )
    assert picture.described == "slice 1 of 3. location 0.00. line of 4CH; boxes centre; heatmap 2CH"
