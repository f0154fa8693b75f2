from __future__ import annotations

import pytest

from dicomgeom.spelling import meant, unknown


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("SAXX", " (did you mean 'SAX'?)"),
        ("4ch", " (did you mean '4CH'?)"),
        (" cor ", " (did you mean 'COR'?)"),
        ("xyz", ""),
    ],
)
def test_the_nearest_name_is_offered_however_it_is_written(word: str, said: str) -> None:
    assert meant(word, ("SAX", "4CH", "COR")) == said


def test_a_fault_names_all_that_there_are() -> None:
    assert unknown("view", "xyz", ("SAX", "COR")) == "unknown view 'xyz'; the views are SAX, COR"
