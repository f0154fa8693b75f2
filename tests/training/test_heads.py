"""A head goes along where training goes on with what the initial weights learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pretext_targets.reader import StoreReader
from tests.helpers.runs import MakeRecipe
from training.data import facts_of
from training.heads import head_of, take_heads
from training.loop import train
from training.model import make_model, read_model
from training.recipe import Recipe
from training.tasks.task import StoreFacts
from training.transfer import WEIGHTS_FILE, read_initial_weights

TWO = {"tasks__segmentation__structures": '["LV cavity", "RV cavity"]'}
OTHER = {"tasks__segmentation__structures": '["RV cavity", "LV cavity"]'}


@pytest.fixture
def replay(small: MakeRecipe) -> Recipe:
    """Segmentation with anatomical positions beside it."""
    return small(
        "segment-sax", steps="5", log_every="1", streams__0__turns="4",
        streams__1__store="pretext", streams__1__task="app",
    )  # fmt: skip


def test_a_pretext_that_is_trained_on_keeps_its_head(
    small: MakeRecipe, replay: Recipe, pretext_store: Path, labelled_store: Path, tmp_path: Path
) -> None:
    train(small("pretrain-app", steps="3"), {"": pretext_store}, tmp_path / "pretext")
    parent, configuration = read_model(tmp_path / "pretext" / WEIGHTS_FILE)
    facts = configuration.facts["app"]
    model = make_model(replay, [facts_with_structures(labelled_store), facts])
    taken = take_heads(model, replay, read_initial_weights(tmp_path / "pretext").learned)
    assert taken == ["app"]
    assert all(
        torch.equal(values, head_of(parent.task("app"))[name])
        for name, values in head_of(model.task("app")).items()
    )
    stores = {"main": labelled_store, "pretext": pretext_store}
    for wanted, heads in (("true", ["app"]), ("false", [])):
        recipe = replay.model_copy(
            update={"init": replay.init.model_copy(update={"heads": wanted == "true"})}
        )
        summary = train(recipe, stores, tmp_path / wanted, init=tmp_path / "pretext")
        assert summary.transfer is not None
        assert summary.transfer["heads"] == heads


def facts_with_structures(store: Path) -> StoreFacts:
    return facts_of(StoreReader(store).attributes)


@pytest.mark.parametrize(("structures", "heads"), [(TWO, ["segmentation"]), (OTHER, [])])
def test_a_segmentation_keeps_its_head_only_for_the_same_structures(
    structures: dict[str, str], heads: list[str], small: MakeRecipe, labelled_store: Path, tmp_path: Path
) -> None:
    train(small("segment-sax", steps="2", **TWO), {"": labelled_store}, tmp_path / "first")
    # A rate of nothing: what the second run ends with is what it began with.
    second = small("segment-sax", steps="1", optimiser__learning_rate="1e-30", **structures)
    summary = train(second, {"": labelled_store}, tmp_path / "second", init=tmp_path / "first")
    assert summary.transfer is not None
    assert summary.transfer["heads"] == heads
    first, second_ = (load_file(tmp_path / name / WEIGHTS_FILE) for name in ("first", "second"))
    name = "_tasks.segmentation.head.weight"
    assert torch.equal(first[name], second_[name]) == bool(heads)


def test_a_file_of_another_program_has_no_heads(tmp_path: Path) -> None:
    save_file({"_tasks.app.head.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    assert read_initial_weights(tmp_path / "other.safetensors").learned == ()
