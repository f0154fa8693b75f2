from __future__ import annotations

from pathlib import Path

import pytest

from dicomgeom.errors import WrongUse
from training.recipe import load_recipe, shipped_recipes


def test_every_shipped_recipe_loads_and_is_named_for_its_file_and_paper() -> None:
    assert {"pretrain-app", "pretrain-orientation", "pretrain-location", "pretrain-mtl"} <= set(
        shipped_recipes()
    )
    assert {"segment-sax", "segment-4ch", "segment-4ch-multitask"} <= set(shipped_recipes())
    for name in shipped_recipes():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.paper
        of_the_heart = not set(recipe.published_for) & {"SAG", "COR", "AX"}
        geometric = {stream.task for stream in recipe.streams} & {"app", "orientation", "location", "mtl"}
        if of_the_heart and geometric:
            assert recipe.augment.flip_left_right == recipe.augment.flip_up_down == 0.0


def test_the_published_settings_are_the_defaults() -> None:
    app, mtl, sax = (load_recipe(name) for name in ("pretrain-app", "pretrain-mtl", "segment-sax"))
    assert (app.steps, app.batch_size, app.optimiser.kind, app.optimiser.learning_rate) == (
        50000,
        20,
        "adam",
        1e-3,
    )
    assert (mtl.batch_size, mtl.schedule.stages, mtl.schedule.factor, mtl.backbone.width) == (20, 5, 0.5, 64)
    assert (sax.batch_size, sax.optimiser.l1, sax.schedule.stages, sax.view) == (10, 5e-5, 4, "SAX")


def test_dotted_keys_replace_values_at_any_depth() -> None:
    changes = {
        "steps": "7",
        "backbone.width": "8",
        "streams.0.turns": "3",
        "frozen": "encoder",
        "optimiser.learning_rate": "1e-2",
        "tasks.mtl.mapping": "sine",
    }
    recipe = load_recipe("pretrain-mtl", changes)
    assert (recipe.steps, recipe.backbone.width, recipe.streams[0].turns, recipe.frozen) == (
        7,
        8,
        3,
        "encoder",
    )
    assert (recipe.optimiser.learning_rate, recipe.tasks.mtl.mapping) == (0.01, "sine")


def test_a_stream_one_past_the_last_is_added() -> None:
    recipe = load_recipe("segment-sax", {"streams.1.store": "pretext", "streams.1.task": "app"})
    assert [(stream.store, stream.task) for stream in recipe.streams] == [
        ("main", "segmentation"),
        ("pretext", "app"),
    ]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("stepps", "5", r"unknown key 'stepps' \(did you mean 'steps'\?\)"),
        ("backbone.widht", "5", r"unknown key 'backbone.widht' \(did you mean 'width'\?\)"),
        ("streams.0.turn", "5", r"unknown key 'streams.0.turn' \(did you mean 'turns'\?\)"),
        ("network.width", "8", "unknown key 'network'; the keys are name, .*backbone, optimiser"),
        ("optimiser.lr", "3", "unknown key 'optimiser.lr'; the keys of 'optimiser' are kind, learning_rate"),
        ("streams.0.turn", "5", "the keys of 'streams.0' are store, task, turns, unit$"),
        ("steps", "0", "steps = 0: must be greater than or equal to 1"),
        ("steps", "many", "steps = 'many'"),
        ("frozen", "decoder", "frozen = 'decoder'"),
        ("streams.5.turns", "1", "'5' is no entry of a list of 1"),
        ("steps.more", "1", "nothing below 'steps'"),
        ("streams.0", "1", "name the value inside"),
        ("augment.scale_min", "2.0", "scale_min 2.0 is larger than scale_max"),
        ("streams.1.store", "other", "'streams.1.task' is missing"),
        (
            "optimiser",
            '{kind = "sgd", nesterov = true, momentum = 0}',
            "nesterov looks ahead along the momentum, which is 0: set optimiser.momentum above 0",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(key: str, value: str, said: str) -> None:
    with pytest.raises(WrongUse, match=said) as caught:
        load_recipe("pretrain-mtl", {key: value})
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_unknown_recipe_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(WrongUse, match=r"did you mean 'pretrain-mtl'\?.*shipped are: .*segment-sax"):
        load_recipe("pretrain-mlt")


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nsteps = -1\nbatch = 3\n[[streams]]\ntask = "app"\n')
    with pytest.raises(
        WrongUse, match=r"recipe mine.toml: .*steps = -1.*unknown key 'batch' \(did you mean 'batch_size'"
    ):
        load_recipe(tmp_path / "mine.toml")


def test_broken_toml_and_missing_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("steps = = 3")
    with pytest.raises(WrongUse, match="not valid TOML"):
        load_recipe(tmp_path / "mine.toml")
    with pytest.raises(WrongUse, match="cannot be read"):
        load_recipe(tmp_path / "other.toml")


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe("pretrain-mtl").steps = 3  # type: ignore[misc]


def test_streams_take_turns() -> None:
    recipe = load_recipe("segment-4ch-multitask", {"streams.1.turns": "3"})
    turns = [recipe.turn_of(step) for step in range(9)]
    assert turns == [(0, 0), (1, 0), (1, 1), (1, 2), (0, 1), (1, 3), (1, 4), (1, 5), (0, 2)]


def test_equal_settings_have_equal_hashes() -> None:
    assert load_recipe("pretrain-mtl").sha256() == load_recipe("pretrain-mtl", {"steps": "12500"}).sha256()
    assert load_recipe("pretrain-mtl").sha256() != load_recipe("pretrain-mtl", {"seed": "1"}).sha256()
