"""How long work tells the floor above how far it is, without knowing how that is shown."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as ``progress("reading headers", done=120, total=275)``; `total` None = not known yet."""

    def __call__(self, what: str, *, done: int, total: int | None) -> None: ...


class Waiting(str):
    """A `what` of work that stands still for want of something: told even where no bar is drawn."""

    __slots__ = ()


def silent(what: str, *, done: int, total: int | None) -> None:
    """Show nothing: the default everywhere."""
