"""The files of an exam before they are written: data sets, where they go, what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from phantoms.exam import Exam, ExamSeries
from phantoms.transfer_syntax import Syntax

Row = dict[str, Any]
"""One row of the table `images`."""


@dataclass
class ExamFile:
    """One file: its data set, its place in the exam's folder, and a row for each image in it."""

    place: Path
    dataset: Dataset
    syntax: Syntax
    series: ExamSeries | None = None
    rows: list[Row] = field(default_factory=list)


DataSetTrap = Callable[[Exam, list[ExamFile], np.random.Generator], None]
"""Changes the files of an exam in place."""


def change(dataset: Dataset, **values: object) -> None:
    """Set elements as new objects: the old ones may be shared with other data sets. None deletes."""
    for name, value in values.items():
        if Tag(name) in dataset:
            del dataset[name]
        if value is not None:
            setattr(dataset, name, value)


def cines(files: Iterable[ExamFile]) -> list[ExamFile]:
    """Files of cine images."""
    return [file for file in files if file.series is not None and file.series.cine]


def main_stack(files: Iterable[ExamFile]) -> list[ExamFile]:
    """Files of the stack that matters: the short-axis cine, or the first stack of a knee."""
    segmented = [file for file in files if file.series is not None and file.series.segmented]
    chosen = [file for file in segmented if file.series is not None and file.series.view == "SAX"]
    if chosen:
        stacks = sorted({file.series.stack for file in chosen if file.series})
        return [file for file in chosen if file.series and file.series.stack == stacks[0]]
    first = segmented[0].series if segmented else None
    return [file for file in segmented if first and file.series and file.series.stack == first.stack]


def first_phase(files: Iterable[ExamFile]) -> list[ExamFile]:
    """Of each slice the first image, in the order of slices."""
    firsts = [file for file in files if file.rows and file.rows[0]["phase_index"] == 0]
    return sorted(firsts, key=lambda file: int(file.rows[0]["slice_index"]))


def copied(file: ExamFile) -> ExamFile:
    """A file like another, whose data set can be changed by `change` alone."""
    dataset = Dataset()
    dataset.update(dict(file.dataset.items()))
    return ExamFile(file.place, dataset, file.syntax, file.series, [dict(row) for row in file.rows])


def pixels_of(dataset: Dataset) -> NDArray[np.uint16]:
    """Stored pixels of a classic image that is not compressed."""
    flat: NDArray[np.uint16] = np.frombuffer(dataset.PixelData, "<u2")
    return flat.reshape(dataset.Rows, dataset.Columns)


def moved(place: Path, word: str) -> Path:
    """Another name beside a file's own."""
    return place.with_name(f"{place.stem[:8]}{word}{place.suffix}")
