"""Stores built from real exams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.index import index
from pretext_targets.build import build, plan_build
from pretext_targets.protocol import load_protocol
from pretext_targets.reader import StoreReader
from pretext_targets.verify import verify_store
from tests.helpers.real import real_exam

pytestmark = pytest.mark.real


def catalogue_of(name: str, folder: Path) -> Catalogue:
    exam = real_exam(name)
    index([exam], folder / "catalogue")
    return open_catalogue(folder / "catalogue")


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return catalogue_of("cardiac-biv-me", tmp_path_factory.mktemp("heart"))


def test_a_real_heart_gives_150_labelled_short_axis_images(heart: Catalogue, tmp_path: Path) -> None:
    plan = plan_build(heart, load_protocol("cardiac-sax"))
    summary = build(plan, tmp_path / "sax.zarr")
    assert (summary.examples, summary.valid) == (150, 150)
    assert set(summary.boxes.values()) == {150}
    assert verify_store(tmp_path / "sax.zarr") == []
    reader = StoreReader(tmp_path / "sax.zarr")
    np.testing.assert_allclose(np.unique(reader.column("location")), np.arange(6) / 5, atol=1e-4)
    # In the ventricle's slices blood is bright: the lines cross in one of the brightest places.
    for example in (50, 75):
        x, y = np.rint(reader.column("box_centre")[example, 0]).astype(int)
        image = reader.read("image", [example])[0]
        assert np.median(image[y - 3 : y + 4, x - 3 : x + 4]) > np.percentile(image, 80)


def test_partner_lines_of_a_real_heart_pass_through_the_manual_lv_contours(
    heart: Catalogue, tmp_path: Path
) -> None:
    points = lv_contour_points_mm()
    build(plan_build(heart, load_protocol("cardiac-sax").with_changes(frames=1)), tmp_path / "sax.zarr")
    reader = StoreReader(tmp_path / "sax.zarr")
    seen = 0
    for matrix, lines in zip(reader.column("patient_from_pixel"), reader.column("line"), strict=True):
        on_grid = np.linalg.solve(matrix, np.append(points, np.ones((len(points), 1)), axis=1).T).T
        contour = on_grid[np.abs(on_grid[:, 2]) < 0.1, :2]
        if len(contour) < 10:
            continue  # a slice above the ventricle
        seen += 1
        for line in lines:
            sides = np.sign(contour @ line[:2] + line[2])
            assert np.abs(sides.mean()) < 0.8  # blood on both sides: the line passes through
    assert seen >= 4


def lv_contour_points_mm() -> NDArray[np.float64]:
    """Points of manual endocardial contours of the first frame on short-axis planes, mm LPS."""
    folder = real_exam("cardiac-biv-me") / "example" / "guidepoints" / "default" / "patient1"
    rows = [line.split() for line in (folder / "GPFile_000.txt").read_text().splitlines()[1:]]
    return np.array([[float(word) for word in row[:3]] for row in rows if row[3] == "SAX_LV_ENDOCARDIAL"])


def test_a_real_four_chamber_image_has_eight_boxes(heart: Catalogue, tmp_path: Path) -> None:
    plan = plan_build(heart, load_protocol("cardiac-4ch"))
    summary = build(plan, tmp_path / "four.zarr")
    assert summary.examples == 25
    absent = [name for name, count in summary.boxes.items() if count == 0]
    assert absent == ["far inferior"]
    assert sum(summary.boxes.values()) == 8 * 25
    assert verify_store(tmp_path / "four.zarr") == []


def test_a_real_knee_gives_its_fat_suppressed_sagittal_stack(tmp_path: Path) -> None:
    plan = plan_build(catalogue_of("knee-flothesof", tmp_path), load_protocol("knee-sag"))
    summary = build(plan, tmp_path / "knee.zarr")
    assert (summary.examples, summary.valid) == (24, 24)
    assert summary.left_out["fat-suppressed-preferred"] == 24
    assert summary.boxes["centre"] == 24
    assert verify_store(tmp_path / "knee.zarr") == []
    sine = StoreReader(tmp_path / "knee.zarr").column("location_sine")
    assert sine[0] == sine[-1] == 0
    np.testing.assert_allclose(sine, sine[::-1], atol=1e-3)
