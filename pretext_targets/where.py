"""Paths and URLs, told apart without loading anything."""

from __future__ import annotations

from pathlib import Path

Where = Path | str
"""A path or a URL."""


def is_url(where: Where) -> bool:
    """Whether a store's place is a URL, not a path."""
    return "://" in str(where)
