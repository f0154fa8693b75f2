"""Runs of several streams: replay of a pretext, stores of two kinds mixed, series as batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pretext_targets.reader import StoreReader
from tests.helpers.runs import MakeRecipe
from tests.training.conftest import SMALL
from training.data import facts_of
from training.evaluate import evaluate
from training.loop import train
from training.model import make_model, read_model
from training.recipe import Recipe, load_recipe
from training.streams import open_stores, open_streams
from training.team import Team

FIVE = ("background", "LV cavity", "LV myocardium", "RV cavity", "LA", "RA")


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_fine_tuning_can_replay_its_pretext(
    small: MakeRecipe, pretext_store: Path, labelled_store: Path, tmp_path: Path
) -> None:
    train(small("pretrain-app", steps="3"), {"": pretext_store}, tmp_path / "pretext")
    replay = small(
        "segment-sax", steps="10", log_every="1", streams__0__turns="4",
        streams__1__store="pretext", streams__1__task="app",
    )  # fmt: skip
    stores = {"main": labelled_store, "pretext": pretext_store}
    summary = train(replay, stores, tmp_path / "run", init=tmp_path / "pretext")
    assert summary.transfer is not None
    assert summary.transfer["coverage"] == 1.0
    learned = [set(line["parts"]) for line in log_of(tmp_path / "run") if "parts" in line]
    assert learned == ([{"segmentation/cross_entropy"}] * 4 + [{"app/cross_entropy"}]) * 2
    held_out = [line["validation"] for line in log_of(tmp_path / "run") if "validation" in line]
    assert {"segmentation/cross_entropy", "app/cross_entropy"} <= set(held_out[-1])


@pytest.fixture(scope="module")
def mixed(write_store: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real hearts and phantoms: of different size, with different partners, and other patients."""
    folder = tmp_path_factory.mktemp("mixed")
    return {
        "real": write_store(folder / "real.zarr", side=48, patients=(2, 1, 1)),
        "phantom": write_store(
            folder / "phantom.zarr", side=64, partners=("4CH",), carrier="4CH", patients=(5, 2, 1),
            first_patient=50, seed=7,
        ),
    }  # fmt: skip


def mixing(small: MakeRecipe, **changes: str) -> Recipe:
    return small(
        "pretrain-orientation", streams__0__store="real", streams__0__turns="1",
        streams__1__store="phantom", streams__1__task="orientation", streams__1__turns="2", **changes,
    )  # fmt: skip


def test_phantoms_and_real_exams_are_learned_from_in_one_run(
    small: MakeRecipe, mixed: dict[str, Path], tmp_path: Path
) -> None:
    recipe = mixing(small, steps="36", batch_size="4", optimiser__learning_rate="1e-2", log_every="3")
    train(recipe, mixed, tmp_path / "run")
    lines = [line for line in log_of(tmp_path / "run") if "parts" in line]
    for label in ("orientation@real/heatmap", "orientation@phantom/heatmap"):
        assert lines[-1]["parts"][label] < 0.7 * lines[0]["parts"][label]
    model, configuration = read_model(tmp_path / "run" / "weights.safetensors")
    assert [model.task(label).head.out_channels for label in model.labels] == [2, 1]
    assert configuration.facts["orientation@phantom"].rows == 64
    # A backbone that learned from both goes on as that of a single-store run.
    after = train(small(steps="1"), {"": mixed["real"]}, tmp_path / "next", init=tmp_path / "run")
    assert after.transfer is not None
    assert after.transfer["coverage"] == 1.0


def test_batches_of_the_two_stores_have_their_own_size_and_their_own_labels(
    small: MakeRecipe, mixed: dict[str, Path]
) -> None:
    recipe = mixing(small)
    readers = open_stores(recipe, mixed)
    model = make_model(recipe, [facts_of(readers[stream.store].attributes) for stream in recipe.streams])
    streams, _ = open_streams(recipe, readers, model, torch.device("cpu"))
    shapes = [stream.crops(0, recipe, Team())[0] for stream in streams]
    assert [tuple(batch.image.shape) for batch in shapes] == [(6, 1, 48, 48), (6, 1, 64, 64)]
    assert [tuple(batch.labels["line"].shape) for batch in shapes] == [(6, 2, 3), (6, 1, 3)]
    assert len(streams[0].patients & streams[1].patients) == 0


def test_an_interrupted_mixture_ends_with_the_same_bits(
    small: MakeRecipe, mixed: dict[str, Path], tmp_path: Path
) -> None:
    recipe = mixing(small, steps="7", checkpoint_every="2")

    class Stopped(Exception):
        pass

    def stop(what: str, *, done: int, total: int | None) -> None:
        if what == "training" and done == 5:
            raise Stopped

    train(recipe, mixed, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(recipe, mixed, tmp_path / "parts", progress=stop)
    train(recipe, mixed, tmp_path / "parts")
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(values, other[name]) for name, values in one.items())


