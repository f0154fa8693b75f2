"""The keys of a recipe: their names at each level, and what each means, as the reference lists them.

All is read off the models: a setting's type and limits, its default, and the line below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dicomgeom.spelling import meant

PLAIN = {int: ["whole number"], float: ["number"], str: ["text"], bool: ["true", "false"]}

LIMITS = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
"""Pydantic's name of a limit -> ours."""

SHORTEST_TO_GUESS = 3
"""Letters of a name from which on a like one is likely to be what was meant: lr is no l1."""


@dataclass(frozen=True)
class Setting:
    """One key of a recipe, as a row of a table for people."""

    key: str
    kind: str
    default: str
    meaning: str

    def row(self) -> str:
        """In Markdown."""
        return f"| `{self.key}` | {self.kind} | {self.default} | {self.meaning} |"


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    """All keys of a model and of those in it, dotted; "N" stands for the number of a list's entry."""
    for name, field in model.model_fields.items():
        inner = _inner(field)
        if inner is None:
            yield Setting(prefix + name, _kind(field), _default(field), _meaning(field))
        else:
            number = "N." if get_origin(field.annotation) is tuple else ""
            yield from settings_of(inner, f"{prefix}{name}.{number}")


def unknown_key(model: type[BaseModel], way: Sequence[str]) -> str:
    """A fault to tell: a key that the model does not know, and those that it knows there."""
    *above, last = way
    known = known_keys(model, above)
    hint = meant(last, known) if len(last) >= SHORTEST_TO_GUESS else ""
    place = f" of {'.'.join(above)!r}" if above else ""
    return f"unknown key {'.'.join(way)!r}{hint}; the keys{place} are {', '.join(known)}"


def known_keys(model: type[BaseModel], way: Sequence[str]) -> tuple[str, ...]:
    """The keys that a model has at a place; none where the place is no table."""
    for step in way:
        if step.isdigit():
            continue
        inner = _inner(model.model_fields[step])
        if inner is None:
            return ()
        model = inner
    return tuple(model.model_fields)


def _inner(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a table, or of a list of tables."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _kind(field: FieldInfo) -> str:
    limits = [
        f"{word} {getattr(one, name):g}"
        for name, word in LIMITS.items()
        for one in field.metadata
        if hasattr(one, name)
    ]
    return " ".join([_or(_kinds(field.annotation)), *limits])


def _kinds(annotation: Any) -> list[str]:
    """What a value may be, one after the other."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return [f"`{json.dumps(word)}`" for word in inside]
    if origin in (Union, UnionType):
        return [kind for one in inside if one is not NoneType for kind in _kinds(one)]
    if origin is tuple and inside[-1] is Ellipsis:
        return [f"list of {_or(_kinds(inside[0]))}"]
    if origin is tuple:
        return ["[low, high]", "number"]
    return PLAIN[annotation]


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "no default"
    return "" if field.default is None else f"`{json.dumps(field.default)}`"


def _meaning(field: FieldInfo) -> str:
    said = " ".join((field.description or "").split()).rstrip(".")
    return said if said[1:2].isupper() else said[:1].lower() + said[1:]
