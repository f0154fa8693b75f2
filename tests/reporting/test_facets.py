"""What the filters read of an item."""

from __future__ import annotations

from reporting.facets import Facets


def test_only_what_is_known_becomes_an_attribute() -> None:
    assert Facets().attributes == {}
    assert Facets(view="SAX", confidence=0.0).attributes == {"data-view": "SAX", "data-confidence": "0.000"}


def test_words_of_one_facet_are_joined() -> None:
    told = Facets(split="test", reasons=("gap", "joined"), validity="usable", patient="ab", labels=("boxes",))
    assert told.attributes == {
        "data-split": "test",
        "data-reason": "gap|joined",
        "data-validity": "usable",
        "data-patient": "ab",
        "data-label": "boxes",
    }
