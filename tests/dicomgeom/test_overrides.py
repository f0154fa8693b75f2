"""The user's word on views: what is matched, what is refused, what follows."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from dicomgeom.catalogue import open_catalogue
from dicomgeom.errors import WrongUse
from dicomgeom.index import index
from dicomgeom.overrides import read_overrides, unused_entries
from tests.dicomgeom.test_views import exam
from tests.helpers.dicom_files import uid


def written(folder: Path, text: str) -> Path:
    path = folder / "overrides.toml"
    path.write_text(text)
    return path


def stacks_of(folder: Path, overrides: str, texts: dict[str, str]) -> pl.DataFrame:
    source = exam(folder / "export", ["SAX", "4CH", "2CH", "3CH"], texts=texts)
    index([source], folder / "catalogue", views=written(folder, overrides))
    return open_catalogue(folder / "catalogue").stacks


def test_the_user_outvotes_geometry_and_is_named_as_evidence(tmp_path: Path) -> None:
    overrides = '[[stack]]\nview = "RVOT"\nseries_description = "*OUTFLOW*"\n'
    stacks = stacks_of(tmp_path, overrides, {"3CH": "cine outflow 1"})
    said = stacks.filter(pl.col("series_description") == "cine outflow 1")
    assert said.select("view", "confidence").row(0) == ("RVOT", 1.0)
    pieces = [p for p in json.loads(said["evidence"].item()) if p["what"] == "override"]
    assert pieces[0]["says"] == "the user says RVOT"
    assert pieces[0]["value"] == 'entry 1: series_description = "*OUTFLOW*"'
    assert sorted(stacks["view"]) == ["2CH", "4CH", "RVOT", "SAX"]


def test_all_conditions_of_an_entry_must_hold_and_the_first_entry_that_matches_counts(tmp_path: Path) -> None:
    overrides = f"""
        [[stack]]
        view = "OTHER"
        series_description = "cine ?"
        series_instance_uid = "{uid(3, 99)}"

        [[stack]]
        view = "LAX"
        series_description = "cine [ab]"

        [[stack]]
        view = "OTHER"
        series_description = "*"
    """
    stacks = stacks_of(tmp_path, overrides, {"4CH": "cine a", "2CH": "cine b", "3CH": "cine c"})
    views = dict(stacks.select("series_description", "view").iter_rows())
    assert views == {"": "OTHER", "cine a": "LAX", "cine b": "LAX", "cine c": "OTHER"}


def test_what_the_user_says_of_one_plane_helps_to_judge_the_others(tmp_path: Path) -> None:
    texts = {"RV2CH": "this one"}
    source = exam(tmp_path / "export", ["SAX", "2CH", "RV2CH"], texts=texts)
    overrides = written(tmp_path, '[[stack]]\nview = "RV2CH"\nseries_description = "this one"\n')
    index([source], tmp_path / "without")
    index([source], tmp_path / "with", views=overrides)

    def confidence(catalogue: str) -> float:
        stacks = open_catalogue(tmp_path / catalogue).stacks
        return float(stacks.filter(pl.col("view") == "2CH")["confidence"].item())

    assert confidence("with") > confidence("without")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[stack]]\nview = "SAX"\ndescription = "x"\n', "unknown key 'description'"),
        ('[[stack]]\nview = "5CH"\nprotocol_name = "x"\n', "unknown view '5CH'"),
        ('[[stack]]\nprotocol_name = "x"\n', "view is missing"),
        ('[[stack]]\nview = "SAX"\n', "nothing to match"),
        ('[[stack]]\nview = "SAX"\nprotocol_name = 3\n', "protocol_name must be a text"),
        ("[[stack]]\nview = []\nprotocol_name = 'x'\n", "view must be a text"),
        ('[[view]]\nname = "SAX"\n', "unknown key 'view'"),
        ("stack = [3]", "must be a table"),
        ("stack = 3", "no [[stack]] entry"),
        ("view = ", "cannot be read as TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_the_reason(
    text: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(WrongUse) as refusal:
        read_overrides(written(tmp_path, text))
    assert complaint in str(refusal.value)


def test_all_faults_are_listed_at_once(tmp_path: Path) -> None:
    text = '[[stack]]\nview = "5CH"\nprotocol_name = "x"\n[[stack]]\nview = "SAX"\nseries = "x"\n'
    with pytest.raises(WrongUse, match=r"entry 1: .*5CH.*entry 2: unknown key 'series'"):
        read_overrides(written(tmp_path, text))


def test_entries_that_decide_nothing_are_told_with_why(tmp_path: Path) -> None:
    path = tmp_path / "overrides.toml"
    path.write_text(
        "".join(
            f'[[stack]]\nview = "{view}"\nseries_description = "{pattern}"\n'
            for view, pattern in (("SAX", "a*"), ("2CH", "nobody"), ("3CH", "ab"), ("4CH", "*b"))
        )
    )
    rows = [
        {"stack_id": text, "series_description": text, "protocol_name": None} for text in ("ab", "ac", "cb")
    ]
    assert unused_entries(read_overrides(path), rows) == [
        'entry 2: series_description = "nobody" (matches no stack)',
        'entry 3: series_description = "ab" (an earlier entry decides what it matches)',
    ]
