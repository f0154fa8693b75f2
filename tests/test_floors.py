"""The house stands: imports go down only, in no circle, and the commands start light."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]

FLOORS = {"dicomgeom": 0, "pretext_targets": 1, "training": 2, "reporting": 3, "cli": 4}
"""Package -> floor; a module may import its own package and lower floors."""

BESIDE = "phantoms"
"""Stands beside the house on the ground: it may lean on dicomgeom, and only cli opens its door."""

HEAVY = ("torch", "monai", "zarr", "dask", "distributed", "polars", "matplotlib", "pydicom", "highdicom",
         "scipy", "shapely", "numpy")  # fmt: skip
"""What `anatprep --help` must not wait for."""

MOST_SECONDS_FOR_HELP = 5.0
"""Loading torch alone takes longer on a busy two-core machine; a light start takes a tenth of this."""


def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module of the house."""
    found = {}
    for package in (*FLOORS, BESIDE):
        for file in sorted((HOUSE / package).rglob("*.py")):
            parts = file.relative_to(HOUSE).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def imports_of(file: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of what a file imports from the house, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from package import module` names a module, `from module import thing` does not.
            nested = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in nested]
        elif isinstance(node, ast.ImportFrom):
            raise AssertionError(f"{file}:{node.lineno}: relative import; spell the package")
        else:
            continue
        for name in dict.fromkeys(names):
            if name.partition(".")[0] in (*FLOORS, BESIDE):
                yield node.lineno, name


def may_import(importer: str, imported: str) -> bool:
    """Whether a module of one package may import from another package."""
    if importer == imported:
        return True
    if importer == BESIDE:
        return imported == "dicomgeom"
    if imported == BESIDE:
        return importer == "cli"
    return FLOORS[imported] < FLOORS[importer]


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str) -> None:
    upward = [
        f"{MODULES[module].relative_to(HOUSE)}:{line} imports {name}"
        for line, name in imports_of(MODULES[module])
        if not may_import(module.partition(".")[0], name.partition(".")[0])
    ]
    assert not upward, upward


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("training")])
def test_training_knows_nothing_of_dicom(module: str) -> None:
    names = ("cores", "differences", "errors", "holding", "progress", "spelling")
    known = {f"dicomgeom.{name}" for name in names}
    foreign = {name for _, name in imports_of(MODULES[module]) if name.startswith("dicomgeom")} - known
    assert not foreign, f"{module} imports {sorted(foreign)}"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: {name for _, name in imports_of(file)} - {module} for module, file in MODULES.items()}
    finished: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in finished:
            for imported in sorted(graph.get(module, ())):
                walk(imported, (*path, module))
            finished.add(module)

    for module in graph:
        walk(module, ())


def test_the_rules_themselves_tell_up_from_down() -> None:
    assert may_import("training", "pretext_targets")
    assert may_import("cli", "phantoms")
    assert not may_import("dicomgeom", "pretext_targets")
    assert not may_import("reporting", "cli")
    assert not may_import("training", "phantoms")
    assert not may_import("phantoms", "training")


def test_every_command_is_known_without_loading_a_heavy_library() -> None:
    probe = f"import sys, cli.main; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", probe], cwd=HOUSE, capture_output=True, text=True, check=True
    ).stdout.split()
    assert loaded == []


def test_help_comes_fast() -> None:
    started_at = time.monotonic()
    shown = subprocess.run(
        [sys.executable, "-m", "cli.main", "--help"], cwd=HOUSE, capture_output=True, text=True, check=True
    )
    assert "index" in shown.stdout
    assert time.monotonic() - started_at < MOST_SECONDS_FOR_HELP
