"""Every pretext goes on where it was stopped: teachers, queues, schedules and damage included."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training.loop import train
from training.recipe import Recipe, shipped_recipes

SMALLER: Mapping[str, Mapping[str, str]] = {
    "pretrain-jigsaw": {"tasks__jigsaw__permutations": "10"},
    "pretrain-mim": {"tasks__mim__patch_px": "16"},
}
"""What makes a recipe small beside its network and its batch."""

PRETEXTS = [name for name in shipped_recipes() if name.startswith("pretrain-")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, write_store: Callable[..., Path]) -> Path:
    """Large enough for AlexNet, and for a U-Net with windows of half the side."""
    return write_store(tmp_path_factory.mktemp("stores") / "s.zarr", side=64, patients=(3, 1, 0))


class Stopped(Exception):
    """Stands for a process that ends in the middle of a run."""


def stop_after_step_2(what: str, *, done: int, total: int | None) -> None:
    if what == "training" and done == 2:
        raise Stopped


def lines_of(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_s"} for line in lines]


@pytest.mark.parametrize("name", PRETEXTS)
def test_a_pretext_that_was_stopped_ends_with_the_same_bits(
    name: str, small: Callable[..., Recipe], store: Path, tmp_path: Path
) -> None:
    changes = {"steps": "3", "log_every": "1", "checkpoint_every": "1", "validate_every": "3"}
    recipe = small(name, **changes, **SMALLER.get(name, {}))
    stores = {"": store}
    train(recipe, stores, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(recipe, stores, tmp_path / "stopped", progress=stop_after_step_2)
    train(recipe, stores, tmp_path / "stopped")
    for file in ("checkpoint.safetensors", "weights.safetensors"):
        one, other = (load_file(tmp_path / run / file) for run in ("whole", "stopped"))
        assert one.keys() == other.keys()
        assert all(torch.equal(values, other[key]) for key, values in one.items())
    assert lines_of(tmp_path / "whole") == lines_of(tmp_path / "stopped")
