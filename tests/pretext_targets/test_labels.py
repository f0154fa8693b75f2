from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from pretext_targets.choose import StackPlanes, choose_partners
from pretext_targets.labels import label_stack
from pretext_targets.lines import crossing_px
from pretext_targets.protocol import load_protocol
from tests.helpers.strategies import points_mm, rotations
from tests.pretext_targets.conftest import plane, stack

PROTOCOL = load_protocol("cardiac-sax").with_changes(rows=60, columns=70, spacing_mm=4.0)

TILT = Rotation.from_euler("xyz", [20, -15, 35], degrees=True).as_matrix()
"""Makes everything oblique."""


def moved(one: StackPlanes, turn: np.ndarray, shift: np.ndarray) -> StackPlanes:
    planes = [each.moved(turn, shift) for each in one.planes]
    normal = turn @ one.normal
    return StackPlanes({**one.row, "normal": normal.tolist()}, one.slice_indices, tuple(planes))


def heart() -> tuple[StackPlanes, list[StackPlanes]]:
    """An oblique short-axis stack of uneven spacing with both long-axis planes."""
    sax = stack("SAX", *[plane((0, 0, z)) for z in (0.0, 8.0, 18.0, 30.0)], normal=[0, 0, 1])
    four = stack("4CH", plane((3, 4, 10), right=(1, 0.2, 0), down=(0, 0, 1)))
    two = stack("2CH", plane((3, 4, 10), right=(0.3, 1, 0), down=(0.1, 0, 1)))
    straight = np.zeros(3)
    return moved(sax, TILT, straight), [moved(one, TILT, straight) for one in (four, two)]


@given(rotations(), points_mm())
@settings(max_examples=20)
def test_labels_do_not_change_when_the_patient_is_moved(turn: np.ndarray, shift: np.ndarray) -> None:
    sax, partners = heart()
    before = label_stack(sax, choose_partners(sax, partners, PROTOCOL), PROTOCOL)
    boxes = PROTOCOL.as_dict()["boxes"]
    for line in boxes["lines"]:
        line["toward"] = (turn @ np.array(line["toward"])).tolist()
    same_ways = PROTOCOL.with_changes(boxes=boxes)
    sax, partners = moved(sax, turn, shift), [moved(one, turn, shift) for one in partners]
    after = label_stack(sax, choose_partners(sax, partners, same_ways), same_ways)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other.line, one.line, atol=1e-6)
        np.testing.assert_allclose(other.boxes.centre_px, one.boxes.centre_px, atol=1e-6)
        np.testing.assert_array_equal(other.boxes.present, one.boxes.present)
        assert other.location == pytest.approx(one.location, abs=1e-9)
        assert other.location_sine == pytest.approx(one.location_sine, abs=1e-9)


@given(st.floats(0.8, 6.0), st.integers(50, 90), st.integers(50, 90), st.integers(0, 10_000))
@settings(max_examples=25)
def test_labels_on_any_grid_lie_at_the_same_places_of_the_patient(
    spacing_mm: float, rows: int, columns: int, seed: int
) -> None:
    """Resampled labels are the native ones, mapped: the first grid has the image's own pixels."""
    sax, partners = heart()
    native = sax.planes[0]
    own = PROTOCOL.with_changes(rows=native.rows, columns=native.columns, spacing_mm=native.column_spacing_mm)
    other = PROTOCOL.with_changes(rows=rows, columns=columns, spacing_mm=spacing_mm)
    chosen = choose_partners(sax, partners, PROTOCOL)
    points_px = np.random.default_rng(seed).uniform(0, 60, (8, 2))
    for one, two in zip(label_stack(sax, chosen, own), label_stack(sax, chosen, other), strict=True):
        np.testing.assert_allclose(
            two.grid.to_patient(two.boxes.centre_px), one.grid.to_patient(one.boxes.centre_px), atol=1e-6
        )
        here_px = one.grid.to_pixel(two.grid.to_patient(points_px))
        for first, second in zip(one.line, two.line, strict=True):
            there_mm = (points_px @ second[:2] + second[2]) * spacing_mm
            here_mm = (here_px @ first[:2] + first[2]) * own.spacing_mm
            np.testing.assert_allclose(np.abs(there_mm), np.abs(here_mm), atol=1e-6)
        assert (one.location, one.location_sine) == (two.location, two.location_sine)


def test_a_stack_gets_all_its_labels() -> None:
    sax, partners = heart()
    labels = label_stack(sax, choose_partners(sax, partners, PROTOCOL), PROTOCOL)
    assert [one.slice_index for one in labels] == [0, 1, 2, 3]
    np.testing.assert_allclose([one.location for one in labels], [0, 8 / 30, 18 / 30, 1], atol=1e-9)
    assert all(one.boxes.present[0] for one in labels)
    assert all(np.isfinite(one.line).all() for one in labels)
    assert len({one.study_key for one in labels}) == 1


