"""What the models say of their settings, as people read it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from training.recipe_keys import Setting, known_keys, settings_of, unknown_key
from training.settings import Factors, Settings


class Inner(Settings):
    """A table."""

    rate: float = Field(default=0.5, gt=0, le=1)
    """Step size."""
    kind: Literal["a", "b", "c"] = "b"
    """AUC of what."""


class Outer(Settings):
    """A whole."""

    name: str
    """What it is
    called."""
    parts: tuple[Inner, ...] = ()
    inner: Inner = Inner()
    levels: int | None = Field(default=None, ge=3)
    """How many."""
    spread: Factors = (1.0, 1.0)
    """Range."""
    fast: bool | Literal["very"] = True
    """Speed."""


def test_every_setting_tells_its_type_limits_default_and_meaning() -> None:
    kinds = '`"a"`, `"b"` or `"c"`'
    assert list(settings_of(Outer)) == [
        Setting("name", "text", "no default", "what it is called"),
        Setting("parts.N.rate", "number above 0 to 1", "`0.5`", "step size"),
        Setting("parts.N.kind", kinds, '`"b"`', "AUC of what"),
        Setting("inner.rate", "number above 0 to 1", "`0.5`", "step size"),
        Setting("inner.kind", kinds, '`"b"`', "AUC of what"),
        Setting("levels", "whole number from 3", "", "how many"),
        Setting("spread", "[low, high] or number", "`[1.0, 1.0]`", "range"),
        Setting("fast", 'true, false or `"very"`', "`true`", "speed"),
    ]


def test_an_unknown_key_is_told_with_those_of_its_level() -> None:
    assert known_keys(Outer, ["parts", "3"]) == ("rate", "kind")
    assert known_keys(Outer, ["levels"]) == ()
    assert (
        unknown_key(Outer, ["inner", "rat"])
        == "unknown key 'inner.rat' (did you mean 'rate'?); the keys of 'inner' are rate, kind"
    )
    # Two letters are like anything.
    assert unknown_key(Outer, ["inner", "ra"]) == "unknown key 'inner.ra'; the keys of 'inner' are rate, kind"
    assert unknown_key(Outer, ["nam"]).endswith("the keys are name, parts, inner, levels, spread, fast")
