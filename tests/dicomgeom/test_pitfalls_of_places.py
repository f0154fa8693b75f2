"""What real exports contain: frames, identities, slices, phases and planes (see test_pitfalls.py)."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from dicomgeom.errors import NothingUsable
from tests.helpers.dicom_files import axial, mr_dataset, uid, write_mr
from tests.helpers.exports import catalogue_of, sagittal, series, write_stack
from tests.helpers.special_files import save

# Frames of reference


def test_a_one_file_series_among_series_with_a_frame_for_every_file_is_seen_through_too(
    tmp_path: Path,
) -> None:
    for number in range(4):
        write_mr(tmp_path / "export" / f"a{number}", axial(5.0 * number, frame=uid(4, number)), **series(1))
    write_mr(tmp_path / "export" / "b", sagittal(frame=uid(4, 9)), **series(2))
    catalogue = catalogue_of(tmp_path)
    assert catalogue.stacks["frame_reason"].to_list() == ["frame-for-every-file"] * 2
    assert catalogue.lines["frames_assumed"].all()
    assert len(catalogue.lines) == 4 + 1


def test_images_of_two_days_without_a_frame_of_reference_never_cut_each_other(tmp_path: Path) -> None:
    for name, plane, day in (("a", axial(frame=""), "20240704"), ("b", sagittal(frame=""), "20240705")):
        write_mr(tmp_path / "export" / name, plane, **series(ord(name)), AcquisitionDateTime=f"{day}101112")
    catalogue = catalogue_of(tmp_path)
    assert catalogue.stacks["reason"].to_list() == ["no-frame-stated"] * 2
    assert len(catalogue.lines) == 0


def test_planes_of_an_assumed_frame_that_do_not_meet_inside_both_images_make_no_line(tmp_path: Path) -> None:
    write_mr(tmp_path / "export" / "a", axial(frame=""), **series(1))
    write_mr(tmp_path / "export" / "b", sagittal(x_mm=400.0, frame=""), **series(2))
    assert len(catalogue_of(tmp_path).lines) == 0


def test_no_line_leads_across_a_change_of_the_frame_of_reference(tmp_path: Path) -> None:
    write_mr(tmp_path / "export" / "a", axial(), **series(1))
    write_mr(tmp_path / "export" / "b", sagittal(), **series(2))
    write_mr(tmp_path / "export" / "c", sagittal(2.0, frame=uid(4, 99)), **series(3))
    catalogue = catalogue_of(tmp_path)
    assert len(catalogue.stacks) == 3
    frames = dict(catalogue.stacks.select("stack_id", "frame_of_reference").iter_rows())
    pairs = catalogue.lines.select("stack_id", "partner_stack_id").rows()
    assert len(pairs) == 2
    assert all(frames[one] == frames[other] for one, other in pairs)


# Identity


def test_images_of_other_places_that_share_one_uid_are_all_used_and_it_is_said(tmp_path: Path) -> None:
    planes = [axial(5.0 * n) for n in range(4)]
    write_stack(tmp_path / "export", planes, SOPInstanceUID=uid(1, 0))
    (stack,) = catalogue_of(tmp_path).stacks.rows(named=True)
    assert stack["n_slices"] == 4
    assert "uid-shared" in stack["reason"]


def test_one_study_over_several_folders_and_archives_is_one(tmp_path: Path) -> None:
    for number in range(4):
        write_mr(tmp_path / "export" / f"disc{number}" / "IM1", axial(5.0 * number), **series(number))
    with zipfile.ZipFile(tmp_path / "export" / "more.zip", "w") as archive:
        archive.write(write_mr(tmp_path / "IM1", axial(20.0), **series(4)), "disc4/IM1")
    (stack,) = catalogue_of(tmp_path).stacks.rows(named=True)
    assert (stack["n_slices"], stack["reason"]) == (5, "joined")


DAY: Final = {"AcquisitionDateTime": "20240704101112"}


def test_volumes_with_studies_of_their_own_are_one_examination_with_a_warning(tmp_path: Path) -> None:
    write_mr(tmp_path / "export" / "a", axial(), StudyInstanceUID=uid(2, 1), **series(1), **DAY)
    write_mr(tmp_path / "export" / "b", sagittal(), StudyInstanceUID=uid(2, 2), **series(2), **DAY)
    catalogue = catalogue_of(tmp_path)
    assert len(catalogue.lines) == 2
    assert catalogue.stacks["reason"].to_list() == ["studies-merged"] * 2
    assert catalogue.stacks["study_instance_uid"].to_list() == [uid(2, 1)] * 2
    assert catalogue.images["study_instance_uid"].n_unique() == 2  # nothing is rewritten


@pytest.mark.parametrize("other", [{"AcquisitionDateTime": "20240705101112"}, {**DAY, "PatientID": "OTHER"}])
def test_studies_of_two_days_or_patients_stay_apart_whatever_frame_they_state(
    tmp_path: Path, other: dict[str, str]
) -> None:
    write_mr(tmp_path / "export" / "a", axial(), StudyInstanceUID=uid(2, 1), **series(1), **DAY)
    write_mr(tmp_path / "export" / "b", sagittal(), StudyInstanceUID=uid(2, 2), **series(2), **other)
    catalogue = catalogue_of(tmp_path)
    assert len(catalogue.lines) == 0
    assert catalogue.stacks["reason"].to_list() == ["", ""]


# Slices


@pytest.mark.parametrize("stated", [None, "-5", "0", "77", "", "1,5", "not a number"])
def test_only_positions_along_the_normal_count_whatever_the_spacing_attributes_say(
    tmp_path: Path, stated: str | None
) -> None:
    odd = dict.fromkeys(("SpacingBetweenSlices", "SliceThickness"), None)
    for number in range(4):
        dataset = mr_dataset(axial(5.0 * number), **odd)
        if stated is not None:
            for keyword in odd:
                dataset.add_new(keyword, "LO", stated)
        save(tmp_path / "export" / f"{number}", dataset)
    (stack,) = catalogue_of(tmp_path).stacks.rows(named=True)
    assert (stack["n_slices"], stack["spacing_mm"], stack["regular"]) == (4, 5.0, True)


def test_a_missing_slice_is_recorded_as_a_gap(tmp_path: Path) -> None:
    write_stack(tmp_path / "export", [axial(z) for z in (0.0, 5.0, 10.0, 20.0)])
    (stack,) = catalogue_of(tmp_path).stacks.rows(named=True)
    assert (stack["regular"], stack["spacing_max_deviation_mm"], stack["reason"]) == (False, 5.0, "gap")


@pytest.mark.parametrize("numbers", [[None] * 4, [1, 1, 1, 1], [4, 2, 3, 1], [2**31 - 1, -5, 0, 7]], ids=str)
def test_instance_number_slice_location_and_file_order_are_never_a_key(
    tmp_path: Path, numbers: list[int | None]
) -> None:
    for place, number in enumerate(numbers):
        name = f"{(place * 7) % 4}"  # files are listed in another order than slices lie
        plane = axial(5.0 * place)
        write_mr(tmp_path / "export" / name, plane, InstanceNumber=number, SliceLocation=-3.0 * place)
    images = catalogue_of(tmp_path).images.sort("slice_index")
    np.testing.assert_allclose(np.stack(images["origin_mm"].to_list())[:, 2], [0, 5, 10, 15])


def test_lines_of_a_sheared_stack_are_right_since_each_plane_is_its_own(tmp_path: Path) -> None:
    shear = np.tan(np.radians(12))
    planes = [axial(5.0 * n).moved(np.eye(3), [0, 5.0 * n * shear, 0]) for n in range(4)]
    write_stack(tmp_path / "export" / "tilted", planes, **series(1))
    write_mr(tmp_path / "export" / "sagittal", sagittal(), **series(2))
    catalogue = catalogue_of(tmp_path)
    tilted = catalogue.stacks.filter(pl.col("n_slices") == 4).row(0, named=True)
    assert tilted["reason"] == "sheared"
    assert abs(tilted["shear_deg"] - 12) < 1e-6
    lines = catalogue.lines.filter(pl.col("stack_id") == tilted["stack_id"])
    assert len(lines) == 4
    for row in lines.iter_rows(named=True):  # x = 0 of the sagittal plane, in pixels of each slice
        column = (0.0 - planes[row["slice_index"]].origin_mm[0]) / 1.5
        np.testing.assert_allclose([row["a"], row["b"], -row["c"]], [1, 0, column], atol=1e-9)


def test_slices_of_a_cine_whose_tr_follows_the_heart_rate_are_one_stack(tmp_path: Path) -> None:
    for place, (repetition_ms, flip_deg) in enumerate([(34.0, 58), (40.8, 58), (34.0, 50), (37.4, 46)]):
        attributes = series(place) | {"RepetitionTime": f"{repetition_ms}", "FlipAngle": f"{flip_deg}"}
        write_stack(tmp_path / "export" / f"{place}", [axial(8.0 * place)], phases=4, **attributes)
    (stack,) = catalogue_of(tmp_path).stacks.rows(named=True)
    assert (stack["n_slices"], stack["kind"], stack["reason"]) == (4, "cine", "joined")


@pytest.mark.parametrize("second", ["1.40649", "1.40651", "1.4066"])
def test_pixel_spacings_that_differ_by_their_rounding_are_one_grid(tmp_path: Path, second: str) -> None:
    for place, spacing in enumerate(["1.4065", second]):
        write_stack(tmp_path / "export" / f"{place}", [axial(5.0 * place)], PixelSpacing=[spacing, spacing])
    assert catalogue_of(tmp_path).stacks["n_slices"].to_list() == [2]


# Phases


@pytest.mark.parametrize(
    ("evidence", "source"),
    [
        ({"TriggerTime": lambda n: 30.0 * n}, "trigger-time"),
        ({"TriggerTime": lambda _: 7.0, "TemporalPositionIdentifier": lambda n: n + 1}, "temporal-position"),
        (
            {"TemporalPositionIdentifier": lambda _: 1, "AcquisitionDateTime": lambda n: f"2024070410111{n}"},
            "acquisition-time",
        ),
        ({"ContentTime": lambda n: f"10111{n}"}, "content-time"),
        ({"InstanceNumber": lambda n: n + 5}, "instance-number"),
        ({"InstanceNumber": lambda _: 5}, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_phases_are_ordered_by_the_first_evidence_that_tells_them_apart(
    tmp_path: Path, evidence: dict[str, Callable[[int], Any]], source: str
) -> None:
    for name, phase in zip("bdace", range(5), strict=True):
        attributes = {keyword: value(phase) for keyword, value in evidence.items()}
        write_mr(tmp_path / "export" / name, axial(), RescaleIntercept=f"{phase}", **attributes)
    images = catalogue_of(tmp_path).images
    assert set(images["phase_source"]) == {source}
    if source:
        assert images.sort("phase_index")["path"].to_list() == list("bdace")
    else:
        assert images["phase_index"].is_null().all()  # none is invented


def test_counts_of_phases_that_differ_between_slices_are_said(tmp_path: Path) -> None:
    write_stack(tmp_path / "export" / "a", [axial(0.0), axial(8.0)], phases=6)
    write_stack(tmp_path / "export" / "b", [axial(16.0)], phases=4)
    (stack,) = catalogue_of(tmp_path).stacks.rows(named=True)
    assert (stack["n_slices"], stack["n_phases"], stack["complete"]) == (3, 6, False)
    assert "phases-uneven" in stack["reason"]


# Planes


def test_rounded_cosines_are_mended_and_their_residual_is_kept(tmp_path: Path) -> None:
    right = np.array([0.48, -0.6, 0.64])
    down = np.cross([0.0, 0.0, 1.0], right)
    down = np.cross(right, np.cross(down, right))
    down /= np.linalg.norm(down)
    rounded = [f"{value:.4f}" for value in (*right, *down)]
    write_mr(tmp_path / "export" / "a", axial(), ImageOrientationPatient=rounded)
    (row,) = catalogue_of(tmp_path).images.rows(named=True)
    assert 0 < row["cosine_residual"] < 2e-4
    axes = np.array([row["right"], row["down"]])
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(axes, [right, down], atol=1e-4)


@pytest.mark.parametrize(
    "cosines", [[1, 0, 0, 0.1, 1, 0], [0.9, 0, 0, 0, 0.9, 0], [0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0]], ids=str
)
def test_cosines_that_no_rounding_explains_are_refused(tmp_path: Path, cosines: list[float]) -> None:
    write_mr(tmp_path / "export" / "a", axial(), ImageOrientationPatient=cosines)
    with pytest.raises(NothingUsable, match="1 bad-geometry"):
        catalogue_of(tmp_path)


def test_pixel_spacing_behind_a_large_private_header_is_found(tmp_path: Path) -> None:
    dataset = mr_dataset(axial())
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x08, "OB", b"\1" * 130_000)
    save(tmp_path / "export" / "a", dataset)
    (row,) = catalogue_of(tmp_path).images.rows(named=True)
    assert (row["row_spacing_mm"], row["column_spacing_mm"]) == (2.0, 1.5)
