"""A grid: which pretrainings, which ways to go on from them, with how many subjects, and which tables.

A grid is a TOML file, read into a checked model; ``training/experiments/grids/*.toml`` hold the forms of the
papers' tables. Settings of recipes are given as dotted keys, as with ``--set``; those of a size ("paper",
"small") come last and win. The number of a subset is the recipe's seed: it chooses the subjects, the first
weights and the order of images, so that all arms of a table have these in common.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from dicomgeom.errors import WrongUse, in_plain_words
from training.settings import Settings

GRIDS = "grids"
PAPER_SIZE = "paper"
EACH = "each"

Overrides = dict[str, Any]


class Pretraining(Settings):
    """A training whose weights others begin with; it sees all patients of its stores' training splits."""

    name: str
    recipe: str
    stores: dict[str, str]
    """What the recipe calls a store -> what the grid calls it."""
    set: Overrides = Field(default_factory=dict)
    hands_on: Overrides = Field(default_factory=dict)
    """Settings of all arms that begin with it, such as the scale of grey values that its weights know."""


class Measured(Settings):
    """On whom an arm is measured."""

    store: str
    split: str = "test"
    by: Literal["evaluation", "diagnosis"] = "evaluation"
    """What `evaluate` measures, or what `diagnose` makes of the segmentations."""
    any_spacing: bool = False
    """Whether its pixels may have another size than those of training, as where a set lost its spacing."""

    @property
    def word(self) -> str:
        """What tells it from others."""
        return f"{self.store}-{self.split}" + ("" if self.by == "evaluation" else f"-{self.by}")


class Arm(Settings):
    """One row of a table: a recipe, begun from scratch or from a pretraining.

    With an empty `recipe` the pretraining itself is measured, once. ``parent = "each"`` stands for one arm
    for each pretraining; ``{parent}`` in `name` is then replaced by its name.
    """

    name: str
    recipe: str = ""
    parent: str = ""
    stores: dict[str, str] = Field(default_factory=dict)
    set: Overrides = Field(default_factory=dict)
    test: Measured | None = None

    @model_validator(mode="after")
    def _something_to_measure(self) -> Arm:
        if not self.recipe and not self.parent:
            raise ValueError(f"arm {self.name!r} has neither a recipe nor a parent")
        return self


class TableForm(Settings):
    """A table over arms (rows) and numbers of subjects (columns), one for each measure."""

    title: str
    measures: tuple[str, ...] = Field(min_length=1)
    arms: tuple[str, ...] = ()
    """Names of the arms; empty for all."""
    reference: str = ""
    """The arm that the others are compared with, patient by patient; "" for no comparison."""


class Size(Settings):
    """Settings for another budget than the paper's, and fewer subsets; the more particular ones win."""

    every: Overrides = Field(default_factory=dict)
    pretraining: Overrides = Field(default_factory=dict)
    arm: Overrides = Field(default_factory=dict)
    recipes: dict[str, Overrides] = Field(default_factory=dict)
    """For the pretrainings and arms of one recipe."""
    subsets: dict[str, int] | None = None


