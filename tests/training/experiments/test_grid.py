from __future__ import annotations

from pathlib import Path

import pytest

from dicomgeom.errors import WrongUse
from training.experiments.cells import plan_grid
from training.experiments.grid import Grid, load_grid, shipped_grids

PLANS = {"pretext": "p", "labelled": "q"}


@pytest.mark.parametrize("name", shipped_grids())
def test_every_shipped_grid_can_be_planned_in_every_size(name: str) -> None:
    grid = load_grid(name)
    for size in ("paper", *grid.sizes):
        plan = plan_grid(grid, size, {store: store for store in grid.stores})
        assert plan.trials
        assert len({cell.sha256 for cell in plan.cells}) == len(plan.cells)


STEPS_OF_ARMS = {
    "bai-table-1": dict.fromkeys((1, 5, 10, 50, 100), 50_000),
    "demooij-table-1": {10: 6_250, 15: 9_375, 25: 15_625, 50: 31_250, 0: 190_000},
    "demooij-table-2": {0: 95_000},
    "demooij-table-3": {10: 6_250, 15: 9_375, 25: 15_625, 50: 31_250, 0: 190_000},
    "demooij-table-4": {10: 6_250, 15: 9_375, 25: 15_625, 50: 31_250, 0: 190_000},
    "pretexts": {1: 400, 4: 1_600, 16: 6_400},
    "pretexts-without-planes": {1: 400, 4: 1_600, 16: 6_400},
    "zhang-table-3": {1: 400, 4: 1_600, 16: 6_400, 32: 12_800, 64: 25_600},
    "zhang-table-4": {1: 400, 4: 1_600, 16: 6_400, 32: 12_800, 64: 25_600},
    "zhang-table-5": {80: 4_000, 200: 10_000, 400: 20_000, 800: 40_000},
}
"""Steps of fine-tuning by the number of subjects: the epochs of the papers, in the steps of the recipes."""


@pytest.mark.parametrize("name", STEPS_OF_ARMS)
def test_a_paper_that_counts_epochs_has_steps_in_proportion_to_its_subjects(name: str) -> None:
    grid = load_grid(name)
    multitask_apart = [
        (trial.subjects, trial.cell.recipe)
        for trial in plan_grid(grid, "paper", {store: store for store in grid.stores}).trials
        if len(trial.cell.recipe.streams) == 1 and not _is_measured_itself(grid, trial.arm)
    ]
    assert {n: recipe.steps for n, recipe in multitask_apart} == STEPS_OF_ARMS[name]
    assert len({(n, recipe.steps) for n, recipe in multitask_apart}) == len(STEPS_OF_ARMS[name])
    if name == "zhang-table-5":
        assert all(recipe.validate_every == n for n, recipe in multitask_apart)


def _is_measured_itself(grid: Grid, name: str) -> bool:
    return any(arm.name == name and not arm.recipe for arm in grid.each_arm())


@pytest.mark.parametrize("name", ["pretexts", "pretexts-without-planes"])
@pytest.mark.parametrize("size", ["paper", "small"])
def test_pretexts_are_compared_at_equal_steps(name: str, size: str) -> None:
    grid = load_grid(name)
    plan = plan_grid(grid, size, {store: store for store in grid.stores})
    assert len({cell.parent.recipe.steps for cell in plan.cells if cell.parent}) == 1


@pytest.mark.parametrize("name", ["pretexts", "pretexts-without-planes", "zhang-table-3", "zhang-table-4"])
def test_after_models_genesis_images_keep_its_scale(name: str) -> None:
    grid = load_grid(name)
    trials = plan_grid(grid, "paper", {store: store for store in grid.stores}).trials
    assert {trial.cell.recipe.normalise for trial in trials if trial.arm == "genesis"} == {"image-0-1"}
    assert {trial.cell.recipe.normalise for trial in trials if trial.arm == "scratch"} == {"image-z-score"}


def test_segmentations_of_de_mooij_et_al_are_not_in_mixed_precision() -> None:
    grid = load_grid("demooij-table-1")
    plan = plan_grid(grid, "paper", {store: store for store in grid.stores})
    mixed = {cell.recipe.name: cell.recipe.amp for cell in plan.cells}
    assert mixed == {
        "pretrain-simclr": True,
        "pretrain-pcl": False,
        "pretrain-dino": True,
        "pretrain-mim": True,
        "segment-sax-nnunet": False,
    }


def test_an_arm_for_each_pretraining_has_its_name(grid_file: Path) -> None:
    assert [arm.name for arm in load_grid(grid_file).each_arm()] == [
        "scratch",
        "from location",
        "location itself",
    ]


def test_all_that_is_wrong_with_a_grid_is_said_at_once(grid_file: Path) -> None:
    text = grid_file.read_text().replace('parent = "location"', 'parent = "place"')
    text = text.replace('reference = "scratch"', 'reference = "scratched"')
    grid_file.write_text(text.replace('main = "pretext"', 'main = "other"'))
    with pytest.raises(WrongUse) as refused:
        load_grid(grid_file)
    for part in ("'place', which is no pretraining", "names the arm 'scratched'", "store 'other'"):
        assert part in str(refused.value)


def test_an_unknown_key_is_refused(grid_file: Path) -> None:
    grid_file.write_text(grid_file.read_text() + "\n[extra]\n")
    with pytest.raises(WrongUse, match="extra"):
        load_grid(grid_file)


def test_a_grid_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(WrongUse, match="no grid called 'bay'; shipped are: bai-table-1"):
        load_grid("bay")


def test_a_size_that_is_not_there_is_told_with_those_that_are(grid_file: Path) -> None:
    with pytest.raises(WrongUse, match="no size 'tiny'; it has paper, smaller"):
        plan_grid(load_grid(grid_file), "tiny", PLANS)


def test_a_setting_that_a_recipe_does_not_take_is_refused_when_planning(grid_file: Path) -> None:
    grid_file.write_text(grid_file.read_text().replace("steps = 3", "stepps = 3"))
    with pytest.raises(WrongUse, match="unknown key 'stepps'"):
        plan_grid(load_grid(grid_file), "paper", PLANS)
