"""Folders of NIfTI images with label maps become stores of the same schema."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from dicomgeom.data_manifest import DataManifest, load_data_manifest
from dicomgeom.errors import NothingUsable, WrongUse
from pretext_targets.build import build
from pretext_targets.nifti_sets import plan_nifti
from pretext_targets.protocol import Protocol, load_protocol
from pretext_targets.reader import StoreReader
from pretext_targets.store import NOT_ANNOTATED
from pretext_targets.verify import verify_store
from tests.helpers.real import real_exam

SPACING_MM = 1.5
COLUMNS, ROWS, SLICES, PHASES = 20, 26, 4, 5


@pytest.fixture
def grid() -> Protocol:
    """The files' own pixels, so that images and labels can be compared one by one."""
    return load_protocol("cardiac-sax").with_changes(rows=ROWS, columns=COLUMNS, spacing_mm=SPACING_MM)


def save(path: Path, pixels: np.ndarray, affine: np.ndarray | None = None) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    where = np.diag([-SPACING_MM, -SPACING_MM, 10.0, 1.0]) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(pixels, where), path)
    return pixels


def image(seed: int, *more: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 999, (COLUMNS, ROWS, SLICES, *more)).astype(np.int16)


def drawn(seed: int, *more: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (COLUMNS, ROWS, SLICES, *more)).astype(np.uint8)


def stored(reader: StoreReader, example: int) -> np.ndarray:
    scale, offset = (reader.column(f"image_{one}")[example] for one in ("scale", "offset"))
    return reader.read("image", [example])[0] * scale + offset


def test_all_frames_of_a_cine_become_examples_and_few_are_annotated(grid: Protocol, tmp_path: Path) -> None:
    folder = tmp_path / "acdc" / "training" / "patient007"
    cine = save(folder / "patient007_4d.nii.gz", image(1, PHASES))
    labels = {}
    for frame in (1, 4):
        save(folder / f"patient007_frame{frame:02d}.nii.gz", cine[..., frame - 1])
        labels[frame - 1] = save(folder / f"patient007_frame{frame:02d}_gt.nii.gz", drawn(frame))
    acdc = load_data_manifest("acdc")
    summary = build(plan_nifti(tmp_path / "acdc", grid, acdc), tmp_path / "store")
    assert (summary.examples, summary.valid) == (SLICES * PHASES, SLICES * PHASES)
    assert verify_store(tmp_path / "store") == []
    reader = StoreReader(tmp_path / "store")
    assert reader.attributes.segment_names == ("background", "LV cavity", "LV myocardium", "RV cavity")
    new_code = np.array([0, 3, 2, 1])
    for example in range(len(reader)):
        place, phase = (int(reader.column(name)[example]) for name in ("slice_index", "phase_index"))
        np.testing.assert_allclose(stored(reader, example), cine[:, :, place, phase].T, atol=0.02)
        found = reader.read("segmentation", [example])[0]
        if phase in labels:
            np.testing.assert_array_equal(found, new_code[labels[phase][:, :, place].T])
        else:
            assert (found == NOT_ANNOTATED).all()
    # ACDC's base comes first; nothing is known of where a slice lies in the patient.
    np.testing.assert_allclose(reader.column("location"), reader.column("slice_index") / (SLICES - 1))
    for name in ("patient_from_pixel", "line", "box_centre"):
        assert np.isnan(reader.column(name)).all()
    assert (reader.column("split") == 0).all()


def test_a_label_map_of_four_axes_annotates_the_volumes_in_which_something_is_drawn(
    grid: Protocol, tmp_path: Path
) -> None:
    labels = drawn(3, PHASES)
    labels[..., [1, 2, 4]] = 0
    for number, part in enumerate(("Training/Labeled", "Testing")):
        code = f"A{number}B2C3"
        save(tmp_path / "mms" / part / code / f"{code}_sa.nii.gz", image(number, PHASES))
        save(tmp_path / "mms" / part / code / f"{code}_sa_gt.nii.gz", labels)
    build(plan_nifti(tmp_path / "mms", grid, load_data_manifest("mms")), tmp_path / "store")
    reader = StoreReader(tmp_path / "store")
    assert len(reader) == 2 * SLICES * PHASES
    annotated = (reader.read("segmentation", np.arange(len(reader))) != NOT_ANNOTATED).all(axis=(1, 2))
    np.testing.assert_array_equal(annotated, np.isin(reader.column("phase_index"), [0, 3]))
    assert set(reader.column("split")) == {0, 2}
    # Which end is the base is not known: only the location that is the same from either end.
    assert np.isnan(reader.column("location")).all()
    assert np.isfinite(reader.column("location_sine")).all()


