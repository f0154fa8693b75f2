from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from training.loop import train
from training.plateau import Plateau
from training.recipe import Recipe
from training.settings import ScheduleSettings


@pytest.mark.parametrize("patience", [0, 1, 5])
def test_the_rate_falls_when_pytorchs_own_would(patience: int) -> None:
    rng = np.random.default_rng(patience)
    losses = 1.0 / np.sqrt(np.arange(1, 120)) + rng.normal(0, 0.03, 119)
    losses[[30, 31]] = np.nan
    ours = Plateau(ScheduleSettings(kind="plateau", factor=0.3, patience=patience))
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.3, patience=patience, eps=0.0)
    for loss in losses:
        ours.see(float(loss))
        theirs.step(float(loss))
        assert ours.scale == pytest.approx(optimiser.param_groups[0]["lr"])
    assert ours.scale < 1.0


def test_what_it_remembers_can_be_put_back() -> None:
    settings = ScheduleSettings(kind="plateau", factor=0.5, patience=1)
    whole = Plateau(settings)
    for loss in (1.0, 0.5, 0.6, 0.7, 0.4, 0.45):
        whole.see(loss)
    again = Plateau(settings)
    again.restore(json.loads(json.dumps(whole.state())))
    for plateau in (whole, again):
        plateau.see(0.46)
    assert again.state() == whole.state()
    assert Plateau(settings).state() == {}


class Stopped(Exception):
    pass


def stop_after(step: int) -> Callable[..., None]:
    def progress(what: str, *, done: int, total: int | None) -> None:
        if what == "training" and done == step:
            raise Stopped

    return progress


def rates(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["learning_rate"] for line in lines if "learning_rate" in line]


def test_a_run_with_it_falls_and_ends_with_the_same_bits_when_it_was_interrupted(
    small: Callable[..., Recipe], pretext_store: Path, tmp_path: Path
) -> None:
    # So small a rate, and no batch norm whose averages settle, that validation hardly gets better.
    recipe = small(
        steps="12", schedule__kind="plateau", schedule__factor="0.3", schedule__patience="1",
        optimiser__learning_rate="1e-7", backbone__norm="instance",
        validate_every="1", log_every="1", checkpoint_every="4",
    )  # fmt: skip
    train(recipe, {"": pretext_store}, tmp_path / "whole")
    for stop in (3, 7, 10):
        with pytest.raises(Stopped):
            train(recipe, {"": pretext_store}, tmp_path / "parts", progress=stop_after(stop))
    train(recipe, {"": pretext_store}, tmp_path / "parts")
    assert rates(tmp_path / "parts") == rates(tmp_path / "whole")
    assert len(set(rates(tmp_path / "whole"))) > 3
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(values, other[name]) for name, values in one.items())
