from __future__ import annotations

from pathlib import Path

import pytest

from dicomgeom.errors import IntegrityError
from training.seen_patients import SeenPatients, read_seen_patients, write_seen_patients


def of(*stores: str, trained: str = "") -> SeenPatients:
    """Patients are letters."""
    return SeenPatients(frozenset(trained), frozenset(map(frozenset, stores)))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    seen = of("abc", "xyz", trained="ax")
    write_seen_patients(tmp_path, seen)
    assert read_seen_patients(tmp_path) == seen


def test_what_ancestors_saw_is_added() -> None:
    seen = of("abc", trained="a").after(of("xyz", trained="x"))
    assert seen == of("abc", "xyz", trained="ax")
    assert not of("abc").after(None).ancestors_known


def test_an_unknown_ancestor_stays_unknown_and_the_known_ones_are_kept() -> None:
    grandchild = of("pq", trained="p").after(of("abc", trained="a").after(None))
    assert grandchild.trained == {"a", "p"}
    assert not grandchild.ancestors_known


def test_stores_are_comparable_when_common_patients_link_them_all() -> None:
    assert of("abc").comparable_with("cd")
    assert not of("abc").comparable_with("de")
    assert of("abc", "cde", "efg").comparable_with("g")
    assert not of("abc", "xyz").comparable_with("c")
    assert of().comparable_with("a")


@pytest.mark.parametrize("content", ["[]", "{", '{"trained": [], "ancestors_known": true}'])
def test_a_damaged_record_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "seen_patients.json").write_text(content)
    with pytest.raises(IntegrityError, match="missing or damaged"):
        read_seen_patients(tmp_path)