def test_only_files_of_the_wanted_view_are_taken(grid: Protocol, tmp_path: Path) -> None:
    for view, seed in (("SA", 1), ("LA", 2)):
        stem = tmp_path / "set" / "001" / f"001_{view}_ED"
        save(stem.with_name(f"{stem.name}.nii.gz"), image(seed))
        save(stem.with_name(f"{stem.name}_gt.nii.gz"), drawn(seed))
    plan = plan_nifti(tmp_path / "set", grid, load_data_manifest("mms-2"))
    assert set(plan.examples["path"]) == {"001/001_SA_ED.nii.gz"}
    assert plan.left_out_counts == {"other-view": 2}


def trusted(base: str) -> DataManifest:
    """A data set whose affines are true."""
    acdc = load_data_manifest("acdc")
    assert acdc.labels is not None
    labels = acdc.labels.model_copy(update={"base": base})
    return acdc.model_copy(update={"geometry": "present", "labels": labels})


def test_an_affine_that_is_true_places_the_grid_and_the_last_slice_may_be_the_base(
    grid: Protocol, tmp_path: Path
) -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([SPACING_MM, SPACING_MM, 9.0])
    affine[:3, 3] = 30, -20, 55
    save(tmp_path / "set" / "patient001_frame01.nii.gz", image(1), affine)
    save(tmp_path / "set" / "patient001_frame01_gt.nii.gz", drawn(1), affine)
    build(plan_nifti(tmp_path / "set", grid, trusted("last")), tmp_path / "store")
    assert verify_store(tmp_path / "store") == []
    reader = StoreReader(tmp_path / "store")
    for example in range(SLICES):
        place = SLICES - 1 - int(reader.column("slice_index")[example])
        ras = affine @ np.array([3.0, 7.0, place, 1.0])
        lps = reader.column("patient_from_pixel")[example] @ np.array([3.0, 7.0, 0.0, 1.0])
        np.testing.assert_allclose(lps[:3], ras[:3] * [-1, -1, 1], atol=1e-4)
        assert reader.column("location")[example] == pytest.approx(1 - place / (SLICES - 1))


def test_the_distance_of_slices_without_a_place_is_kept(grid: Protocol, tmp_path: Path) -> None:
    for number, affine in ((1, None), (2, np.eye(4))):
        folder = tmp_path / "acdc" / "training" / f"patient{number:03d}"
        save(folder / f"patient{number:03d}_frame01.nii.gz", image(number), affine)
        save(folder / f"patient{number:03d}_frame01_gt.nii.gz", drawn(number), affine)
    build(plan_nifti(tmp_path / "acdc", grid, load_data_manifest("acdc")), tmp_path / "store")
    assert verify_store(tmp_path / "store") == []
    found = StoreReader(tmp_path / "store").column("slice_distance_mm")
    # An affine that is the identity has lost its spacing, so that nothing is known of the second patient.
    assert np.isfinite(found).sum() == np.isnan(found).sum() == SLICES
    assert set(found[np.isfinite(found)].tolist()) == {10.0}


def test_where_the_spacing_was_lost_pixels_are_taken_as_they_are(grid: Protocol, tmp_path: Path) -> None:
    own = save(tmp_path / "set" / "patient001_frame01.nii.gz", image(1), np.eye(4))
    save(tmp_path / "set" / "patient001_frame01_gt.nii.gz", drawn(1), np.eye(4))
    build(plan_nifti(tmp_path / "set", grid, trusted("first")), tmp_path / "store")
    reader = StoreReader(tmp_path / "store")
    np.testing.assert_allclose(stored(reader, 2), own[:, :, 2].T, atol=0.02)
    assert np.isnan(reader.column("patient_from_pixel")).all()


def test_files_without_a_pixel_size_are_counted_and_the_store_remembers_them(
    grid: Protocol, tmp_path: Path
) -> None:
    for number, affine in ((1, None), (2, np.eye(4))):
        for frame in ("frame01", "frame02"):
            save(tmp_path / "set" / f"patient00{number}_{frame}.nii.gz", image(number), affine)
        save(tmp_path / "set" / f"patient00{number}_frame01_gt.nii.gz", drawn(number), affine)
    summary = build(plan_nifti(tmp_path / "set", grid, load_data_manifest("acdc")), tmp_path / "store")
    assert (summary.without_pixel_size, summary.spacing_mm) == (2, SPACING_MM)
    assert not summary.some_skipped
    assert StoreReader(tmp_path / "store").attributes.without_pixel_size == 2


