"""Examples of a run: every kind of target finds a place, or is told in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reporting.ration import Ration
from reporting.run_samples import sample_strips
from reporting.sections import Strip

RNG = np.random.default_rng(0)


def samples(**more: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {"image": RNG.normal(size=(2, 8, 12)).astype(np.float32), **more}


def both(name: str, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {f"target_{name}": values, f"prediction_{name}": values}


def drawn(read: dict[str, NDArray[Any]], images: int = 100) -> list[Strip]:
    return list(sample_strips(read, Ration(images)))


def test_a_restored_image_is_shown_grey() -> None:
    (strip, _) = drawn(samples(**both("restored_image", RNG.random((2, 8, 12)))))
    assert [picture.caption for picture in strip.pictures] == [
        "image", "restored image, truth", "restored image, predicted"
    ]  # fmt: skip
    assert all(picture.png and not picture.tints for picture in strip.pictures)


def test_classes_and_heatmaps_are_painted_over_the_image() -> None:
    read = samples(
        **both("segmentation", np.ones((2, 8, 12), dtype=np.uint8)),
        **both("heatmaps", RNG.random((2, 3, 8, 12))),
    )
    (strip, _) = drawn(read)
    tints = {picture.caption: [tint.layer for tint in picture.tints] for picture in strip.pictures}
    assert tints["segmentation, truth"] == ["segmentation"]
    assert tints["heatmaps, predicted"] == ["heatmap"] * 3


def test_short_vectors_are_spelled_and_long_ones_counted() -> None:
    (strip, _) = drawn(
        samples(**both("order", np.tile([2.0, 0.0, 1.0], (2, 1))), **both("codes", np.zeros((2, 99))))
    )
    assert strip.note == "codes: 99 numbers (99 numbers predicted); order: 2, 0, 1 (2, 0, 1 predicted)"
    assert len(strip.pictures) == 1


def test_training_examples_are_called_so() -> None:
    assert drawn(samples(held_out=np.array(False)))[0].title == "Training example 1"
    assert drawn(samples(held_out=np.array(True)))[0].title == "Validation example 1"


def test_drawing_ends_with_the_ration() -> None:
    read = samples(**both("segmentation", np.ones((2, 8, 12), dtype=np.uint8)))
    assert len(drawn(read, images=5)) == 1
    assert len(drawn(read, images=10)) == 2
    assert drawn(read, images=4) == []


def test_a_run_without_images_has_no_examples() -> None:
    assert drawn({}) == []
    assert drawn({"image": np.zeros((2, 4, 8, 12))}) == []