class Grid(Settings):
    """A whole grid; see the shipped ones."""

    name: str
    paper: str = ""
    about: str
    stores: dict[str, str]
    """Name -> what has to be in it, and where it comes from."""
    test: Measured
    subsets: dict[str, int] = Field(default_factory=lambda: {"0": 1})
    """Number of subjects (0 for all) -> how many subsets of that size."""
    set: Overrides = Field(default_factory=dict)
    per_subject: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Settings of arms that grow with the number of subjects, as steps do where a paper counts epochs: what
    they are for one subject. They are left out where an arm has all subjects (0)."""
    pretrainings: tuple[Pretraining, ...] = ()
    pretrain_each_subset: bool = False
    """Whether each subset begins with pretrainings of its own seed, so that intervals hold how another would
    have come out; it costs as many pretrainings as there are subsets. Otherwise one serves all."""
    arms: tuple[Arm, ...] = Field(min_length=1)
    tables: tuple[TableForm, ...] = Field(min_length=1)
    sizes: dict[str, Size] = Field(default_factory=dict)

    @field_validator("subsets")
    @classmethod
    def _numbers(cls, subsets: dict[str, int]) -> dict[str, int]:
        wrong = [key for key, count in subsets.items() if not key.isdigit() or count < 1]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: expected numbers of subjects with 1 or more subsets each")
        return subsets

    @model_validator(mode="after")
    def _names_fit(self) -> Grid:
        pretrainings = [one.name for one in self.pretrainings]
        arms = [arm.name for arm in self.each_arm()]
        problems = [f"two are called {name!r}" for name in _twice(pretrainings) | _twice(arms)]
        problems += [
            f"arm {arm.name!r} begins with {arm.parent!r}, which is no pretraining"
            for arm in self.each_arm()
            if arm.parent and arm.parent not in pretrainings
        ]
        stores = [one.stores for one in self.pretrainings] + [arm.stores for arm in self.arms]
        used = {name for one in stores for name in one.values()}
        used |= {self.test.store} | {arm.test.store for arm in self.arms if arm.test}
        problems += [
            f"store {name!r} is not described in [stores]" for name in sorted(used - set(self.stores))
        ]
        rows = {name for form in self.tables for name in (*form.arms, form.reference) if name}
        problems += [
            f"a table names the arm {name!r}, which is not there" for name in sorted(rows - set(arms))
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def each_arm(self) -> tuple[Arm, ...]:
        """The arms, those of ``parent = "each"`` written out."""
        arms: list[Arm] = []
        for arm in self.arms:
            parents = [one.name for one in self.pretrainings] if arm.parent == EACH else [arm.parent]
            arms += [
                arm.model_copy(update={"parent": parent, "name": arm.name.replace("{parent}", parent)})
                for parent in parents
            ]
        return tuple(arms)

    def settings_of(self, arm: Arm, subjects: int) -> Overrides:
        """What an arm with so many subjects sets, budgets of sizes apart; the more particular ones win."""
        grown = {key: value * subjects for key, value in self.per_subject.items()} if subjects else {}
        handed_on = next((one.hands_on for one in self.pretrainings if one.name == arm.parent), {})
        return {**self.set, **grown, **handed_on, **arm.set}

    def sized(self, size: str) -> Size:
        """The settings of a size; the paper's own has none of its own. Raises `WrongUse`."""
        if size != PAPER_SIZE and size not in self.sizes:
            known = ", ".join((PAPER_SIZE, *self.sizes))
            raise WrongUse(f"grid {self.name} has no size {size!r}; it has {known}")
        return self.sizes.get(size, Size())


def _twice(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}


def shipped_grids() -> tuple[str, ...]:
    """Names of the grids that come with the program, in alphabetical order."""
    folder = resources.files("training.experiments") / GRIDS
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_grid(name_or_path: str | Path) -> Grid:
    """Read a grid: the shipped one of that name, or a TOML file.

    Raises
    ------
    WrongUse
        No such grid, broken TOML, or something in it that makes no sense; all of it at once.
    """
    path, name = Path(name_or_path), str(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise WrongUse(f"grid {path} cannot be read as text: {error}") from error
    elif name in shipped_grids():
        text = (resources.files("training.experiments") / GRIDS / f"{name}.toml").read_text(encoding="utf-8")
    else:
        known = ", ".join(shipped_grids())
        raise WrongUse(f"there is no grid called {name!r}; shipped are: {known}; or give a .toml file")
    try:
        return Grid.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise WrongUse(f"grid {name} is not valid TOML: {error}") from error
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {in_plain_words(one['msg'])}" for one in error.errors()
        )
        raise WrongUse(f"grid {name}: {told}") from error


def as_words(overrides: Mapping[str, Any]) -> dict[str, str]:
    """Values as `load_recipe` takes them: as the text of TOML, which for these is JSON's."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in overrides.items()}
