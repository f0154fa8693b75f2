"""Each rival pretext learns on a store small enough to learn by heart."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from training.backbones import BasicUNetBackbone
from training.draws import mixed
from training.loop import train
from training.recipe import Recipe
from training.tasks.registry import TASKS
from training.tasks.task import Batch, StoreFacts, SumAndCount
from training.validation import SAMPLES_FILE


@pytest.mark.parametrize(
    ("name", "falls_to", "changes"),
    [
        ("pretrain-slice-ordering", 0.4, {}),
        ("pretrain-jigsaw", 0.6, {"tasks__jigsaw__permutations": "3"}),
        ("pretrain-genesis", 0.3, {}),
        ("pretrain-mim", 0.6, {"tasks__mim__patch_px": "6", "optimiser__kind": "adam"}),
    ],
)
def test_the_loss_falls_on_patients_never_seen(
    name: str,
    falls_to: float,
    changes: Mapping[str, str],
    small: Callable[..., Recipe],
    pretext_store: Path,
    tmp_path: Path,
) -> None:
    common = {"steps": "40", "backbone__width": "6", "batch_size": "8", "optimiser__learning_rate": "1e-2"}
    often = {"log_every": "40", "checkpoint_every": "1000", "validate_every": "40"}
    run, task = tmp_path / "run", name.removeprefix("pretrain-")
    train(small(name, **{**common, **often, **changes}), {"": pretext_store}, run)
    first = train(
        small(name, **{**common, **often, "steps": "1", **changes}), {"": pretext_store}, tmp_path / "1"
    )
    (part, before), *_ = first.losses.items()
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    validated = [line["validation"][part] for line in lines if "validation" in line]
    assert part.startswith(task)
    assert validated[-1] < falls_to * before, (validated, before)


@pytest.mark.parametrize("name", ["pretrain-genesis", "pretrain-mim"])
def test_restored_images_are_among_the_pictures_of_a_run(
    name: str, small: Callable[..., Recipe], pretext_store: Path, tmp_path: Path
) -> None:
    train(small(name, steps="1"), {"": pretext_store}, tmp_path / "run")
    with np.load(tmp_path / "run" / SAMPLES_FILE) as samples:
        shapes = {samples[f"{what}"].shape for what in samples.files if what != "held_out"}
        assert shapes == {(8, 48, 48)}
        assert {"prediction_damaged", "prediction_restored", "target_restored"} <= set(samples.files)


@pytest.mark.parametrize("name", ["slice-ordering", "jigsaw", "genesis", "mim"])
def test_the_shares_of_a_team_add_up_to_the_batch(name: str, facts: StoreFacts) -> None:
    torch.manual_seed(0)
    network = BasicUNetBackbone(4).eval()  # batch norm would see the shares apart
    task = TASKS[name](network, facts).eval()
    image, number = torch.rand(2, 6, 1, 48, 48), torch.arange(6)
    places = torch.tensor([[0, 4, 2, 5, 1, 3], [1, 2, 3, 4, 5, 0]])

    def loss(rows: slice) -> SumAndCount:
        crops = [
            Batch(
                image[view, rows],
                {"slice_index": places[view, rows]},
                torch.eye(3).expand(6, 3, 3)[rows],
                number[rows],
                mixed(number[rows], view),
                number[rows],
            )
            for view in range(len(task.crops))
        ]
        (part,) = task.loss(network, crops).values()
        return part

    with torch.no_grad():
        whole, first, second = (loss(rows) for rows in (slice(0, 6), slice(0, 6, 2), slice(1, 6, 2)))
    assert float(whole.sum) == pytest.approx(float(first.sum + second.sum), rel=1e-5)
    assert float(whole.count) == float(first.count + second.count)
