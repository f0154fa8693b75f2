"""What must hold on real exams; each test skips, saying so, where the data is absent."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import polars as pl
import pydicom
import pytest
from numpy.typing import NDArray

from dicomgeom.catalogue import Catalogue, open_catalogue, verify_catalogue
from dicomgeom.index import index
from dicomgeom.pixels import read_image
from dicomgeom.plane import ImagePlane
from dicomgeom.row_planes import plane_of
from tests.helpers.real import real_exam

pytestmark = pytest.mark.real

BIV_ME_VIEWS = {"Se6": "4CH", "Se7": "3CH", "Se8": "2CH", "Se9": "RV2CH", "Se10": "RVOT"} | dict.fromkeys(
    ("Se1", "Se2", "Se3", "Se4", "Se5", "Se11"), "SAX"
)
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("catalogues")


def catalogue_of(name: str, catalogues: Path) -> Catalogue:
    source = real_exam(name)
    target = catalogues / name
    if not target.exists():
        index([source], target)
    return open_catalogue(target)


def view_by_series_folder(catalogue: Catalogue) -> dict[str, str]:
    placed = catalogue.images.join(catalogue.stacks.select("stack_id", "view"), on="stack_id")
    return {Path(path).parent.name: view for path, view in placed.select("path", "view").iter_rows()}


def test_six_one_slice_series_of_a_cardiac_exam_are_one_short_axis_stack(catalogues: Path) -> None:
    stacks = catalogue_of("cardiac-biv-me", catalogues).stacks
    sax = stacks.filter(pl.col("view") == "SAX")
    assert sax.select("n_slices", "n_phases", "kind", "apex_known", "regular").rows() == [
        (6, 25, "cine", True, True)
    ]
    assert sax["spacing_mm"].item() == pytest.approx(17.7, abs=0.05)


def test_the_views_of_a_cardiac_exam_are_right_although_two_descriptions_are_wrong(catalogues: Path) -> None:
    assert view_by_series_folder(catalogue_of("cardiac-biv-me", catalogues)) == BIV_ME_VIEWS


def test_slices_of_the_short_axis_stack_run_from_the_basal_series_to_the_apical_one(catalogues: Path) -> None:
    images = catalogue_of("cardiac-biv-me", catalogues).images.filter(pl.col("slice_index").is_not_null())
    places = {(i, Path(path).parent.name) for path, i in images.select("path", "slice_index").iter_rows()}
    order = [name for _, name in sorted(places) if BIV_ME_VIEWS[name] == "SAX"]
    assert order == ["Se11", "Se1", "Se2", "Se3", "Se4", "Se5"]


def test_without_any_description_the_main_views_are_still_right(tmp_path: Path) -> None:
    source = real_exam("cardiac-biv-me")
    for path in source.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.SeriesDescription = dataset.ProtocolName = ""
        blank = tmp_path / "export" / path.relative_to(source)
        blank.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(blank)
    index([tmp_path / "export"], tmp_path / "catalogue")
    assert view_by_series_folder(open_catalogue(tmp_path / "catalogue")) == BIV_ME_VIEWS


def test_a_knee_exam_has_two_sagittal_contrasts_and_its_localizers(catalogues: Path) -> None:
    catalogue = catalogue_of("knee-flothesof", catalogues)
    assert catalogue.files["status"].value_counts(sort=True).row(0) == ("ok", 112)
    diagnostic = catalogue.stacks.filter(pl.col("kind") != "localizer")
    found = sorted(diagnostic.select("view", "fat_suppressed", "n_slices").rows())
    assert found == [("AX", True, 28), ("COR", True, 22), ("SAG", False, 24), ("SAG", True, 24)]
    assert catalogue.stacks.filter(pl.col("kind") == "localizer")["n_slices"].sum() == 14
    assert (catalogue.images["role"] != "derived").all()


def test_scout_and_short_axis_are_told_apart_and_frames_seen_through_with_a_reason(catalogues: Path) -> None:
    catalogue = catalogue_of("cardiac-sunnybrook", catalogues)
    series = catalogue.images.group_by("series_instance_uid").agg(pl.col("stack_id").n_unique())
    assert series["stack_id"].to_list() == [4, 4]  # a stack and a scout of three planes share one UID
    sax = catalogue.stacks.filter(pl.col("kind") == "cine")
    assert sorted(sax.select("view", "n_slices", "n_phases").rows()) == [("SAX", 10, 20), ("SAX", 12, 20)]
    assert catalogue.stacks.filter(pl.col("kind") == "localizer").height == 6
    assert catalogue.stacks["frame_assumed"].all()
    assert set(catalogue.stacks["frame_reason"]) == {"frame-for-every-file"}


@pytest.mark.parametrize(
    "name",
    ["cardiac-biv-me", "knee-flothesof", "cardiac-sunnybrook", "qa-canon-oblique", "qa-enhanced", "."],
)
def test_every_file_is_accounted_for_and_the_catalogue_is_sound(name: str, catalogues: Path) -> None:
    source = real_exam(name)
    target = catalogues / (name if name != "." else "all")
    index([source], target)
    files = open_catalogue(target).files
    assert len(files) == sum(1 for path in source.rglob("*") if path.is_file())
    assert files.filter((pl.col("status") != "ok") & (pl.col("reason") == "")).height == 0
    assert verify_catalogue(target) == []


def test_every_real_dicom_file_gives_images_and_all_others_say_what_they_are(catalogues: Path) -> None:
    real_exam(".")
    if not (catalogues / "all").exists():
        index([real_exam(".")], catalogues / "all")
    catalogue = open_catalogue(catalogues / "all")
    useless = set(catalogue.files.filter(pl.col("status") != "ok")["reason"])
    assert useless <= {"not-dicom", "dicomdir"}  # contours, volumes, licences; the index of a knee exam
    placed = catalogue.images.group_by("root", "path").len()
    assert len(placed) == catalogue.files.filter(pl.col("status") == "ok").height
    assert catalogue.images.filter(pl.col("stack_id").is_null()).height == 0


def test_tiles_of_real_mosaics_and_grids_are_regular_stacks(catalogues: Path) -> None:
    for name, slices, files, spacing_mm in (
        ("qa-transfer-syntaxes", 35, 9, 3.6),
        ("qa-uih-grid", 20, 6, 4.2),
    ):
        (stack,) = catalogue_of(name, catalogues).stacks.rows(named=True)
        assert (stack["n_slices"], stack["n_phases"], stack["regular"]) == (slices, files, True)
        assert stack["spacing_mm"] == pytest.approx(spacing_mm, abs=1e-3)


def test_contour_points_in_patient_coordinates_lie_on_the_planes(catalogues: Path) -> None:
    catalogue = catalogue_of("cardiac-biv-me", catalogues)
    planes = [plane_of(row) for row in catalogue.images.unique("origin_mm").iter_rows(named=True)]
    folder = real_exam("cardiac-biv-me") / "example" / "guidepoints"
    file = next(path for path in sorted(folder.rglob("*")) if path.is_file())
    table = [line.split() for line in file.read_text().splitlines()]
    points = np.array([[float(value) for value in row[:3]] for row in table if _is_number(row[:3])])
    assert len(points) > 100
    nearest = np.min([np.abs(plane.distance_mm(points)) for plane in planes], axis=0)
    assert nearest.max() < 1e-3


def _is_number(words: list[str]) -> bool:
    try:
        return len([float(word) for word in words]) == 3
    except ValueError:
        return False


def affine_of_stack(catalogue: Catalogue, stack_id: str) -> NDArray[np.float64]:
    """LPS affine (column, row, slice) of a stack, from its first and last planes."""
    images = catalogue.images.filter(pl.col("stack_id") == stack_id).unique("slice_index").sort("slice_index")
    first, last = plane_of(images.row(0, named=True)), plane_of(images.row(-1, named=True))
    affine = first.patient_from_pixel.copy()
    affine[:3, 2] = (last.origin_mm - first.origin_mm) / max(1, len(images) - 1)
    return affine


def same_grid(ours: NDArray[np.float64], reference: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """Largest distance, mm, between corners of the volume under both affines (axes may be reversed)."""

    def corners(affine: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = [(0, size - 1) for size in shape[:3]]
        grid = np.array(np.meshgrid(*steps)).reshape(3, -1)
        return (affine[:3, :3] @ grid + affine[:3, 3:]).T

    distance = np.linalg.norm(corners(ours)[:, None] - corners(reference)[None], axis=-1)
    return float(distance.min(axis=1).max())


def test_planes_of_a_double_oblique_volume_equal_the_reference_affine(catalogues: Path) -> None:
    catalogue = catalogue_of("qa-canon-oblique", catalogues)
    reference = json.loads((real_exam("qa-canon-oblique") / "reference-affine.json").read_text())
    affine = LPS_FROM_RAS @ np.array(reference["affine"])
    stack = catalogue.stacks.sort("n_slices").row(-1, named=True)
    shape = tuple(reference["shape"][:3])
    assert same_grid(affine_of_stack(catalogue, stack["stack_id"]), affine, shape) < 1e-3


@pytest.mark.parametrize(
    ("part", "reference", "kinds"),
    [
        ("Philips", "Philips_WIP_B0_NS_801_e1.nii", ["map", "static"]),
        ("Philips", "Philips_WIP_B0_NS_801_e2_fieldmaphz.nii", ["map", "static"]),
        ("Siemens", "Siemens_REST1_w_SMS_PF7-8_6.nii", ["dynamic"]),
    ],
)
def test_planes_of_enhanced_files_equal_the_reference_affine(
    part: str, reference: str, kinds: list[str], tmp_path: Path
) -> None:
    source = real_exam("qa-enhanced")
    index([source / "In" / part], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    image = nibabel.load(source / "Ref" / reference)
    assert sorted(catalogue.stacks["kind"]) == kinds
    for stack in catalogue.stacks.iter_rows(named=True):
        ours = affine_of_stack(catalogue, stack["stack_id"])
        assert stack["n_slices"] == image.shape[2]
        assert same_grid(ours, LPS_FROM_RAS @ image.affine, image.shape) < 1e-3


def image_in_volume(
    plane: ImagePlane, volume: NDArray[np.float64], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The slice of a volume (column, row, slice in any direction) that lies on a plane, as an image."""
    ends = plane.to_patient([(0, 0), (plane.columns - 1, plane.rows - 1)])
    voxels = np.rint((ends - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).astype(int)
    columns, rows = (1 if end >= start else -1 for start, end in zip(*voxels[:, :2], strict=True))
    return np.asarray(volume[::columns, ::rows, voxels[0, 2]].T)


@pytest.mark.parametrize(
    ("part", "reference", "kind"),
    [
        ("Philips", "Philips_WIP_B0_NS_801_e2_fieldmaphz.nii", "map"),
        ("Siemens", "Siemens_REST1_w_SMS_PF7-8_6.nii", "dynamic"),
    ],
)
def test_pixels_of_enhanced_frames_are_those_of_the_reference_at_their_place_and_time(
    part: str, reference: str, kind: str, tmp_path: Path
) -> None:
    source = real_exam("qa-enhanced")
    index([source / "In" / part], tmp_path / "catalogue")
    image = nibabel.load(source / "Ref" / reference)
    voxels = image.get_fdata().reshape(*image.shape[:3], -1)
    frames = open_catalogue(tmp_path / "catalogue").images.filter(pl.col("kind") == kind)
    assert len(frames) == voxels.shape[2] * voxels.shape[3]
    for row in frames.iter_rows(named=True):
        ours = read_image(row["root"], row["path"], row["frame"])
        theirs = image_in_volume(plane_of(row), voxels[..., row["phase_index"]], LPS_FROM_RAS @ image.affine)
        np.testing.assert_allclose(ours, theirs, atol=0.01)


def test_one_image_in_nine_transfer_syntaxes_decodes_to_equal_pixels() -> None:
    folder = real_exam("qa-transfer-syntaxes") / "In"
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(paths) == 9
    for tile in (0, 17, 34):
        images = [read_image(str(folder), str(path.relative_to(folder)), tile) for path in paths]
        assert images[0].shape == (64, 64)
        assert images[0].std() > 0
        for image in images[1:]:
            np.testing.assert_array_equal(image, images[0])
