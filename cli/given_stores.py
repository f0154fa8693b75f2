"""Stores as they are named on the command line, checked before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dicomgeom.errors import WrongUse

MAIN_STORE = "main"
"""What a store is called in a recipe when it was given without a name."""


def named_stores(words: Sequence[str]) -> dict[str, Path | str]:
    """Turn ``NAME=PATH`` or ``PATH`` words into stores by name; a URL stands for a path.

    Raises
    ------
    WrongUse
        When a name comes twice or a path does not exist; all of them at once.
    """
    from pretext_targets.where import is_url

    stores: dict[str, Path | str] = {}
    for word in words:
        name, separator, path = word.partition("=")
        if not separator or Path(word).exists() or is_url(name):
            name, path = MAIN_STORE, word
        if name in stores:
            raise WrongUse(f"two stores are called {name!r}; name them apart: --store NAME=PATH")
        stores[name] = path if is_url(path) else Path(path)
    _refuse_missing(stores.values())
    return stores


def given_store(word: str) -> str:
    """The store that was given: a URL, or a path where something is. Raises `WrongUse`."""
    _refuse_missing([word])
    return word


def _refuse_missing(stores: Iterable[Path | str]) -> None:
    from pretext_targets.where import is_url

    missing = [str(path) for path in stores if not is_url(path) and not Path(path).exists()]
    if missing:
        raise WrongUse(f"no store at {', '.join(missing)}; `anatprep build-targets` writes stores")
