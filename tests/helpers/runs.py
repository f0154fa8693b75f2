"""Runs of trainings that are stopped, and compared bit by bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from training.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
"""What the fixture `small` is: a shipped recipe, made small, with other settings as words."""

FORMER_STATE = ("checkpoint.safetensors", "weights.safetensors")


class Stopped(Exception):
    """Stands for a process that ends in the middle of a run."""


def stop_after(step: int) -> Callable[..., None]:
    def progress(what: str, *, done: int, total: int | None) -> None:
        if what == "training" and done == step:
            raise Stopped

    return progress


def log_of(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_s"} for line in lines]


def assert_same_bits(one: Path, other: Path) -> None:
    for name in FORMER_STATE:
        tensors, others = load_file(one / name), load_file(other / name)
        assert tensors.keys() == others.keys()
        assert all(torch.equal(values, others[key]) for key, values in tensors.items())
    assert log_of(one) == log_of(other)
