"""Images -> stacks, by geometry and across series."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomgeom.header import read_headers
from dicomgeom.index import header_row
from dicomgeom.plane import ImagePlane
from dicomgeom.row_planes import centres_mm, plane_of
from dicomgeom.sources import FoundFile
from dicomgeom.stack import Stack, build_stacks, regularity
from tests.helpers.dicom_files import axial, mr_dataset, uid
from tests.helpers.strategies import rotations


def rows_of(*images: tuple[ImagePlane, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the images table for images given as plane and attributes."""
    rows = []
    for number, (plane, attributes) in enumerate(images):
        (header,) = read_headers(mr_dataset(plane, **attributes))
        rows.append(header_row(FoundFile("/export", f"{number}", 1, 1), header, b"salt"))
    return rows


def cine(plane: ImagePlane, phases: int = 4, **attributes: Any) -> list[tuple[ImagePlane, dict[str, Any]]]:
    timing = {"NominalInterval": 900, "CardiacNumberOfImages": phases}
    return [(plane, {"TriggerTime": 30.0 * phase, **timing, **attributes}) for phase in range(phases)]


def series(number: int) -> dict[str, Any]:
    return {"SeriesInstanceUID": uid(3, number), "SeriesNumber": number}


def test_one_slice_series_at_neighbouring_places_are_one_stack() -> None:
    images = [image for n in range(6) for image in cine(axial(17.7 * n), **series(n))]
    (stack,) = build_stacks(rows_of(*images))
    assert (len(stack.planes), stack.n_phases, stack.kind) == (6, 4, "cine")
    np.testing.assert_allclose(np.diff(stack.positions_mm), 17.7)


def turned(z_mm: float, degrees: float, side: int = 256, spacing_mm: float = 1.4) -> ImagePlane:
    """A plane whose middle lies at (0, 0, z), turned about its middle line."""
    turn = np.radians(degrees)
    right, down = np.array([np.cos(turn), 0.0, np.sin(turn)]), np.array([0.0, 1.0, 0.0])
    corner = np.array([0.0, 0.0, z_mm]) - (right + down) * spacing_mm * (side - 1) / 2
    axes = np.concatenate([right, down]).round(9)
    return ImagePlane.from_dicom(
        corner.round(9).tolist(), axes.tolist(), [spacing_mm] * 2, side, side, uid(4)
    )


@given(st.lists(st.floats(-0.45, 0.45), min_size=3, max_size=7))
def test_slices_turned_a_little_about_their_middles_keep_their_distances(turns: list[float]) -> None:
    images = [im for n, turn in enumerate(turns) for im in cine(turned(10.0 * n, turn), **series(n))]
    (stack,) = build_stacks(rows_of(*images))
    np.testing.assert_allclose(np.diff(stack.positions_mm), 10.0, rtol=1e-3)
    measured = regularity(stack)
    assert measured.regular
    assert "gap" not in stack.reasons


@pytest.mark.parametrize("turn", [0.0, 0.3, 0.5, 0.9])
def test_a_repeat_turned_a_little_about_its_middle_is_a_repeat(turn: float) -> None:
    first = [im for n in range(8) for im in cine(turned(10.0 * n, 0.0), **series(1))]
    again = [im for n in range(8) for im in cine(turned(10.0 * n, turn), **series(2))]
    stacks = build_stacks(rows_of(*first, *again))
    assert [len(stack.planes) for stack in stacks] == [8, 8]
    assert [bool(stack.superseded_by) for stack in stacks].count(True) == 1


def test_middles_of_rows_are_those_of_their_planes() -> None:
    rows = rows_of(*cine(turned(30.0, 20.0, side=64)), *cine(axial(4.0)))
    planes = [plane_of(row).centre_mm for row in rows]
    np.testing.assert_allclose(centres_mm(rows), planes, atol=1e-9)


def test_stacks_have_ids_of_their_own_where_images_have_no_uids_and_studies_two_patients() -> None:
    images = [image for n in range(3) for image in cine(axial(200.0 * n), **series(n))]
    rows = rows_of(*images)
    for row in rows:
        row["sop_instance_uid"] = ""
    stacks = build_stacks(rows)
    assert len({stack.stack_id for stack in stacks}) == len(stacks) == 3
    other = [row | {"split_position": 0.5} for row in rows]
    assert not {stack.stack_id for stack in build_stacks(other)} & {stack.stack_id for stack in stacks}
    same = [row | {"patient_key": "another salt"} for row in rows]
    assert [stack.stack_id for stack in build_stacks(same)] == [stack.stack_id for stack in stacks]


