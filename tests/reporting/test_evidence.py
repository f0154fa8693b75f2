"""Evidence is shown by an allow-list: numbers and known sentences, never what people typed."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

import pytest

from dicomgeom import views
from dicomgeom.catalogue import open_catalogue
from dicomgeom.index import index
from dicomgeom.reasons import STACK_REASONS
from reporting.evidence import KNOWN, NOT_SHOWN, QUOTING, shown_evidence, shown_reasons
from reporting.sections import Evidence


def evidence(what: str, value: object, limit: object, says: str) -> str:
    return json.dumps([{"what": what, "value": value, "limit": limit, "says": says}])


def test_a_measurement_is_shown_with_its_limit() -> None:
    text = evidence("angle of the trace round the axis, degrees", 12.345, 8, "nearest to 4CH (8)")
    assert shown_evidence(text) == (
        Evidence("angle of the trace round the axis, degrees", "12.35", "8", "nearest to 4CH (8)"),
    )


def test_a_description_is_told_by_the_view_it_names() -> None:
    text = evidence("description", "JANE DOE sax", "", "names SAX")
    assert shown_evidence(text) == (Evidence("description", "", "", "the description names SAX"),)


def test_the_users_word_is_told_without_what_it_was_matched_by() -> None:
    text = evidence("override", 'entry 1: protocol_name = "*doe*"', "", "the user says RVOT")
    assert shown_evidence(text) == (Evidence("override", "", "", "the user says RVOT"),)


@pytest.mark.parametrize(
    "text",
    [
        evidence("JANE DOE", 1, 2, "few planes"),
        evidence("planes", "JANE DOE", 5, "few planes"),
        evidence("planes", 3, "JANE DOE", "few planes"),
        evidence("planes", 3, 5, "few planes of JANE DOE"),
        evidence("planes", float("nan"), 5, "few planes"),
        evidence("planes", [3], 5, "few planes"),
        evidence("description", "JANE DOE", "", "names JANE DOE"),
        evidence("angle of the normal to JANE DOE, degrees", 3, 5, "nearest"),
        '["JANE DOE"]',
    ],
)
def test_what_is_not_known_is_counted_and_not_shown(text: str) -> None:
    assert shown_evidence(text) == (Evidence("further evidence", "1", "", NOT_SHOWN),)


@pytest.mark.parametrize("text", ["", "[]", "{}", "JANE DOE", '{"JANE": "DOE"}'])
def test_what_is_no_list_of_evidence_shows_nothing(text: str) -> None:
    assert shown_evidence(text) == ()


def test_everything_measured_on_an_exam_is_known(heart_export: Path, tmp_path: Path) -> None:
    index([heart_export], tmp_path / "c")
    for text in open_catalogue(tmp_path / "c").stacks["evidence"]:
        assert len(shown_evidence(text)) == len(json.loads(text))
        assert NOT_SHOWN not in {piece.says for piece in shown_evidence(text)}


def test_every_kind_of_evidence_that_is_collected_is_known() -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(views)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Evidence"
    ]
    collected = {ast.unparse(call.args[0]).removeprefix("f").strip("\"'") for call in calls}
    assert {what.replace("{view}", "VIEW") for what in collected} == {*KNOWN, *QUOTING}


def test_reasons_are_told_in_the_words_of_the_catalogue() -> None:
    assert list(shown_reasons("gap; joined")) == [STACK_REASONS["gap"], STACK_REASONS["joined"]]
    assert list(shown_reasons("")) == []
    assert "DOE" not in "".join(shown_reasons("gap; JANE DOE"))
