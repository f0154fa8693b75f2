"""The pretexts that compare embeddings, as whole runs: they learn, resume, transfer and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import load_file

from dicomgeom.errors import NothingUsable, WrongUse
from tests.helpers.runs import MakeRecipe
from training.loop import train
from training.recipe import Recipe, load_recipe
from training.tasks.collapse import COLLAPSED_BELOW

WriteStore = Callable[..., Path]
FOUR = ("simclr", "byol", "pcl", "dino")

TINY = {
    "simclr": {"hidden": "128", "size": "64"},
    "pcl": {"hidden": "128", "size": "64"},
    "byol": {"hidden": "32", "size": "16", "average": "0.9"},
    "dino": {"hidden": "32", "size": "16", "prototypes": "24", "local_crops": "1", "local_share": "0.7"},
}
"""Heads for networks of a few channels."""

GENTLE = {
    "augment__rotation_deg": "10",
    "augment__scale_min": "0.95",
    "augment__scale_max": "1.05",
    "augment__shift_fraction": "0.05",
    "augment__flip_left_right": "0",
    "augment__flip_up_down": "0",
    "augment__blur_max_px": "0",
    "augment__blur_min_px": "0",
    "augment__intensity_scale": "0.1",
    "augment__intensity_shift": "0.1",
    "augment__gamma": "0.1",
    "augment__noise_sd": "0.05",
}
"""Under the published augmentation the few patients of a synthetic store look all alike."""


def tiny(small: MakeRecipe, name: str, **changes: str) -> Recipe:
    heads = {f"tasks__{name}__{key}": value for key, value in TINY[name].items()}
    return small(f"pretrain-{name}", schedule__warmup_share="0", **{**heads, **changes})


def log_of(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_s"} for line in lines]


def stop_after(step: int) -> Callable[..., None]:
    def progress(what: str, *, done: int, total: int | None) -> None:
        if what == "training" and done == step:
            raise InterruptedError

    return progress


@pytest.mark.parametrize(
    ("name", "part", "falls_to"),
    [("simclr", "nt_xent", 0.6), ("byol", "distance", 0.9), ("pcl", "nt_xent", 0.7), ("dino", "", 0.75)],
)
def test_the_loss_falls_and_images_stay_apart(
    name: str, part: str, falls_to: float, small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    recipe = tiny(
        small,
        name,
        **GENTLE,
        steps="40",
        batch_size="8",
        backbone__width="6",
        optimiser__learning_rate="0.02",
        log_every="5",
        checkpoint_every="1000",
        validate_every="1000",
    )
    train(recipe, {"": pretext_store}, tmp_path / "run")
    logged = [line["parts"] for line in log_of(tmp_path / "run") if "parts" in line]
    if part:
        found = [parts[f"{name}/{part}"] for parts in logged]
    else:  # the cross-entropy less what the teacher itself does not know: a divergence, 0 at best
        found = [parts["dino/cross_entropy"] - parts["dino/teacher_entropy"] for parts in logged]
    assert found[-1] < falls_to * found[0], found
    assert logged[-1][f"{name}/spread"] > 2 * COLLAPSED_BELOW, logged[-1]


@pytest.mark.parametrize("name", FOUR)
def test_a_resumed_run_ends_with_the_same_bits(
    name: str, small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    recipe = tiny(small, name, tasks__dino__still_share="0.5", tasks__dino__warmup_share="1.0")
    train(recipe, {"": pretext_store}, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        train(recipe, {"": pretext_store}, tmp_path / "resumed", progress=stop_after(4))
    train(recipe, {"": pretext_store}, tmp_path / "resumed")
    for file in ("checkpoint.safetensors", "weights.safetensors"):
        one, other = load_file(tmp_path / "whole" / file), load_file(tmp_path / "resumed" / file)
        assert one.keys() == other.keys()
        assert all(torch.equal(values, other[key]) for key, values in one.items())
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "resumed")
    if name == "dino":
        assert one["_tasks.dino.centre"].any()


@pytest.mark.parametrize("name", ["byol", "dino"])
def test_a_teacher_begins_as_the_pretrained_student_and_never_transfers(
    name: str, small: MakeRecipe, pretext_store: Path, labelled_store: Path, tmp_path: Path
) -> None:
    train(tiny(small, "simclr"), {"": pretext_store}, tmp_path / "first")
    recipe = tiny(small, name, steps="1", optimiser__learning_rate="1e-30", optimiser__weight_decay="0")
    summary = train(recipe, {"": pretext_store}, tmp_path / "second", init=tmp_path / "first")
    assert summary.transfer is not None
    assert summary.transfer["coverage"] == 1.0
    before = load_file(tmp_path / "first" / "weights.safetensors")
    after = load_file(tmp_path / "second" / "weights.safetensors")
    teacher = f"_tasks.{name}.teacher.backbone."
    weights = [
        key for key in after if key.startswith(teacher) and not key.endswith(("mean", "var", "tracked"))
    ]
    assert weights
    assert not any("upcat" in key for key in weights)
    for key in weights:
        assert torch.allclose(after[key], before[key.replace(teacher, "backbone.")], atol=1e-7), key
    counted = f"{teacher}net.conv_0.conv_0.adn.N.num_batches_tracked"
    assert after[counted] == before[counted.replace(teacher, "backbone.")] + 1
    recipe = small("segment-sax", steps="1", init__least_coverage="1.0")
    taken = train(recipe, {"": labelled_store}, tmp_path / "third", init=tmp_path / "second").transfer
    assert taken is not None
    assert taken["coverage"] == 1.0
    assert taken["matched"] == len([key for key in after if key.startswith(teacher)])


@pytest.mark.parametrize("name", FOUR)
def test_stores_without_geometry_and_other_networks_will_do(
    name: str, small: MakeRecipe, write_store: WriteStore, tmp_path: Path
) -> None:
    store = write_store(
        tmp_path / "s.zarr", locations=False, partners_known=(False, False), carrier="SAG", side=96
    )
    for kind, more in (("alexnet", {"width": "8"}), ("dyn-unet", {"width": "4", "levels": "4"})):
        changes = {f"backbone__{key}": value for key, value in more.items()}
        if name == "dino":
            changes["tasks__dino__local_share"] = "0.6666666666666666"
        recipe = tiny(small, name, steps="2", backbone__kind=kind, **changes)
        summary = train(recipe, {"": store}, tmp_path / kind)
        assert np.isfinite(list(summary.losses.values())).all()


def test_positions_in_mm_need_geometry(small: MakeRecipe, pretext_store: Path, tmp_path: Path) -> None:
    recipe = tiny(small, "pcl", tasks__pcl__threshold_mm="12")
    with pytest.raises(NothingUsable, match="threshold_mm needs the places of slices in mm") as caught:
        train(recipe, {"": pretext_store}, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_positions_in_mm_are_those_of_the_store(
    small: MakeRecipe, write_store: WriteStore, tmp_path: Path
) -> None:
    store = write_store(tmp_path / "s.zarr")
    grids = zarr.open_array(store / "patient_from_pixel", mode="r+")
    placed = np.tile(np.eye(4), (grids.shape[0], 1, 1))
    placed[:, 2, 3] = 8.0 * (np.arange(len(placed)) % 6)
    grids[...] = placed
    losses = {
        threshold: train(
            tiny(small, "pcl", steps="1", tasks__pcl__threshold_mm=threshold),
            {"": store},
            tmp_path / threshold,
        ).losses["pcl/nt_xent"]
        for threshold in ("8", "4", "8.1")
    }
    assert losses["8"] == losses["4"] != losses["8.1"]


@pytest.mark.parametrize("name", FOUR)
def test_a_batch_of_one_is_refused_in_one_line(
    name: str, small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    with pytest.raises(WrongUse, match=f"{name} learns from several images at a time") as caught:
        train(tiny(small, name, batch_size="1"), {"": pretext_store}, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_collapse_stands_in_the_notes_of_the_run(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    # As published, without batch norm in the head, at a rate for batches of 224.
    recipe = tiny(small, "simclr", tasks__simclr__norm="none", optimiser__learning_rate="0.1", steps="30")
    summary = train(recipe, {"": pretext_store}, tmp_path / "run")
    assert "simclr: its embeddings have collapsed" in summary.notes[-1]
    assert "collapsed" in json.loads((tmp_path / "run" / "run.json").read_text())["notes"][-1]


@pytest.mark.parametrize("name", FOUR)
def test_the_shipped_recipe_has_the_published_settings(name: str) -> None:
    recipe = load_recipe(f"pretrain-{name}")
    assert (recipe.optimiser.kind, recipe.optimiser.momentum, recipe.schedule.kind) == ("sgd", 0.9, "cosine")
    found = (recipe.batch_size, recipe.optimiser.learning_rate, recipe.optimiser.weight_decay)
    expected = {
        "simclr": (224, 0.1, 1e-4),
        "byol": (224, 0.1, 1e-4),
        "pcl": (64, 0.1, 1e-5),
        "dino": (64, 0.0075, 1e-4),
    }
    assert found == expected[name]
    assert recipe.amp is (name != "pcl")
    assert recipe.schedule.warmup_share == (0.1 if name == "dino" else 0.0)