def test_a_scout_for_the_inversion_time_is_no_cine() -> None:
    images = [
        (axial(0.0), {**series(1), "TriggerTime": time, "InversionTime": time, "NominalInterval": 900})
        for time in 85.0 + 27.5 * np.arange(30)
    ]
    assert {stack.kind for stack in build_stacks(rows_of(*images))} <= {"dynamic", "static", "localizer"}


def test_two_contrasts_at_the_same_places_are_two_stacks() -> None:
    proton = [(axial(4.0 * n), {**series(1), "EchoTime": 17, "RepetitionTime": 3850}) for n in range(5)]
    t1 = [(axial(4.0 * n), {**series(2), "EchoTime": 14, "RepetitionTime": 656}) for n in range(5)]
    stacks = build_stacks(rows_of(*proton, *t1))
    assert [len(stack.planes) for stack in stacks] == [5, 5]
    assert not any(stack.superseded_by for stack in stacks)


def test_several_orientations_in_one_series_are_a_localizer_split_by_normal() -> None:
    turns = {"sag": [0, 1, 0, 0, 0, -1], "cor": [1, 0, 0, 0, 0, -1], "ax": [1, 0, 0, 0, 1, 0]}
    images = [
        (ImagePlane.from_dicom(list(shift), cosines, [1, 1], 20, 20, uid(4)), series(1))
        for cosines in turns.values()
        for shift in (np.zeros(3), 12.0 * np.cross(cosines[:3], cosines[3:]))
    ]
    stacks = build_stacks(rows_of(*images))
    assert [stack.kind for stack in stacks] == ["localizer"] * 3
    assert [len(stack.planes) for stack in stacks] == [2, 2, 2]


def test_a_cine_that_is_called_a_localizer_is_not_one() -> None:
    images = cine(axial(), SeriesDescription="trufi_localizer")
    assert [stack.kind for stack in build_stacks(rows_of(*images))] == ["cine"]


def test_a_stack_that_tilts_from_disc_to_disc_is_several_stacks_and_no_localizer() -> None:
    def tilted(degrees: float, z_mm: float) -> ImagePlane:
        turn = np.radians(degrees)
        cosines = [1, 0, 0, 0, np.cos(turn), np.sin(turn)]
        return ImagePlane.from_dicom([0, 0, z_mm], cosines, [1, 1], 20, 20, uid(4))

    images = [(tilted(5.0 * group, 30.0 * group + 4 * n), series(1)) for group in range(3) for n in range(3)]
    stacks = build_stacks(rows_of(*images))
    assert [stack.kind for stack in stacks] == ["static"] * 3
    assert [len(stack.planes) for stack in stacks] == [3, 3, 3]


def test_a_repeat_at_the_same_planes_is_kept_and_superseded_by_the_later_one() -> None:
    def at(hour: int) -> dict[str, Any]:
        return {"AcquisitionDateTime": f"20240704{hour:02}0000"}

    first = [image for n in range(3) for image in cine(axial(10.0 * n), **series(1), **at(9))]
    later = [image for n in range(3) for image in cine(axial(10.0 * n), **series(2), **at(10))]
    stacks = build_stacks(rows_of(*first, *later))
    chosen, old = sorted(stacks, key=lambda stack: stack.superseded_by)
    assert old.superseded_by == chosen.stack_id
    assert chosen.rows[chosen.planes[0][0]]["acquired_at"] == datetime(2024, 7, 4, 10)
    assert "chosen-of-repeats" in chosen.reasons
    assert "repeated" in old.reasons


def test_a_later_repeat_that_was_broken_off_does_not_supersede_a_complete_one() -> None:
    first = [image for n in range(2) for image in cine(axial(10.0 * n), **series(1))]
    broken = [*cine(axial(0.0), **series(2)), *cine(axial(10.0), **series(2))[:2]]
    stacks = build_stacks(rows_of(*first, *broken))
    chosen = next(stack for stack in stacks if not stack.superseded_by)
    assert {len(plane) for plane in chosen.planes} == {4}


def test_a_later_stack_broken_off_half_way_is_a_repeat_of_the_whole_one() -> None:
    whole = [image for n in range(6) for image in cine(axial(10.0 * n), **series(1))]
    broken = [image for n in range(4) for image in cine(axial(10.0 * n), **series(2))]
    chosen, repeat = sorted(build_stacks(rows_of(*whole, *broken)), key=lambda stack: stack.superseded_by)
    assert (len(chosen.planes), len(repeat.planes)) == (6, 4)
    assert repeat.superseded_by == chosen.stack_id


