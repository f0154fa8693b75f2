"""The reference names all that is promised, so that it cannot fall behind."""

from __future__ import annotations

import re

import pytest

from cli.main import app
from dicomgeom.catalogue import TABLES
from dicomgeom.errors import (
    EXIT_DONE,
    EXIT_INTEGRITY,
    EXIT_NOTHING_USABLE,
    EXIT_SOME_SKIPPED,
    EXIT_WRONG_USE,
)
from pretext_targets.store import SCHEMA
from tests.helpers.real import PROJECT

REFERENCE = (PROJECT / "docs" / "reference.md").read_text()


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_the_catalogue_stands_in_the_reference(table: str) -> None:
    section = REFERENCE.split(f"### {table}.parquet")[1].split("\n## ")[0].split("\n### ")[0]
    found = re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", section, flags=re.MULTILINE)
    assert found == [(column.name, column.meaning) for column in TABLES[table]]


def test_every_array_of_the_store_stands_in_the_reference() -> None:
    section = REFERENCE.split("## The store")[1].split("## The run")[0]
    found = re.findall(r"^\| `(\w+)` \| ([\w x]+) \| (\w+) \|", section, flags=re.MULTILINE)
    assert found == [(field.name, " x ".join(field.axes), field.dtype) for field in SCHEMA]


def test_every_command_and_exit_code_is_documented() -> None:
    for command in app.registered_commands:
        assert f"`anatprep {command.name}" in REFERENCE
    how_to = (PROJECT / "docs" / "how-to.md").read_text()
    for code in (EXIT_DONE, EXIT_WRONG_USE, EXIT_SOME_SKIPPED, EXIT_NOTHING_USABLE, EXIT_INTEGRITY):
        assert f"| {code} |" in how_to