def test_a_missing_partner_leaves_its_channel_unknown_and_no_boxes() -> None:
    sax, partners = heart()
    labels = label_stack(sax, choose_partners(sax, partners[:1], PROTOCOL), PROTOCOL)
    for one in labels:
        assert np.isnan(one.line[0]).all()
        assert np.isfinite(one.line[1]).all()
        assert one.boxes.reason == "partner-absent"
        assert one.any_label


def test_an_assumed_frame_of_reference_is_believed_only_where_planes_really_cross() -> None:
    near = stack("4CH", plane((3, 4, 10), right=(1, 0.2, 0), down=(0, 0, 1)))
    short = stack("2CH", plane((3, 4, -2), right=(0.3, 1, 0), down=(0.1, 0, 1), rows=6))  # 13 mm long
    places = [plane((0, 0, z)) for z in (0.0, 8.0, 18.0)]
    for assumed, known in ((False, [True, True, True]), (True, [True, False, False])):
        sax = stack("SAX", *places, normal=[0, 0, 1], frame_assumed=assumed)
        labels = label_stack(sax, choose_partners(sax, [near, short], PROTOCOL), PROTOCOL)
        assert [bool(np.isfinite(one.line[0]).all()) for one in labels] == known
        assert all(np.isfinite(one.line[1]).all() for one in labels)


def test_an_unknown_apex_leaves_the_linear_location_unknown() -> None:
    sax, partners = heart()
    unsure = StackPlanes({**sax.row, "apex_known": False}, sax.slice_indices, sax.planes)
    labels = label_stack(unsure, choose_partners(unsure, partners, PROTOCOL), PROTOCOL)
    assert np.isnan([one.location for one in labels]).all()
    assert np.isfinite([one.location_sine for one in labels]).all()


def test_superior_on_a_four_chamber_image_is_toward_the_base() -> None:
    protocol = load_protocol("cardiac-4ch")
    sax, partners = heart()
    four, two = partners
    for normal in (sax.normal, -sax.normal):
        turned = StackPlanes({**sax.row, "normal": normal.tolist()}, sax.slice_indices, sax.planes)
        if normal is not sax.normal and (normal != sax.normal).any():
            turned = StackPlanes(turned.row, sax.slice_indices, sax.planes[::-1])
        label = label_stack(four, choose_partners(four, [turned, two], protocol), protocol)[0]
        mm = label.grid.to_patient(label.boxes.centre_px)
        near_superior = protocol.boxes.names.index("near superior")
        assert (mm[near_superior] - mm[0]) @ normal < -50
    unsure = StackPlanes({**sax.row, "apex_known": False}, sax.slice_indices, sax.planes)
    label = label_stack(four, choose_partners(four, [unsure, two], protocol), protocol)[0]
    assert label.boxes.reason == "base-unknown"
    assert np.isnan([label.location, label.location_sine]).all()


@given(rotations(), points_mm())
@settings(max_examples=10)
def test_the_crop_can_be_centred_on_the_crossing_of_the_three_planes(
    turn: np.ndarray, shift: np.ndarray
) -> None:
    protocol = PROTOCOL.with_changes(centre="crossing", rows=30, columns=30)
    sax, partners = heart()
    sax, partners = moved(sax, turn, shift), [moved(one, turn, shift) for one in partners]
    labels = label_stack(sax, choose_partners(sax, partners, protocol), protocol)
    # The stack's middle slice is its second, at 8 mm: there the long axes cross at x = 3, y = 4.
    expected = turn @ (TILT @ np.array([3.0, 4.0, 8.0])) + shift
    assert all(one.centred == "crossing" for one in labels)
    for one in labels:
        foot = one.plane.to_patient(one.plane.to_pixel(expected))
        np.testing.assert_allclose(one.grid.centre_mm, foot, atol=0.8)
    crossing = crossing_px(*labels[1].line)
    assert crossing is not None
    np.testing.assert_allclose(crossing, [14.5, 14.5], atol=1e-6)


def test_without_a_crossing_the_image_keeps_its_centre() -> None:
    protocol = PROTOCOL.with_changes(centre="crossing")
    sax, partners = heart()
    far = [moved(one, np.eye(3), 400 * TILT[:, 0]) for one in partners]
    for others in (partners[:1], [partners[0], partners[0]], far):
        labels = label_stack(sax, choose_partners(sax, others, protocol), protocol)
        assert all(one.centred == "image" for one in labels)
        for one in labels:
            np.testing.assert_allclose(one.grid.centre_mm, one.plane.centre_mm, atol=1e-9)
