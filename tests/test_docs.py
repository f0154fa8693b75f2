"""The docs name all that is promised, and promise nothing that is not there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import typer.main

from cli.main import EXIT_INTERRUPTED, EXIT_UNEXPECTED, app
from dicomgeom.catalogue import TABLES
from dicomgeom.data_manifest import load_data_manifest, shipped_data_manifests
from dicomgeom.errors import (
    EXIT_DONE,
    EXIT_INTEGRITY,
    EXIT_NOTHING_USABLE,
    EXIT_SOME_SKIPPED,
    EXIT_WRONG_USE,
)
from dicomgeom.index import index
from dicomgeom.overrides import read_overrides
from dicomgeom.phase_table import PHASES
from dicomgeom.reasons import REASONS
from dicomgeom.view_names import VIEWS
from pretext_targets.annotations import CANONICAL
from pretext_targets.build_reasons import BUILD_REASONS
from pretext_targets.label_codes import codes_of
from pretext_targets.protocol import example_protocols, load_protocol, shipped_protocols
from pretext_targets.store import SCHEMA
from tests.helpers.real import PROJECT
from training.experiments.grid import shipped_grids
from training.recipe import Recipe, load_recipe, shipped_recipes
from training.recipe_keys import settings_of

DOCS = sorted(
    [
        *PROJECT.glob("docs/**/*.md"),
        *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ]
)
REFERENCE = (PROJECT / "docs" / "reference.md").read_text()
HOW_TO = (PROJECT / "docs" / "how-to.md").read_text()
FOLDERS = "benchmarks|cli|data_manifests|dicomgeom|docs|phantoms|pretext_targets|reporting|tests|training"

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OPTIONS = {
    name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    | {"--help"}
    for name, command in COMMANDS.items()
}

every_page = pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(PROJECT)))


def quoted(text: str) -> Iterator[str]:
    """Give each code span, and each line of code blocks, indented or fenced."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^    (.+)$", text, flags=re.MULTILINE)
    yield from (span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", text))


def block_of(text: str, language: str) -> str:
    """Give the first fenced block of a language."""
    found = re.search(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


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
        assert "--json" in OPTIONS[str(command.name)]
    codes = (EXIT_DONE, EXIT_WRONG_USE, EXIT_SOME_SKIPPED, EXIT_NOTHING_USABLE, EXIT_INTEGRITY)
    for code in (*codes, EXIT_UNEXPECTED, EXIT_INTERRUPTED):
        assert f"| {code} |" in HOW_TO


def anchors_of(page: Path) -> set[str]:
    """Give the addresses of a page's headings as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)", page.read_text())
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        aim = page.parent / path if path else page
        assert aim.exists(), link
        assert not anchor or anchor in anchors_of(aim), link


@every_page
def test_every_path_of_the_house_that_is_named_exists(page: Path) -> None:
    paths = {
        word
        for code in quoted(page.read_text())
        for word in code.split()
        if re.fullmatch(rf"({FOLDERS})/[\w./-]*", word)
    }
    assert [path for path in sorted(paths) if not (PROJECT / path).exists()] == []


@every_page
def test_every_command_line_that_is_quoted_can_be_typed(page: Path) -> None:
    for code in quoted(page.read_text()):
        if not re.match(r"anatprep [a-z]", code):
            continue
        name, *words = shlex.split(code, comments=True)[1:]
        assert name in OPTIONS, code
        options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert options <= OPTIONS[name], code
        for option, value in pairwise(words):
            if option == "--view":
                assert value in VIEWS, code
            if option == "--protocol" and not value.endswith(".toml"):
                load_protocol(value)


@every_page
def test_every_option_that_is_named_exists(page: Path) -> None:
    named = {code.split()[0] for code in quoted(page.read_text()) if re.match(r"--[a-z]", code)}
    known = set.union(*OPTIONS.values()) | {"--debug", "--version"}
    if page.parent.name == "results":  # these quote benchmarks, which have options of their own
        benchmarks = "".join(path.read_text() for path in (PROJECT / "benchmarks").glob("*.py"))
        known |= set(re.findall(r'"(--[a-z-]+)"', benchmarks))
    assert sorted(named - known) == []


@every_page
def test_every_make_target_that_is_quoted_exists(page: Path) -> None:
    targets = set(re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE))
    lines = [re.match(r"make (\w+)", code) for code in quoted(page.read_text())]
    assert {line[1] for line in lines if line} <= targets


def test_every_column_of_the_phases_stands_in_the_reference() -> None:
    section = REFERENCE.split("### phases.parquet")[1].split("\n### ")[0]
    found = re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", section, flags=re.MULTILINE)
    assert found == [(column.name, column.meaning) for column in PHASES]


def test_every_reason_stands_in_the_reference() -> None:
    found = re.findall(r"^\| `(\w+\.\w+)` \| `([\w-]+)` \| (.+) \|$", REFERENCE, flags=re.MULTILINE)
    assert sorted(found) == sorted(
        (column, word, meaning) for column, words in REASONS.items() for word, meaning in words.items()
    )


def test_every_reason_of_a_build_stands_in_the_reference() -> None:
    section = REFERENCE.split("### What a build leaves out")[1].split("\n### ")[0]
    found = re.findall(r"^\| `(\w+)` \| `([\w-]+)` \| (.+) \|$", section, flags=re.MULTILINE)
    assert sorted(found) == sorted(
        (key, word, meaning) for key, words in BUILD_REASONS.items() for word, meaning in words.items()
    )


def test_the_manifest_in_the_reference_is_read(tmp_path: Path) -> None:
    section = REFERENCE.split("## Manifests of data sets")[1].split("\n## ")[0]
    example = tmp_path / "our-hearts.toml"
    example.write_text("\n".join(re.findall(r"^    (.+)$", section, flags=re.MULTILINE)))
    manifest = load_data_manifest(example)
    codes = codes_of(manifest)
    assert codes == {1: "RV cavity", 2: "LV myocardium", 3: "LV cavity", 4: "LV cavity", 5: "background"}
    named = section.split("takes a name (")[1].split(")")[0]
    assert tuple(re.findall(r"`([^`]+)`", named)) == shipped_data_manifests()


def test_every_name_that_a_structure_goes_by_stands_in_the_reference() -> None:
    for structure, names in CANONICAL.items():
        assert f"| {structure} | {', '.join(names)} |" in REFERENCE


def test_every_protocol_and_recipe_stands_in_the_reference() -> None:
    section = REFERENCE.split("## Protocols")[1].split("\n## ")[0]
    found = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", section, flags=re.MULTILINE)
    assert found == [
        (name, load_protocol(name).about) for name in (*shipped_protocols(), *example_protocols())
    ]
    section = REFERENCE.split("## Recipes")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", section, flags=re.MULTILINE) == list(shipped_recipes())


def test_every_setting_of_a_recipe_stands_in_the_reference_with_its_type_and_default() -> None:
    section = REFERENCE.split("## Settings of a recipe")[1].split("\n## ")[0]
    settings = list(settings_of(Recipe))
    assert [one.key for one in settings if not one.meaning] == []
    assert re.findall(r"^\| `.+$", section, flags=re.MULTILINE) == [one.row() for one in settings]


def test_every_grid_of_an_experiment_stands_in_the_reference() -> None:
    section = REFERENCE.split("## Experiments")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", section, flags=re.MULTILINE) == list(shipped_grids())


def test_the_tutorial_names_every_shipped_protocol_and_recipes_that_load() -> None:
    tutorial = (PROJECT / "docs" / "tutorial.md").read_text()
    assert [name for name in shipped_protocols() if f"`{name}`" not in tutorial] == []
    recipes = re.findall(r"(?:train |`)((?:pretrain|segment)-[\w-]+)", tutorial)
    assert recipes
    for name in recipes:
        load_recipe(name)


@pytest.mark.parametrize("text", [REFERENCE, HOW_TO], ids=["reference", "how-to"])
def test_the_example_of_overrides_is_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "overrides.toml").write_text(block_of(text, "toml"))
    assert [override.view for override in read_overrides(tmp_path / "overrides.toml")] == ["RVOT"]


def test_the_question_in_sql_is_answered(heart_export: Path, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    index([heart_export], tmp_path / "catalogue")
    question = block_of(HOW_TO, "sql").replace("anatprep-work/catalogue", str(tmp_path / "catalogue"))
    assert duckdb.sql(question).fetchall() == [(1,)]
