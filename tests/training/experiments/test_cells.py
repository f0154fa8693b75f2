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


def test_each_subset_may_begin_with_a_pretraining_of_its_own_seed(grid_file: Path) -> None:
    grid = load_grid(grid_file).model_copy(update={"pretrain_each_subset": True})
    plan = plan_grid(grid, "paper", PLANS)
    begun = {(trial.subset, trial.cell.parent.recipe.seed) for trial in plan.trials if trial.cell.parent}
    assert begun == {(0, 0), (1, 1)}
    assert len(plan.cells) == 2 + 2 * 3
    # What one pretraining for all subsets has done is done for the first of them.
    one, several = (
        {cell for cell in some.cells if cell.recipe.name == "pretrain-location"}
        for some in (plan_grid(load_grid(grid_file), "paper", PLANS), plan)
    )
    assert one < several


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


def test_what_grows_with_the_subjects_grows_until_a_size_sets_it(grid_file: Path) -> None:
    text = grid_file.read_text().replace("[stores]", "[per_subject]\nsteps = 7\n\n[stores]")
    grid_file.write_text(text.replace("{ 1 = 2, 2 = 1 }", "{ 0 = 1, 1 = 2, 2 = 1 }"))
    grid = load_grid(grid_file)
    trials = plan_grid(grid, "paper", PLANS).trials
    steps = {(trial.arm, trial.subjects): trial.cell.recipe.steps for trial in trials}
    assert {key[1]: count for key, count in steps.items() if key[0] == "scratch"} == {0: 3, 1: 7, 2: 14}
    assert {key[1]: count for key, count in steps.items() if key[0] == "from location"} == {0: 3, 1: 7, 2: 14}
    assert {count for key, count in steps.items() if key[0] == "location itself"} == {3}
    assert {cell.recipe.steps for cell in plan_grid(grid, "smaller", PLANS).cells} == {2}


def test_an_arm_goes_on_as_its_pretraining_asks(grid_file: Path) -> None:
    grid_file.write_text(
        grid_file.read_text().replace(
            'recipe = "pretrain-location"\n',
            'recipe = "pretrain-location"\nhands_on = { normalise = "stack-0-1" }\n',
        )
    )
    plan = plan_grid(load_grid(grid_file), "paper", PLANS)
    used = {trial.arm: trial.cell.recipe.normalise for trial in plan.trials}
    assert used == {
        "scratch": "image-z-score",
        "from location": "stack-0-1",
        "location itself": "image-z-score",
    }
