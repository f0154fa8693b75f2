"""Two descriptions are compared key by key."""

from __future__ import annotations

from dicomgeom.differences import differences


def test_every_key_that_differs_is_named_with_both_values() -> None:
    found = {"rows": 174, "boxes": {"side": 10.0, "step": 30.0}, "partners": ["2CH", "4CH"], "old": 1}
    wanted = {"rows": 174, "boxes": {"side": 12.0, "step": 30.0}, "partners": ["2CH"], "centre": "image"}
    assert differences(found, wanted) == [
        "boxes.side 10.0 there, 12.0 asked for",
        "centre None there, 'image' asked for",
        "old 1 there, None asked for",
        "partners ['2CH', '4CH'] there, ['2CH'] asked for",
    ]


def test_equal_descriptions_do_not_differ() -> None:
    assert differences({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 2}]}}) == []
