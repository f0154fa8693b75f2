from __future__ import annotations

from pathlib import Path

import pytest

from dicomgeom.errors import WrongUse
from dicomgeom.kinds import KINDS
from dicomgeom.view_names import VIEWS
from pretext_targets.protocol import (
    FOLDER,
    MAX_SIDE,
    Protocol,
    example_protocols,
    load_protocol,
    shipped_protocols,
)


def test_all_protocols_that_are_shipped_load() -> None:
    assert shipped_protocols() == ("cardiac-2ch", "cardiac-4ch", "cardiac-sax", "knee-sag")
    assert example_protocols() == ("brain-ax", "shoulder-cor", "spine-sag")
    for name in shipped_protocols() + example_protocols():
        protocol = load_protocol(name)
        assert protocol.name == name
        assert len(set(protocol.box_names)) == (0 if name == "spine-sag" else 9)


def test_the_nine_classes_have_these_names() -> None:
    cross = ["centre", *(f"{where} {way}" for way in ("left", "right") for where in ("near", "far"))]
    along = {"cardiac-sax": ("anterior", "posterior"), "cardiac-4ch": ("superior", "inferior")}
    for name, ways in along.items():
        expected = cross + [f"{where} {way}" for way in ways for where in ("near", "far")]
        assert list(load_protocol(name).box_names) == expected


def test_the_heart_has_the_papers_sizes() -> None:
    protocol = load_protocol("cardiac-sax")
    assert (protocol.rows, protocol.columns, protocol.spacing_mm) == (224, 224, 1.26)
    assert protocol.line_sigma_px == pytest.approx(6)
    finer = protocol.with_changes(spacing_mm=1.82)
    assert finer.box_side_px == pytest.approx(11, abs=0.02)
    assert finer.box_step_px == pytest.approx(30)


def test_lengths_in_pixels_stay_pixels_at_any_spacing() -> None:
    protocol = load_protocol("cardiac-sax").with_changes(heatmap={"sigma": 6, "units": "px"}, spacing_mm=2.0)
    assert protocol.line_sigma_px == 6
    assert protocol.box_step_px == pytest.approx(27.3)


def test_unknown_keys_are_refused_by_name_and_all_at_once(tmp_path: Path) -> None:
    text = (FOLDER / "cardiac-sax.toml").read_text()
    path = tmp_path / "own.toml"
    path.write_text("spcaing_mm = 1.0\nrows_ = 3\n" + text)
    with pytest.raises(WrongUse, match=r"spcaing_mm.*rows_"):
        load_protocol(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": 0}, "rows"),
        ({"spacing_mm": -1}, "spacing_mm"),
        ({"frames": "ES"}, "frames"),
        ({"partners": ["2CH", "2CH"]}, "twice"),
        ({"partners": ["SAX", "4CH"]}, "own partner"),
        ({"partners": ["4CH", "3CH"]}, "2CH"),
        ({"name": "../x"}, "name"),
        ({"size": 3}, "size"),
        ({"rows": MAX_SIDE + 1}, "rows"),
        ({"spacing_mm": float("inf")}, "spacing_mm"),
        ({"heatmap": {"sigma": float("inf")}}, "heatmap.sigma"),
        ({"carrier": "SAXX"}, r"carrier: unknown view 'SAXX' \(did you mean 'SAX'\?\)"),
        ({"kinds": ["cines"]}, r"kinds: unknown kind 'cines' \(did you mean 'cine'\?\)"),
        ({"kinds": ["cine", "xyz"]}, r"unknown kind 'xyz'; the kinds are cine, static"),
    ],
)
def test_values_that_make_no_sense_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        load_protocol("cardiac-sax").with_changes(**changes)


def test_every_view_and_kind_mistyped_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    text = (FOLDER / "knee-sag.toml").read_text()
    path = tmp_path / "own.toml"
    path.write_text(text.replace('"COR"', '"cor"').replace('"AX"', '"AXS"').replace('"static"', '"statc"'))
    meant = [r"'cor' \(did you mean 'COR'", r"'AXS' \(did you mean 'AX'", r"'statc' \(did you mean 'static'"]
    said = "partners: unknown view " + ".*".join(meant)
    with pytest.raises(WrongUse, match=said) as caught:
        load_protocol(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_that_a_catalogue_can_hold_may_carry(view: str) -> None:
    own = load_protocol("cardiac-sax").with_changes(
        carrier=view, partners=[one for one in VIEWS if one != view], boxes=None, kinds=KINDS
    )
    assert own.carrier == view


def test_what_a_store_keeps_of_a_protocol_is_read_whatever_its_views_are_called() -> None:
    kept = load_protocol("knee-sag").as_dict() | {"carrier": "sagittal"}
    assert Protocol.model_validate(kept).carrier == "sagittal"


def test_a_protocol_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(WrongUse, match=r"cardiac-sax, knee-sag.*brain-ax"):
        load_protocol("cardiac-sxa")


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("name = ")
    with pytest.raises(WrongUse, match="not TOML"):
        load_protocol(path)


def test_a_users_own_file_is_read_and_comes_back_from_a_store(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text((FOLDER / "knee-sag.toml").read_text().replace('"knee-sag"', '"mine"'))
    protocol = load_protocol(path)
    assert protocol.name == "mine"
    assert type(protocol).model_validate(protocol.as_dict()) == protocol
