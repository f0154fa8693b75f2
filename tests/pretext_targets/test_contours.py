"""Contour files become annotations of the images they name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import NothingUsable, UnusableFile, WrongUse
from dicomgeom.index import index
from dicomgeom.pixels import read_image
from pretext_targets.build import build, plan_build
from pretext_targets.contours import SEGMENT_NAMES, ContourAnnotation, index_contours, inside, read_contour
from pretext_targets.protocol import Protocol, load_protocol
from pretext_targets.reader import StoreReader
from pretext_targets.verify import verify_store
from tests.helpers.real import real_exam


def write(path: Path, points: list[tuple[float, float]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{x:.2f} {y:.2f} \n" for x, y in points))
    return str(path)


def square(low: float, high: float) -> list[tuple[float, float]]:
    return [(low, low), (high, low), (high, high), (low, high)]


def test_a_pixel_is_inside_when_its_centre_is_or_lies_on_the_edge() -> None:
    found = inside(np.array([(2, 1), (5, 1), (5, 3.5), (2, 3.5)]), 6, 8)
    expected = np.zeros((6, 8), dtype=bool)
    expected[1:4, 2:6] = True
    np.testing.assert_array_equal(found, expected)


def test_the_area_of_a_circle_is_that_of_its_pixels_wherever_it_lies() -> None:
    angle = np.linspace(0, 2 * np.pi, 400)
    for shift in (0.0, 0.25, 0.5):
        points = 30 + shift + 20 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        assert inside(points, 64, 64).sum() == pytest.approx(np.pi * 400, rel=0.01)


def test_a_contour_that_crosses_itself_is_its_area() -> None:
    bow = np.array([(0, 0), (6, 6), (6, 0), (0, 6)], dtype=float)
    assert 0 < inside(bow, 7, 7).sum() < 49


def test_between_both_contours_lies_muscle(tmp_path: Path) -> None:
    endo, epi = write(tmp_path / "i", square(4, 6)), write(tmp_path / "o", square(2, 8))
    drawn = ContourAnnotation(endo, epi, 11, 12, first_pixel=0).read(SEGMENT_NAMES)
    assert [int((drawn == code).sum()) for code in range(3)] == [11 * 12 - 49, 9, 40]
    assert drawn[4, 4] == 1
    counted_from_one = ContourAnnotation(endo, epi, 11, 12).read(SEGMENT_NAMES)
    np.testing.assert_array_equal(counted_from_one[:-1, :-1], drawn[1:, 1:])


def test_what_one_contour_alone_leaves_open_is_not_annotated(tmp_path: Path) -> None:
    only_inner = ContourAnnotation(write(tmp_path / "i", square(4, 6)), "", 11, 12).read(SEGMENT_NAMES)
    assert (only_inner == 1).sum() == 9
    assert (only_inner == 255).sum() == 11 * 12 - 9
    only_outer = ContourAnnotation("", write(tmp_path / "o", square(2, 8)), 11, 12).read(SEGMENT_NAMES)
    assert (only_outer == 0).sum() == 11 * 12 - 49
    assert (only_outer == 255).sum() == 49


@pytest.mark.parametrize("text", ["", "1 2\n3 4\n", "1 2\n3\n4 5\n", "a b\n", "1 2\n3 nan\n4 5\n"])
def test_a_file_that_is_no_polygon_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text(text)
    with pytest.raises(UnusableFile, match="contour-broken"):
        read_contour(str(tmp_path / "c.txt"))


def test_contours_reach_the_images_whose_number_they_have(
    export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    for patient in ("PID-4711", "PID-4712"):
        numbered(tmp_path / "set", export / patient)
    index([tmp_path / "set"], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    place = tmp_path / "contours" / "PID-4711" / "contours"
    write(place / "i" / "IM-0001-0005-icontour-manual.txt", square(20, 24))
    write(place / "o" / "IM-0001-0005-ocontour-manual.txt", square(16, 28))
    write(place / "i" / "IM-0001-0099-icontour-manual.txt", square(20, 24))
    # Of which patient this one is cannot be told.
    write(tmp_path / "contours" / "cinesax" / "i" / "IM-0001-0003-icontour-manual.txt", square(20, 24))
    found = index_contours(tmp_path / "contours", catalogue)
    assert (len(found), found.unused) == (1, {"not-in-catalogue": 1, "several-images": 1})
    plan = plan_build(catalogue, protocol, segmentations=found)
    build(plan, tmp_path / "store.zarr")
    reader = StoreReader(tmp_path / "store.zarr")
    drawn = reader.read("segmentation", np.arange(len(reader)))
    (annotated,) = np.flatnonzero((drawn != 255).all(axis=(1, 2)))
    # The sixth image is the third phase of the second slice.
    assert reader.column("phase_index")[annotated] == 2
    assert reader.column("slice_index")[annotated] == 1
    assert set(np.unique(drawn[annotated])) == {0, 1, 2}


def numbered(folder: Path, patient: Path) -> Path:
    """A patient's short-axis images as 0.dcm, 1.dcm, ... in a folder of their own."""
    (folder / patient.name / "cinesax").mkdir(parents=True)
    for number, path in enumerate(sorted((patient / "0").iterdir())):
        (folder / patient.name / "cinesax" / f"{number}.dcm").symlink_to(path)
    return folder / patient.name


