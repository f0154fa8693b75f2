"""Each task learns what it should on stores small enough to learn by heart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from training.evaluate import evaluate
from training.loop import train
from training.recipe import Recipe


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize(
    ("name", "steps", "falls_to"),
    [
        ("pretrain-app", 80, 0.6),
        ("pretrain-orientation", 80, 0.5),
        ("pretrain-location", 80, 0.2),
        ("pretrain-mtl", 80, 0.5),
        ("segment-sax", 60, 0.5),
    ],
)
def test_the_loss_falls(
    name: str,
    steps: int,
    falls_to: float,
    small: Callable[..., Recipe],
    labelled_store: Path,
    tmp_path: Path,
) -> None:
    recipe = small(
        name,
        steps=str(steps),
        backbone__width="6",
        batch_size="8",
        optimiser__learning_rate="1e-2",
        log_every="5",
        checkpoint_every="1000",
        validate_every="1000",
    )
    train(recipe, {"": labelled_store}, tmp_path / "run")
    found = losses(tmp_path / "run")
    assert found[-1] < falls_to * found[0], found
    if name == "segment-sax":
        dice = evaluate(tmp_path / "run", labelled_store)["tasks"]["segmentation"]["mean"]
        assert dice["dice mean"] > 0.7
    if name == "pretrain-location":
        assert evaluate(tmp_path / "run", labelled_store)["tasks"]["location"]["all_slices"]["r"] > 0.9
