from __future__ import annotations

from pathlib import Path

from training.experiments.cells import plan_grid
from training.experiments.grid import load_grid

PLANS = {"pretext": "p", "labelled": "q"}


def test_a_pretraining_is_one_cell_for_all_that_begin_with_it(grid_file: Path) -> None:
    plan = plan_grid(load_grid(grid_file), "paper", PLANS)
    parents = {cell.parent for cell in plan.cells if cell.parent}
    assert len(parents) == 1
    # one pretraining, and scratch and fine-tuning on three subsets
    assert len(plan.cells) == 1 + 2 * 3
    assert plan.cells.index(next(iter(parents))) == min(
        plan.cells.index(cell) for cell in plan.cells if cell.recipe.name == "pretrain-location"
    )


def test_every_arm_has_the_same_subjects_first_weights_and_order(grid_file: Path) -> None:
    plan = plan_grid(load_grid(grid_file), "paper", PLANS)
    drawn: dict[str, list[tuple[int, int]]] = {}
    for trial in plan.trials:
        if trial.cell.recipe.name == "segment-sax":
            drawn.setdefault(trial.arm, []).append((trial.cell.recipe.subjects, trial.cell.recipe.seed))
    assert drawn["scratch"] == drawn["from location"] == [(1, 0), (2, 0), (1, 1)]


def test_a_size_wins_over_the_settings_of_the_grid(grid_file: Path) -> None:
    plan = plan_grid(load_grid(grid_file), "smaller", PLANS)
    assert {cell.recipe.steps for cell in plan.cells} == {2}
    assert {cell.recipe.batch_size for cell in plan.cells} == {4}
    assert len(plan.cells) == 3


def test_a_cell_is_another_with_another_store_recipe_or_parent(grid_file: Path) -> None:
    grid = load_grid(grid_file)
    first = {cell.sha256 for cell in plan_grid(grid, "paper", PLANS).cells}
    other = {cell.sha256 for cell in plan_grid(grid, "paper", {**PLANS, "pretext": "r"}).cells}
    # scratch does not read the store that changed
    assert len(first & other) == 3
    assert not first & {cell.sha256 for cell in plan_grid(grid, "smaller", PLANS).cells}