def test_five_structures_of_four_chamber_images_are_learned_and_measured(
    small: MakeRecipe, write_store: Callable[..., Path], tmp_path: Path
) -> None:
    store = write_store(tmp_path / "4ch.zarr", carrier="4CH", segmentation=True, segment_names=FIVE)
    recipe = small(
        "segment-4ch", steps="70", backbone__width="6", batch_size="6", optimiser__learning_rate="1e-2",
        log_every="20", checkpoint_every="1000", validate_every="1000", augment__rotation_deg="0",
        # Beside the paper's loss, so that small structures are found in so few steps.
        tasks__segmentation__dice="1.0",
    )  # fmt: skip
    summary = train(recipe, {"": store}, tmp_path / "run")
    assert summary.notes == ()
    found = evaluate(tmp_path / "run", store)["tasks"]["segmentation"]["mean"]
    assert {f"dice {name}" for name in FIVE[1:]} <= set(found)
    assert found["dice mean"] > 0.5


@pytest.mark.parametrize(
    ("kind", "more"), [("dyn-unet", {"backbone.levels": "3"}), ("alexnet", {})], ids=["dyn-unet", "alexnet"]
)
def test_a_frozen_encoder_is_taken_over_and_left_alone(
    kind: str, more: dict[str, str], write_store: Callable[..., Path], tmp_path: Path
) -> None:
    store = write_store(tmp_path / "store.zarr", side=64, segmentation=True, patients=(2, 1, 1))
    network = {**SMALL, "backbone.kind": kind, **more, "steps": "2", "batch_size": "4"}
    train(load_recipe("pretrain-mtl", network), {"": store}, tmp_path / "pretext")
    frozen = load_recipe("segment-sax", {**network, "frozen": "encoder"})
    summary = train(frozen, {"": store}, tmp_path / "run", init=tmp_path / "pretext")
    assert summary.transfer is not None
    assert summary.transfer["coverage"] == 1.0
    before, after = (load_file(tmp_path / name / "weights.safetensors") for name in ("pretext", "run"))
    model, _ = read_model(tmp_path / "run" / "weights.safetensors")
    encoder = {
        id(one)
        for module in model.backbone.parts()["encoder"]
        for one in module.state_dict(keep_vars=True).values()
    }
    names = {name: id(one) in encoder for name, one in model.backbone.state_dict(keep_vars=True).items()}
    same = {name: torch.equal(before[f"backbone.{name}"], after[f"backbone.{name}"]) for name in names}
    assert all(same[name] for name, inside in names.items() if inside)
    assert not all(same[name] for name, inside in names.items() if not inside)


@pytest.mark.parametrize("name", ["pretrain-orientation-knee", "pretrain-location-knee", "pretrain-mtl-knee"])
def test_a_batch_of_the_knee_is_one_series_in_its_order(
    name: str, write_store: Callable[..., Path], tmp_path: Path
) -> None:
    store = write_store(tmp_path / "knee.zarr", carrier="SAG", mapping="sine", side=64, slices=5)
    recipe = load_recipe(name, {"backbone.width": "4", "steps": "2"})
    readers = open_stores(recipe, {"": store})
    model = make_model(recipe, [facts_of(readers["main"].attributes)])
    (stream,), notes = open_streams(recipe, readers, model, torch.device("cpu"))
    assert notes == []
    (batch,) = stream.crops(0, recipe, Team())
    reader = StoreReader(store)
    rows = batch.example.numpy()
    assert len(rows) == 5
    assert len({bytes(key) for key in reader.column("stack_key")[rows]}) == 1
    assert reader.column("slice_index")[rows].tolist() == [0, 1, 2, 3, 4]
    assert len(torch.unique(batch.augmented_from_store.flatten(1), dim=0)) == 5
    summary = train(recipe, {"": store}, tmp_path / "run")
    assert summary.steps == 2


def test_multi_task_on_knees_is_learned(write_store: Callable[..., Path], tmp_path: Path) -> None:
    store = write_store(tmp_path / "knee.zarr", carrier="SAG", mapping="sine", side=64)
    changes = {
        "backbone.width": "8", "steps": "80", "optimiser.learning_rate": "3e-3", "log_every": "10",
        "checkpoint_every": "1000", "validate_every": "1000",
    }  # fmt: skip
    train(load_recipe("pretrain-mtl-knee", changes), {"": store}, tmp_path / "run")
    parts = [line["parts"] for line in log_of(tmp_path / "run") if "parts" in line]
    assert parts[-1]["mtl/heatmap"] < 0.5 * parts[0]["mtl/heatmap"]
    assert parts[-1]["mtl/location"] < 0.5 * parts[0]["mtl/location"]
