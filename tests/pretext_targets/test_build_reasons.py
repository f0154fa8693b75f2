"""Every word that a build gives as a reason has a meaning."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from dicomgeom.errors import GeometryError, UnusableFile
from dicomgeom.reasons import FILE_REASONS
from pretext_targets import boxes, choose
from pretext_targets.annotations import UNUSED_REASONS
from pretext_targets.build_reasons import (
    BUILD_REASONS,
    LEFT_OUT_REASONS,
    NO_BOXES_REASONS,
    PIXEL_REASONS,
    reason_of,
)
from pretext_targets.resample import Axis, GridMissesImage, axis_matrix

FOLDER = Path(boxes.__file__).parent


def words_of_files() -> Iterator[tuple[str, str]]:
    """Module and word of every `UnusableFile` that the floor raises by its name."""
    for path in sorted(FOLDER.glob("*.py")):
        module = importlib.import_module(f"pretext_targets.{path.stem}")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "UnusableFile"
            ):
                first = node.args[0]
                word = first.value if isinstance(first, ast.Constant) else getattr(module, ast.unparse(first))
                yield path.stem, str(word)


def constants_of(module: ModuleType) -> set[str]:
    return {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


def test_every_reason_why_a_file_cannot_be_used_has_a_meaning() -> None:
    found = list(words_of_files())
    assert {"nifti-broken", "sizes-differ", "affines-differ", "segmentation-size"} <= {
        word for _, word in found
    }
    known = LEFT_OUT_REASONS.keys() | PIXEL_REASONS.keys() | UNUSED_REASONS.keys() | FILE_REASONS.keys()
    assert [(module, word) for module, word in found if word not in known] == []


def test_every_reason_of_a_plan_has_a_meaning() -> None:
    assert constants_of(choose) <= LEFT_OUT_REASONS.keys()
    assert constants_of(boxes) == NO_BOXES_REASONS.keys()


def test_no_meaning_is_empty_and_none_breaks_the_table_that_it_stands_in() -> None:
    meanings = [meaning for words in BUILD_REASONS.values() for meaning in words.values()]
    assert all(meaning and "|" not in meaning and "\n" not in meaning for meaning in meanings)


def test_a_grid_that_misses_its_image_is_told_from_planes_that_make_no_sense() -> None:
    with pytest.raises(GridMissesImage, match="choose a finer grid") as missed:
        axis_matrix(Axis(size=40, spacing_mm=1.5, grid_size=32, grid_spacing_mm=1000.0))
    assert reason_of(missed.value) == "grid-misses-image"
    assert reason_of(GeometryError("the slices do not ascend")) == "geometry"
    assert reason_of(UnusableFile("nifti-axes")) == "nifti-axes"
