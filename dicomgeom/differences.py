"""How two descriptions differ: what is there, and what was asked for."""

from __future__ import annotations

from typing import Any


def differences(found: Any, wanted: Any, key: str = "") -> list[str]:
    """Dotted keys at which two descriptions (plain JSON values) differ, with both values.

    >>> differences({"grid": {"rows": 174}}, {"grid": {"rows": 224}})
    ['grid.rows 174 there, 224 asked for']
    """
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted(found.keys() | wanted.keys())
        return [
            line for k in keys for line in differences(found.get(k), wanted.get(k), f"{key}.{k}".lstrip("."))
        ]
    return [] if found == wanted else [f"{key} {found!r} there, {wanted!r} asked for"]
