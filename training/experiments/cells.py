"""The cells of a grid: single trainings, each named by the hash of all that decides its outcome.

Equal cells are one cell: a pretraining is trained once, whatever the number of arms that begin with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from training.experiments.grid import Arm, Grid, Measured, Pretraining, Size, as_words
from training.recipe import Recipe, load_recipe


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes
    ----------
    stores
        Pairs (what the recipe calls a store, what the grid calls it).
    sha256
        Of the recipe, the plans of the stores, and the parent.
    """

    recipe: Recipe
    stores: tuple[tuple[str, str], ...]
    parent: Cell | None
    sha256: str

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return self.sha256[:16]


@dataclass(frozen=True)
class Trial:
    """One entry of a table before averaging: an arm with a subset of subjects, and on whom it is measured."""

    arm: str
    subjects: int
    subset: int
    cell: Cell
    test: Measured


@dataclass(frozen=True)
class Plan:
    """All cells of a grid, parents first, and all trials.

    Trials come in the order of their subsets: what is finished early is a whole table of fewer subsets.
    """

    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]

    def tests_of(self, cell: Cell) -> tuple[Measured, ...]:
        """On whom a cell is measured."""
        return tuple(dict.fromkeys(one.test for one in self.trials if one.cell.sha256 == cell.sha256))

    def heirs_of(self, cell: Cell) -> tuple[Cell, ...]:
        """The cells that begin with a cell's weights."""
        return tuple(one for one in self.cells if one.parent and one.parent.sha256 == cell.sha256)


def plan_grid(grid: Grid, size: str, plans: Mapping[str, str]) -> Plan:
    """Write a grid out into cells and trials.

    Parameters
    ----------
    size
        "paper", or one of the grid's sizes.
    plans
        The hash of each store's plan, by the grid's name for it.

    Raises
    ------
    WrongUse
        A size that is not there, or settings that a recipe does not take.
    """
    sized = grid.sized(size)
    trials: list[Trial] = []
    subsets = {int(key): count for key, count in (sized.subsets or grid.subsets).items()}
    for subset in range(max(subsets.values())):
        seed = subset if grid.pretrain_each_subset else None
        parents = {one.name: _pretraining(grid, one, sized, seed, plans) for one in grid.pretrainings}
        for subjects in (number for number, count in subsets.items() if subset < count):
            for arm in grid.each_arm():
                parent = parents.get(arm.parent)
                if not arm.recipe and parent is not None:
                    trials.append(Trial(arm.name, subjects, subset, parent, arm.test or grid.test))
                    continue
                cell = _arm(grid, arm, sized, parent, (subjects, subset), plans)
                trials.append(Trial(arm.name, subjects, subset, cell, arm.test or grid.test))
    cells = [one for trial in trials for one in (trial.cell.parent, trial.cell) if one is not None]
    return Plan(tuple(dict.fromkeys(cells)), tuple(trials))


def _pretraining(
    grid: Grid, one: Pretraining, sized: Size, seed: int | None, plans: Mapping[str, str]
) -> Cell:
    budget = {**sized.every, **sized.pretraining, **sized.recipes.get(one.recipe, {})}
    own = {} if seed is None else {"seed": seed}
    recipe = load_recipe(one.recipe, as_words({**grid.set, **one.set, **budget, **own}))
    return _cell(recipe, one.stores, None, plans)


def _arm(
    grid: Grid, arm: Arm, sized: Size, parent: Cell | None, who: tuple[int, int], plans: Mapping[str, str]
) -> Cell:
    budget = {**sized.every, **sized.arm, **sized.recipes.get(arm.recipe, {})}
    settings = {**grid.settings_of(arm, who[0]), **budget}
    recipe = load_recipe(arm.recipe, as_words({**settings, "subjects": who[0], "seed": who[1]}))
    return _cell(recipe, arm.stores, parent, plans)


def _cell(recipe: Recipe, stores: Mapping[str, str], parent: Cell | None, plans: Mapping[str, str]) -> Cell:
    decisive = {
        "recipe": recipe.sha256(),
        "stores": {name: plans[of_grid] for name, of_grid in stores.items()},
        "parent": parent.sha256 if parent else "",
    }
    sha256 = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return Cell(recipe, tuple(sorted(stores.items())), parent, sha256)
