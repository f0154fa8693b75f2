"""Examples of a run: every target beside what the network made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretext_targets.store import NOT_ANNOTATED
from reporting import colours
from reporting.pictures import Picture, Tint, classes_png, grey_png, heat_png
from reporting.ration import Ration
from reporting.run_evaluation import spelled
from reporting.sections import Strip

HEAT_COLOURS = ("#ff6b6b", "#5fe08d", "#ffd166", "#c792ea")
"""One for each heatmap of a prediction."""

SAMPLES_PICTURED = 6

LONGEST_VECTOR = 6
"""Numbers of a target that are still spelled."""

Array = NDArray[Any]


def sample_strips(samples: Mapping[str, Array], ration: Ration) -> Iterator[Strip]:
    """Put every target beside its prediction; one strip an example, as long as the ration lasts."""
    images = samples.get("image")
    if images is None or images.ndim != 3:
        return
    whose = "Validation" if samples.get("held_out", True) else "Training"
    names = sorted(name.removeprefix("target_") for name in samples if name.startswith("target_"))
    told = [name for name in names if f"prediction_{name}" in samples]
    for number in range(min(len(images), SAMPLES_PICTURED)):
        pictures = [_plain(images[number], "image")]
        words = []
        for name in told:
            truth, prediction = samples[f"target_{name}"], samples[f"prediction_{name}"]
            if len(truth) <= number or len(prediction) <= number:
                continue
            pair = (truth[number], prediction[number])
            if pair[0].ndim < 2:
                words.append(f"{_readable(name)}: {_numbers(pair[0])} ({_numbers(pair[1])} predicted)")
            else:
                pictures.append(_painted(images[number], pair[0], name, "truth"))
                pictures.append(_painted(images[number], pair[1], name, "predicted"))
        if not ration.take(sum(1 + len(picture.tints) for picture in pictures)):
            return
        yield Strip(f"{whose} example {number + 1}", tuple(pictures), note="; ".join(words), in_half=True)


def _readable(name: str) -> str:
    return name.replace("_", " ")


def _numbers(values: Array) -> str:
    flat = [spelled(round(float(value), 2)) for value in np.ravel(values)]
    return ", ".join(flat) if len(flat) <= LONGEST_VECTOR else f"{len(flat)} numbers"


def _plain(image: Array, caption: str) -> Picture:
    rows, columns = image.shape
    return Picture(grey_png(image), columns, rows, caption=caption)


def _painted(image: Array, label: Array, name: str, what: str) -> Picture:
    caption = f"{_readable(name)}, {what}"
    if label.ndim == 2 and np.issubdtype(label.dtype, np.floating):
        return _plain(label, caption)  # an image that was restored
    rows, columns = image.shape
    if label.ndim == 3:
        tints = tuple(
            Tint(heat_png(heatmap, HEAT_COLOURS[number % len(HEAT_COLOURS)]), "heatmap", f"{number + 1}")
            for number, heatmap in enumerate(label)
        )
    else:
        palette = ("#000000", *colours.BOXES) if "box" in name else colours.SEGMENTS
        classes = np.where(label == NOT_ANNOTATED, 0, label)
        tints = (Tint(classes_png(classes, palette), "segmentation", _readable(name)),)
    return Picture(grey_png(image), columns, rows, tints=tints, caption=caption)