def test_files_that_do_not_fit_each_other_or_are_broken_are_left_out(grid: Protocol, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    save(folder / "patient001_frame01.nii.gz", image(1))
    save(folder / "patient001_frame01_gt.nii.gz", drawn(1))
    save(folder / "patient002_frame01.nii.gz", image(2))
    save(folder / "patient002_frame01_gt.nii.gz", drawn(2)[:, :-1])
    (folder / "patient003_frame01.nii.gz").write_bytes(b"no NIfTI")
    plan = plan_nifti(folder, grid, load_data_manifest("acdc"))
    assert len(plan.examples) == SLICES
    assert plan.left_out_counts == {"nifti-broken": 1, "sizes-differ": 1}


def test_a_label_map_between_the_codes_is_refused_whole_and_one_that_was_scaled_is_taken(
    grid: Protocol, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        save(tmp_path / "set" / f"patient00{number}_frame01.nii.gz", image(number))
    whole = drawn(1)
    scaled = whole.astype(np.float32) * np.float32(1.0001)
    interpolated, unknown = whole.astype(np.float32), whole.astype(np.float32)
    interpolated[3, 4, 2] = 1.5
    unknown[3, 4, 2] = np.nan
    for number, pixels in enumerate((scaled, interpolated, unknown), start=1):
        save(tmp_path / "set" / f"patient00{number}_frame01_gt.nii.gz", pixels)
    acdc = load_data_manifest("acdc")
    summary = build(plan_nifti(tmp_path / "set", grid, acdc), tmp_path / "store")
    assert summary.invalid_reasons == {"segmentation-not-whole-numbers": 2 * SLICES}
    reader = StoreReader(tmp_path / "store")
    names = reader.attributes.segment_names
    for place in range(SLICES):
        found = np.array(names)[reader.read("segmentation", [place])[0]]
        assert np.array_equal(
            found, np.array(["background", "RV cavity", "LV myocardium", "LV cavity"])[whole[:, :, place].T]
        )


def oblique(spacing_mm: float = SPACING_MM) -> np.ndarray:
    affine = np.eye(4)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    affine[:3, :3] = turn @ np.diag([spacing_mm, spacing_mm, 9.0])
    affine[:3, 3] = 30, -20, 55
    return affine


def reversed_along(pixels: np.ndarray, affine: np.ndarray, axes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The same volume in the patient, its voxels counted the other way round."""
    turned = np.eye(4)
    for axis in axes:
        turned[axis, axis], turned[axis, 3] = -1, pixels.shape[axis] - 1
    return np.ascontiguousarray(np.flip(pixels, axes)), affine @ turned


@pytest.mark.parametrize("geometry", ["present", "unknown"])
@pytest.mark.parametrize("axes", [[0], [1], [2], [0, 1], [0, 1, 2]])
def test_a_label_map_stored_the_other_way_round_is_turned_back(
    axes: list[int], geometry: str, grid: Protocol, tmp_path: Path
) -> None:
    manifest = trusted("first").model_copy(update={"geometry": geometry})
    path = tmp_path / "set" / "patient001_frame01.nii.gz"
    labels = drawn(1)
    save(path, image(1), oblique())
    save(path.with_name("patient001_frame01_gt.nii.gz"), *reversed_along(labels, oblique(), axes))
    plan = plan_nifti(tmp_path / "set", grid, manifest)
    build(plan, tmp_path / "store")
    reader = StoreReader(tmp_path / "store")
    new_code = np.array([0, 3, 2, 1])
    for example in range(SLICES):
        place = int(reader.column("slice_index")[example])
        found = reader.read("segmentation", [example])[0]
        np.testing.assert_array_equal(found, new_code[labels[:, :, place].T])
    save(path.with_name("patient001_frame01_gt.nii.gz"), labels, oblique())
    assert plan_nifti(tmp_path / "set", grid, manifest).sha256 != plan.sha256


@pytest.mark.parametrize("of", ["patient002_frame01_gt", "patient002_frame02"])
@pytest.mark.parametrize("how", ["moved", "larger", "turned", "mirrored"])
def test_files_of_one_subject_that_lie_elsewhere_are_left_out_where_affines_are_believed(
    how: str, of: str, grid: Protocol, tmp_path: Path
) -> None:
    other = oblique(SPACING_MM * 1.1 if how == "larger" else SPACING_MM)
    if how == "moved":
        other[:3, 3] += 2 * other[:3, 0]
    if how == "turned":
        other[:3, [0, 1]] = other[:3, [1, 0]]
    if how == "mirrored":  # about its first voxel, not in place
        other[:3, 0] *= -1
    folder = tmp_path / "set"
    for patient in (1, 2):
        for name in (f"patient00{patient}_frame01", f"patient00{patient}_frame02"):
            save(folder / f"{name}.nii.gz", image(1), other if name == of else oblique())
            affine = other if f"{name}_gt" == of else oblique()
            save(folder / f"{name}_gt.nii.gz", drawn(1), affine)
    plan = plan_nifti(folder, grid, trusted("first"))
    assert plan.left_out_counts == {"affines-differ": 2}
    assert set(plan.examples["path"].str.slice(0, 10)) == {"patient001"}
    # Of a set whose affines nobody vouches for they say nothing.
    unsure = plan_nifti(folder, grid, load_data_manifest("acdc"))
    assert unsure.left_out_counts == {}
    assert len(unsure.examples) == 4 * SLICES


def test_rounded_and_lost_affines_are_no_difference(grid: Protocol, tmp_path: Path) -> None:
    rounded = np.round(oblique(), 3)
    for number, affine in enumerate((rounded, np.eye(4)), start=1):
        save(tmp_path / f"patient00{number}_frame01.nii.gz", image(1), oblique())
        save(tmp_path / f"patient00{number}_frame01_gt.nii.gz", drawn(1), affine)
    plan = plan_nifti(tmp_path, grid, trusted("first"))
    assert plan.left_out_counts == {}
    assert plan.examples["segmentation"].null_count() == 0


def test_label_maps_that_no_example_has_are_told(grid: Protocol, tmp_path: Path) -> None:
    save(tmp_path / "patient001_4d.nii.gz", image(1, PHASES))
    for frame in (1, 3, PHASES + 1):  # the cine has no such frame as the last
        save(tmp_path / f"patient001_frame{frame:02d}_gt.nii.gz", drawn(frame))
    save(tmp_path / "patient002_frame01_gt.nii.gz", drawn(1))
    acdc = load_data_manifest("acdc")
    assert plan_nifti(tmp_path, grid, acdc).annotations_unused == {"label-map-without-image": 2}
    first = plan_nifti(tmp_path, grid.with_changes(frames=1), acdc)
    told = {"frames-not-chosen": SLICES, "label-map-without-image": 2}
    assert first.annotations_unused == told
    assert build(first, tmp_path / "store").annotations_unused == told


def test_folders_without_what_is_needed_say_so(grid: Protocol, tmp_path: Path) -> None:
    acdc = load_data_manifest("acdc")
    with pytest.raises(WrongUse, match="is no folder"):
        plan_nifti(tmp_path / "gone", grid, acdc)
    with pytest.raises(NothingUsable, match="no image of view SAX"):
        plan_nifti(tmp_path, grid, acdc)
    save(tmp_path / "patient001_frame01.nii.gz", image(1))
    with pytest.raises(NothingUsable, match="no label map"):
        plan_nifti(tmp_path, grid, acdc)
    with pytest.raises(WrongUse, match="names no codes"):
        plan_nifti(tmp_path, grid, load_data_manifest("mrnet"))


@pytest.mark.real
def test_real_hearts_grow_smaller_from_the_base_to_the_apex(tmp_path: Path) -> None:
    whole = real_exam("cardiac-acdc")
    folder = tmp_path / "some"
    folder.mkdir()
    for path in sorted(whole.glob("patient00[1-4]_*")):
        (folder / path.name).symlink_to(path)
    protocol = load_protocol("cardiac-sax")
    summary = build(plan_nifti(folder, protocol, load_data_manifest("acdc")), tmp_path / "store")
    assert summary.invalid == 0
    assert verify_store(tmp_path / "store") == []
    reader = StoreReader(tmp_path / "store")
    heart = np.isin(reader.read("segmentation", np.arange(len(reader))), [1, 2]).sum(axis=(1, 2))
    assert np.corrcoef(reader.column("location"), heart)[0, 1] < -0.5
    assert len({key.tobytes() for key in reader.column("patient_key")}) == 4
