from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pretext_targets.store import StoreAttributes, open_store
from training.fitting import NEEDS, unfit_because
from training.recipe import load_recipe
from training.task_options import Stream


def described(store: Path, **changes: Any) -> StoreAttributes:
    return open_store(store).attributes.model_copy(update=changes)


def test_every_recipe_fits_a_store_with_all_labels(labelled_store: Path) -> None:
    for name in ("pretrain-app", "pretrain-location", "pretrain-mtl", "pretrain-orientation", "segment-sax"):
        assert unfit_because(load_recipe(name), "main", described(labelled_store)) == ""


@pytest.mark.parametrize(
    ("recipe", "changes", "reason"),
    [
        ("segment-4ch", {}, "holds SAX images, the recipe is for 4CH"),
        ("segment-sax", {"segment_names": ()}, "has no segment_names for segmentation"),
        ("segment-sax", {"segment_names": ("background", "patella")}, "has none of the structures LV cavity"),
        ("pretrain-app", {"box_names": ()}, "has no box_names for app"),
        ("pretrain-mtl", {"partners": ()}, "has no partners for mtl"),
    ],
)
def test_what_a_store_lacks_is_said(
    recipe: str, changes: dict[str, Any], reason: str, labelled_store: Path
) -> None:
    assert unfit_because(load_recipe(recipe), "main", described(labelled_store, **changes)).startswith(reason)


def test_only_the_streams_of_a_store_count(pretext_store: Path) -> None:
    recipe = load_recipe("segment-4ch-multitask", {"view": "SAX"})
    assert unfit_because(recipe, "pretext", described(pretext_store)) == ""
    assert (
        unfit_because(recipe, "target", described(pretext_store)) == "has no segment_names for segmentation"
    )


def test_what_tasks_need_can_be_asked_of_any_store() -> None:
    tasks = Stream.model_fields["task"].annotation
    assert set(NEEDS) <= set(tasks.__args__)  # type: ignore[union-attr]
    assert set(NEEDS.values()) <= set(StoreAttributes.model_fields)