def contour(folder: Path, patient: str, number: int, kind: str = "i") -> Path:
    name = f"IM-0001-{number:04d}-{kind}contour-manual.txt"
    return Path(write(folder / patient / "contours" / kind / name, square(20, 24)))


def test_roots_with_equal_inner_paths_keep_their_own_contours(
    export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    roots = [numbered(tmp_path / "set", export / patient) for patient in ("PID-4711", "PID-4712")]
    index(roots, tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    given = {"PID-4711": {1, 5}, "PID-4712": {1, 3, 7}}
    for patient, numbers in given.items():
        for number in numbers:
            contour(tmp_path / "drawn", patient, number)
    found = index_contours(tmp_path / "drawn", catalogue)
    assert len(found) == 5
    examples = plan_build(catalogue, protocol, segmentations=found).examples
    annotated = examples.filter(examples["segmentation"].is_not_null())
    reached = {(Path(row["root"]).name, int(Path(row["path"]).stem)) for row in annotated.to_dicts()}
    assert reached == {(patient, number) for patient, numbers in given.items() for number in numbers}
    for row in annotated.iter_rows(named=True):
        assert Path(row["root"]).name in found.annotation(row["segmentation"], row).endocardium


@pytest.mark.parametrize("indexed", [("PID-4711",), ("PID-4711", "PID-4712")])
def test_contours_of_a_patient_who_was_not_indexed_are_of_nobody(
    indexed: tuple[str, ...], export: Path, tmp_path: Path
) -> None:
    for patient in indexed:
        numbered(tmp_path / "set", export / patient)
    index([tmp_path / "set"], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    # The folder is called as the images' is, so that by its name each of them could be meant.
    contour(tmp_path / "drawn" / "set", "PID-9999", 5)
    with pytest.raises(NothingUsable, match="none of the 1 images"):
        index_contours(tmp_path / "drawn" / "set", catalogue)
    contour(tmp_path / "drawn" / "set", "PID-4711", 7)
    found = index_contours(tmp_path / "drawn" / "set", catalogue)
    assert [Path(one.endocardium).parts[-4] for one in found.drawn] == ["PID-4711"]
    assert found.unused == {"not-in-catalogue": 1}
    # The patient's own folder may be given as well.
    alone = index_contours(tmp_path / "drawn" / "set" / "PID-4711", catalogue)
    assert (len(alone), alone.unused) == (1, {})


def test_a_folder_that_every_patient_has_names_none(export: Path, tmp_path: Path) -> None:
    numbered(tmp_path / "set", export / "PID-4711")
    index([tmp_path / "set"], tmp_path / "catalogue")
    for patient in ("PID-4711", "PID-9999"):
        place = tmp_path / "drawn" / patient / "cinesax" / "i"
        write(place / "IM-0001-0005-icontour-manual.txt", square(20, 24))
    found = index_contours(tmp_path / "drawn", open_catalogue(tmp_path / "catalogue"))
    assert [Path(one.endocardium).parts[-4] for one in found.drawn] == ["PID-4711"]
    assert found.unused == {"several-images": 1}


def test_a_number_that_a_patient_has_no_image_of_is_not_looked_for_elsewhere(
    export: Path, tmp_path: Path
) -> None:
    numbered(tmp_path / "set", export / "PID-4711")
    (tmp_path / "set" / "PID-4711" / "cinesax" / "5.dcm").rename(tmp_path / "set" / "5.dcm")
    index([tmp_path / "set"], tmp_path / "catalogue")
    contour(tmp_path / "set2" / "set", "PID-4711", 5)
    contour(tmp_path / "set2" / "set", "PID-4711", 6)
    found = index_contours(tmp_path / "set2", open_catalogue(tmp_path / "catalogue"))
    assert (len(found), found.unused) == (1, {"not-in-catalogue": 1})


def test_of_contours_drawn_twice_one_is_taken_and_told(export: Path, tmp_path: Path) -> None:
    numbered(tmp_path / "set", export / "PID-4711")
    index([tmp_path / "set"], tmp_path / "catalogue")
    contour(tmp_path / "drawn", "PID-4711", 5)
    again = tmp_path / "drawn" / "PID-4711" / "contours" / "j" / "IM-0002-0005-icontour-manual.txt"
    write(again, square(10, 30))
    found = index_contours(tmp_path / "drawn", open_catalogue(tmp_path / "catalogue"))
    assert (len(found), found.unused) == (1, {"segment-drawn-twice": 1})


def test_folders_without_contours_of_the_catalogue_say_so(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="is no folder"):
        index_contours(tmp_path / "gone", catalogue)
    with pytest.raises(NothingUsable, match="holds no contour"):
        index_contours(tmp_path, catalogue)
    write(tmp_path / "other" / "c" / "i" / "IM-0001-0002-icontour-manual.txt", square(2, 4))
    with pytest.raises(NothingUsable, match="none of the 1 images"):
        index_contours(tmp_path, catalogue)


@pytest.mark.real
def test_all_contours_of_two_real_patients_are_found_and_lie_on_blood(tmp_path: Path) -> None:
    folder = real_exam("cardiac-sunnybrook")
    index([folder], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    found = index_contours(folder, catalogue)
    assert (len(found), found.unused) == (38, {})
    protocol = load_protocol("cardiac-sax").with_changes(frames="all", rows=160, columns=160, spacing_mm=1.4)
    build(plan_build(catalogue, protocol, segmentations=found), tmp_path / "store")
    assert verify_store(tmp_path / "store", recompute=4) == []
    reader = StoreReader(tmp_path / "store")
    drawn = reader.read("segmentation", np.arange(len(reader)))
    images = reader.read("image", np.arange(len(reader)))
    with_muscle = np.flatnonzero((drawn == 2).any(axis=(1, 2)))
    assert with_muscle.size == 19
    brighter = [
        images[one][drawn[one] == 1].mean() > images[one][drawn[one] == 2].mean() for one in with_muscle
    ]
    assert np.mean(brighter) > 0.9


def closed(points: np.ndarray, count: int = 200) -> np.ndarray:
    """A contour as so many points, evenly spread."""
    ring = np.vstack([points, points[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(ring, axis=0), axis=1))])
    places = np.linspace(0, along[-1], count, endpoint=False)
    return np.stack([np.interp(places, along, ring[:, axis]) for axis in (0, 1)], axis=1)


def brightening_inward(image: np.ndarray, points: np.ndarray) -> float:
    """Mean slope of an image across a contour, toward its inside; points in pixels from 0."""
    ring = closed(points)
    tangent = np.roll(ring, -3, axis=0) - np.roll(ring, 3, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / np.linalg.norm(tangent, axis=1)[:, None]
    inward = normal if ((ring.mean(axis=0) - ring) * normal).sum() > 0 else -normal
    slopes = [ndimage.gaussian_filter(image, 1.0, order=order) for order in ((0, 1), (1, 0))]
    across, along = (ndimage.map_coordinates(one, ring[:, ::-1].T, order=1) for one in slopes)
    return float((across * inward[:, 0] + along * inward[:, 1]).mean())


def test_the_slope_across_a_contour_is_steepest_where_the_edge_is() -> None:
    y, x = np.mgrid[:60, :64]
    disc = (np.hypot(x - 30.3, y - 28.6) < 12).astype(float)
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    circle = np.stack([30.3 + 12 * np.cos(angle), 28.6 + 12 * np.sin(angle)], axis=1)
    found = [brightening_inward(disc, circle + shift) for shift in (-2, -1, 0, 1, 2)]
    assert int(np.argmax(found)) == 2
    assert brightening_inward(1 - disc, circle) == pytest.approx(-found[2])


@pytest.mark.real
def test_two_real_patients_indexed_one_by_one_keep_their_own_contours(tmp_path: Path) -> None:
    folder = real_exam("cardiac-sunnybrook")
    index([folder / "SCD0000101", folder / "SCD0000301"], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    found = index_contours(folder, catalogue)
    examples = plan_build(catalogue, load_protocol("cardiac-sax"), segmentations=found).examples
    annotated = examples.filter(examples["segmentation"].is_not_null())
    counts = dict(annotated.group_by("root").len().iter_rows())
    assert {Path(root).name: count for root, count in counts.items()} == {"SCD0000101": 18, "SCD0000301": 20}


@pytest.mark.real
def test_on_two_real_patients_contours_that_count_from_1_lie_on_the_edge_of_the_blood() -> None:
    folder = real_exam("cardiac-sunnybrook")
    for patient in ("SCD0000101", "SCD0000301"):
        slopes: dict[int, list[float]] = {0: [], 1: []}
        for path in sorted((folder / patient / "contours" / "i-contours").iterdir()):
            number = int(path.name.split("-")[2])
            image = read_image(str(folder), f"{patient}/cinesax/{number}.dcm", 0).astype(np.float64)
            for first_pixel, found in slopes.items():
                found.append(brightening_inward(image, read_contour(str(path)) - first_pixel))
        assert len(slopes[0]) >= 18
        assert np.mean(slopes[1]) > np.mean(slopes[0])
