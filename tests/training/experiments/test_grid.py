from __future__ import annotations

from pathlib import Path

import pytest

from dicomgeom.errors import WrongUse
from training.experiments.cells import plan_grid
from training.experiments.grid import load_grid, shipped_grids

PLANS = {"pretext": "p", "labelled": "q"}


@pytest.mark.parametrize("name", shipped_grids())
def test_every_shipped_grid_can_be_planned_in_every_size(name: str) -> None:
    grid = load_grid(name)
    for size in ("paper", *grid.sizes):
        plan = plan_grid(grid, size, {store: store for store in grid.stores})
        assert plan.trials
        assert len({cell.sha256 for cell in plan.cells}) == len(plan.cells)


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
