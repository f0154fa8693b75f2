"""Catalogues, compared table by table."""

from __future__ import annotations

from pathlib import Path

from dicomgeom.catalogue import TABLES, open_catalogue


def assert_same_tables(one: Path, other: Path) -> None:
    """Compare all tables of two catalogues."""
    for name in TABLES:
        assert getattr(open_catalogue(one), name).equals(getattr(open_catalogue(other), name)), name
