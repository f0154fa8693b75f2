from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import zarr
from numpy.typing import NDArray

from dicomgeom.plane import ImagePlane
from pretext_targets.reader import StoreReader
from training.volume_grid import counted_grid, grid_of, placed_grid

SPACING_MM = 1.4


def oblique_stack(
    slices: int, apart_mm: float = 8.0, shift_mm: tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.float64]:
    """Matrices (slices, 4, 4) of an oblique stack whose slices are shifted in their plane by so much each."""
    right = np.array([0.8, 0.6, 0.0])
    down = np.cross([0.6, -0.8, 0.0], right) * 0.5 + np.array([-0.6, 0.8, 0.0]) * math.sqrt(0.75)
    normal = np.cross(right, down)
    return np.stack(
        [
            ImagePlane(
                origin_mm=np.array([-30.0, 12.0, 5.0])
                + number * (apart_mm * normal + shift_mm[0] * right + shift_mm[1] * down),
                right=right,
                down=down,
                column_spacing_mm=SPACING_MM,
                row_spacing_mm=SPACING_MM,
                columns=20,
                rows=16,
                frame_of_reference="1.2.3",
            ).patient_from_pixel
            for number in range(slices)
        ]
    )


def test_voxels_of_a_placed_stack_lie_where_simpleitk_puts_them() -> None:
    matrices = oblique_stack(5)
    image = sitk.Image([20, 16, 5], sitk.sitkUInt8)
    axes = matrices[0, :3, :2] / SPACING_MM
    image.SetDirection(np.column_stack([axes, np.cross(axes[:, 0], axes[:, 1])]).ravel().tolist())
    image.SetSpacing([SPACING_MM, SPACING_MM, 8.0])
    image.SetOrigin(matrices[0, :3, 3].tolist())
    voxels = np.array([[0, 0, 0], [4, 3, 17], [2, 15, 1]])
    grid = placed_grid(matrices, range(5), SPACING_MM)
    wanted = [image.TransformIndexToPhysicalPoint((int(c), int(r), int(s))) for s, r, c in voxels]
    assert grid.places(voxels) == pytest.approx(np.array(wanted), abs=1e-9)
    assert grid.slice_distance_mm == pytest.approx(8.0)
    assert grid.voxel_ml == pytest.approx(SPACING_MM**2 * 8.0 / 1000)
    corners = [image.TransformIndexToPhysicalPoint(one) for one in ((0, 0, 0), (19, 15, 4))]
    assert grid.diagonal(16, 20) == pytest.approx(np.linalg.norm(np.subtract(*corners)))


def test_the_distance_of_sheared_slices_is_along_their_normal_and_a_missing_slice_does_not_stretch_it() -> (
    None
):
    matrices = oblique_stack(6, 9.0, shift_mm=(3.0, -2.0))
    kept = [0, 2, 4, 5]
    assert placed_grid(matrices[kept], kept, SPACING_MM).slice_distance_mm == pytest.approx(9.0)


def test_one_slice_is_measured_in_mm_and_has_no_volume() -> None:
    for grid in (placed_grid(oblique_stack(1), [3], SPACING_MM), counted_grid([3], SPACING_MM)):
        assert (grid.unit, grid.voxel_ml) == ("mm", None)
        assert grid.diagonal(16, 20) == pytest.approx(SPACING_MM * math.hypot(15, 19))


def test_without_a_place_it_is_said_that_voxels_are_counted() -> None:
    unknown = counted_grid([0, 1, 3], SPACING_MM)
    assert (unknown.unit, unknown.voxel_ml) == ("voxels", None)
    assert unknown.places(np.array([[2, 5, 7]])).tolist() == [[7.0, 5.0, 3.0]]
    known = counted_grid([0, 1, 3], SPACING_MM, slice_distance_mm=10.0)
    assert known.unit == "mm"
    assert known.voxel_ml == pytest.approx(SPACING_MM**2 * 10.0 / 1000)
    assert known.places(np.array([[2, 5, 7]])) == pytest.approx(np.array([[7 * 1.4, 5 * 1.4, 30.0]]))


def test_a_lone_slice_whose_pixels_have_no_size_is_counted_in_voxels(
    pretext_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "s.zarr"
    shutil.copytree(pretext_store, store)
    row = np.arange(1)
    assert grid_of(StoreReader(store), row).unit == "voxels"  # one of several slices that lie nowhere
    zarr.open_array(store / "n_slices", mode="r+")[:1] = 1
    assert grid_of(StoreReader(store), row).unit == "mm"
    marker = store / "zarr.json"
    said = json.loads(marker.read_text())
    said["attributes"]["anatprep"]["without_pixel_size"] = 1
    marker.write_text(json.dumps(said))
    assert grid_of(StoreReader(store), row).unit == "voxels"


def test_a_store_tells_the_grid_of_its_rows(pretext_store: Path, tmp_path: Path) -> None:
    rows = np.arange(3)
    assert grid_of(StoreReader(pretext_store), rows).unit == "voxels"
    store = tmp_path / "s.zarr"
    shutil.copytree(pretext_store, store)
    zarr.open_array(store / "patient_from_pixel", mode="r+")[:3] = oblique_stack(3)
    grid = grid_of(StoreReader(store), rows)
    assert (grid.unit, grid.slice_distance_mm) == ("mm", pytest.approx(8.0))