def test_magnitudes_filed_apart_from_their_flow_images_are_no_cine() -> None:
    flow = {"EchoTime": 2.8, "FlipAngle": 20, "RepetitionTime": 37}
    velocity = {"ImageType": ["ORIGINAL", "PRIMARY", "P"], "SequenceName": "*fl2d1_v150in"}
    images = [
        *cine(axial(), **series(1)),
        *cine(axial(), **series(2), **flow, SequenceName="*fl2d1r3"),
        *cine(axial(), **series(3), **flow, **velocity),
    ]
    assert sorted(stack.kind for stack in build_stacks(rows_of(*images))) == [
        "cine",
        "flow-magnitude",
        "flow-phase",
    ]


def test_left_and_right_knee_are_two_stacks() -> None:
    def sagittal(x_mm: float) -> ImagePlane:
        return ImagePlane.from_dicom([x_mm, 0, 0], [0, 1, 0, 0, 0, -1], [0.5, 0.5], 32, 32, uid(4))

    images = [
        (sagittal(side + 4.0 * n), series(int(side) + 300)) for side in (-150.0, 150.0) for n in range(4)
    ]
    assert [len(stack.planes) for stack in build_stacks(rows_of(*images))] == [4, 4]


def test_a_frame_of_reference_for_every_file_is_seen_through_with_a_reason() -> None:
    images = [(axial(5.0 * n, frame=uid(4, n)), series(1)) for n in range(5)]
    (stack,) = build_stacks(rows_of(*images))
    assert stack.frame.assumed
    assert stack.frame.reason == "frame-for-every-file"
    assert len(stack.planes) == 5


def test_planes_in_different_frames_of_reference_never_join() -> None:
    images = [image for n in range(2) for image in cine(axial(10.0 * n, frame=uid(4, n)), **series(n))]
    assert len(build_stacks(rows_of(*images))) == 2


def test_missing_frames_join_across_series_unless_frames_are_strict() -> None:
    images = [image for n in range(2) for image in cine(axial(10.0 * n, frame=""), **series(n))]
    rows = rows_of(*images)
    assert len(build_stacks(rows)) == 1
    assert len(build_stacks(rows, strict_frames=True)) == 2


def test_phases_are_ordered_by_trigger_time_whatever_the_instance_numbers_say() -> None:
    images = cine(axial(), phases=5)
    for number, (_, attributes) in enumerate(images):
        attributes["InstanceNumber"] = 7 - number
    rows = rows_of(*images[::-1])
    (stack,) = build_stacks(rows)
    assert [rows[i]["trigger_time_ms"] for i in stack.planes[0]] == [0, 30, 60, 90, 120]
    assert stack.phase_source == "trigger-time"


def test_phases_that_nothing_tells_apart_keep_no_order() -> None:
    rows = rows_of(*[(axial(), {"TriggerTime": 10, **series(1)}) for _ in range(3)])
    (stack,) = build_stacks(rows)
    assert stack.phase_source == ""
    assert "phases-unordered" in stack.reasons


def test_beats_that_follow_each_other_are_no_cine() -> None:
    beats = [(axial(), {"AcquisitionDateTime": f"202407041000{n:02}", **series(1)}) for n in range(10)]
    (stack,) = build_stacks(rows_of(*beats))
    assert (stack.kind, stack.phase_source) == ("dynamic", "acquisition-time")


def test_a_missing_slice_makes_a_stack_irregular_and_shear_is_measured() -> None:
    gap = build_stacks(rows_of(*[(axial(z), series(1)) for z in (0.0, 5.0, 10.0, 20.0)]))[0]
    assert not regularity(gap).regular
    assert regularity(gap).spacing_max_deviation_mm == 5.0
    sheared = [axial(5.0 * n).moved(np.eye(3), [0, 5.0 * n * np.tan(np.radians(12)), 0]) for n in range(4)]
    tilt = regularity(build_stacks(rows_of(*[(plane, series(1)) for plane in sheared]))[0])
    assert abs(tilt.shear_deg - 12) < 1e-6
    assert not tilt.regular


def test_the_central_slice_of_two_is_the_one_earlier_along_the_normal() -> None:
    (stack,) = build_stacks(rows_of(*[(axial(5.0 * n), series(1)) for n in range(4)]))
    assert stack.central_slice == 1


@given(rotations(), st.permutations(range(12)))
def test_file_order_and_pose_do_not_matter(rotation: np.ndarray, order: list[int]) -> None:
    images = [image for n in range(4) for image in cine(axial(8.0 * n), phases=3, **series(n))]
    turned = [(plane.moved(rotation, [5, 6, 7]), attributes) for plane, attributes in images]
    rows = rows_of(*[turned[i] for i in order])
    (stack,) = build_stacks(rows)
    assert shape_of(stack) == (4, 3)
    for plane in stack.planes:
        times = [rows[i]["trigger_time_ms"] for i in plane]
        assert times == sorted(times)


def shape_of(stack: Stack) -> tuple[int, int]:
    return len(stack.planes), stack.n_phases
