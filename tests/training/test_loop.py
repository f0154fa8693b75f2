from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import load_file

from dicomgeom.errors import IntegrityError, NothingUsable, WrongUse
from pretext_targets.store import NOT_ANNOTATED
from tests.helpers.runs import MakeRecipe, assert_same_bits, log_of
from training.loop import RunSummary, train, verify_run
from training.validation import SAMPLES_FILE


def test_a_run_leaves_all_that_others_need(small: MakeRecipe, pretext_store: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    run = tmp_path / "run"
    summary = train(
        small(), {"": pretext_store}, run, progress=lambda what, *, done, total: told.append((what, done))
    )
    assert (summary.steps, summary.already_done, summary.notes) == (6, False, ())
    assert set(summary.losses) == {"mtl/heatmap", "mtl/location"}
    assert summary.images_per_second > 0
    json.dumps(summary.as_json())
    assert [done for what, done in told if what == "training"] == [1, 2, 3, 4, 5, 6]
    assert verify_run(run) == []
    lines = log_of(run)
    assert [line["step"] for line in lines if "loss" in line] == [2, 3, 4, 6]
    assert [line["step"] for line in lines if "validation" in line] == [3, 6]
    assert lines[0]["loss"] == pytest.approx(sum(lines[0]["parts"].values()), rel=1e-6)
    assert list((run / "tensorboard").iterdir())


def test_samples_hold_held_out_images_with_truth_and_prediction(
    small: MakeRecipe, pretext_store: Path, labelled_store: Path, tmp_path: Path
) -> None:
    expected = {
        "pretrain-mtl": {"heatmaps": (8, 2, 48, 48), "location": (8,)},
        "pretrain-app": {"boxes": (8, 48, 48)},
        "segment-sax": {"segmentation": (8, 48, 48)},
    }
    for name, shapes in expected.items():
        store = labelled_store if name.startswith("segment") else pretext_store
        train(small(name, steps="1"), {"": store}, tmp_path / name)
        with np.load(tmp_path / name / SAMPLES_FILE) as samples:
            assert samples["image"].shape == (8, 48, 48)
            assert samples["image"].dtype == np.float32
            assert bool(samples["held_out"])
            for what, shape in shapes.items():
                assert samples[f"target_{what}"].shape == samples[f"prediction_{what}"].shape == shape


def test_neither_paths_nor_uids_get_into_a_run(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    train(small(steps="1"), {"": pretext_store}, tmp_path / "run")
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(pretext_store).encode() not in content
            assert str(tmp_path).encode() not in content


def test_the_time_of_validation_is_not_counted_as_training(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr("training.steps.time", SimpleNamespace(perf_counter=lambda: now_s[0]))
    monkeypatch.setattr("training.steps.validate", lambda *_: now_s.__setitem__(0, now_s[0] + 100.0) or {})

    def progress(what: str, *, done: int, total: int | None) -> None:
        now_s[0] += 1.0 if what == "training" else 0.0

    recipe = small(steps="4", log_every="4", validate_every="3")
    summary = train(recipe, {"": pretext_store}, tmp_path / "run", progress=progress)
    # A step of six images takes a second; the last is told after its line was written.
    assert summary.seconds == 3.0
    assert summary.images_per_second == 8.0


def test_without_validation_patients_the_run_goes_on_and_says_so(
    small: MakeRecipe, tmp_path: Path, write_store: Callable[..., Path]
) -> None:
    store = write_store(tmp_path / "one.zarr", patients=(1, 0, 0))
    summary = train(small(), {"": store}, tmp_path / "run")
    assert summary.notes == ("mtl: no validation patients with labels: the run goes on without validation",)
    assert not any("validation" in line for line in log_of(tmp_path / "run"))
    with np.load(tmp_path / "run" / SAMPLES_FILE) as samples:
        assert not bool(samples["held_out"])


def test_a_head_without_labels_is_switched_off_with_a_note(
    small: MakeRecipe, tmp_path: Path, write_store: Callable[..., Path]
) -> None:
    store = write_store(tmp_path / "s.zarr", locations=False, partners_known=(False, True))
    summary = train(small(), {"": store}, tmp_path / "run")
    assert [note.split(": switched off")[0].split("for the ")[1] for note in summary.notes] == [
        "heatmap of 2CH",
        "location",
    ]
    assert set(summary.losses) == {"mtl/heatmap"}
    assert verify_run(tmp_path / "run") == []


def test_a_store_without_any_label_for_the_recipe_is_an_error(
    small: MakeRecipe, tmp_path: Path, write_store: Callable[..., Path], pretext_store: Path
) -> None:
    store = write_store(tmp_path / "s.zarr", locations=False, partners_known=(False, False))
    with pytest.raises(
        NothingUsable,
        match=r"no readable training image .* has a label for mtl; .*: train 0 of 24, validation 0 of 12",
    ) as caught:
        train(small(), {"": store}, tmp_path / "run")
    assert caught.value.exit_code == 4
    with pytest.raises(NothingUsable, match="holds no segmentation"):
        train(small("segment-sax"), {"": pretext_store}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_store_of_which_only_other_patients_are_annotated_is_told_so(
    small: MakeRecipe, tmp_path: Path, write_store: Callable[..., Path]
) -> None:
    store = write_store(tmp_path / "s.zarr", segmentation=True)
    with zarr.config.set({"array.write_empty_chunks": True}):
        zarr.open_array(store / "segmentation", mode="r+")[:24] = NOT_ANNOTATED
    with pytest.raises(
        NothingUsable, match="train 0 of 24, validation 12 of 12, test 12 of 12; give a store"
    ):
        train(small("segment-sax"), {"": store}, tmp_path / "run")


def test_a_store_of_another_view_is_refused(
    small: MakeRecipe, tmp_path: Path, write_store: Callable[..., Path]
) -> None:
    store = write_store(tmp_path / "s.zarr", carrier="4CH", segmentation=True)
    with pytest.raises(WrongUse, match="recipe segment-sax is for SAX images, the store holds 4CH images"):
        train(small("segment-sax"), {"": store}, tmp_path / "run")
    assert train(small("segment-4ch", steps="1"), {"": store}, tmp_path / "run").steps == 1


def test_stores_and_their_names_must_fit_the_recipe(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    with pytest.raises(WrongUse, match="reads the stores pretext, target; given were main"):
        train(small("segment-4ch-multitask"), {"": pretext_store}, tmp_path / "run")
    with pytest.raises(WrongUse, match="'cuba' is no device"):
        train(small(), {"": pretext_store}, tmp_path / "run", device="cuba")
    with pytest.raises(IntegrityError):
        train(small(), {"": tmp_path}, tmp_path / "run")


def test_an_image_too_small_is_refused(
    small: MakeRecipe, tmp_path: Path, write_store: Callable[..., Path]
) -> None:
    store = write_store(tmp_path / "s.zarr", side=24)
    with pytest.raises(WrongUse, match="24 x 24 pixels are too small"):
        train(small(), {"": store}, tmp_path / "run")


def test_a_frozen_encoder_is_taken_over_and_left_alone(
    small: MakeRecipe, uninterrupted: Path, labelled_store: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    summary = train(small("segment-sax", frozen="encoder"), {"": labelled_store}, run, init=uninterrupted)
    assert summary.transfer is not None
    assert summary.transfer["coverage"] == 1.0
    before, after = load_file(uninterrupted / "weights.safetensors"), load_file(run / "weights.safetensors")
    changed = {
        name.split(".")[2] for name in after if name in before and not torch.equal(before[name], after[name])
    }
    assert changed == {"upcat_1", "upcat_2", "upcat_3", "upcat_4"}


def test_a_pretext_and_a_target_learn_in_turns(
    small: MakeRecipe, pretext_store: Path, labelled_store: Path, tmp_path: Path
) -> None:
    recipe = small("segment-sax", streams__1__store="pretext", streams__1__task="app", streams__0__turns="2")
    summary = train(recipe, {"main": labelled_store, "pretext": pretext_store}, tmp_path / "run")
    assert set(summary.losses) == {"segmentation/cross_entropy", "app/cross_entropy"}
    assert verify_run(tmp_path / "run") == []


def test_fewer_subjects_are_trained_on_and_recorded(
    small: MakeRecipe, labelled_store: Path, tmp_path: Path
) -> None:
    train(small("segment-sax", subjects="2"), {"": labelled_store}, tmp_path / "run")
    assert len(json.loads((tmp_path / "run" / "seen_patients.json").read_text())["trained"]) == 2


def test_streaming_from_the_store_learns_the_same(
    small: MakeRecipe, pretext_store: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    train(small(steps="8"), {"": pretext_store}, tmp_path / "streamed", memory_bytes=1)
    assert_same_bits(tmp_path / "streamed", uninterrupted)


def test_the_l1_penalty_is_the_gradient_of_a_sum_of_absolute_values(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    changes = {
        "steps": "1",
        "optimiser__kind": "sgd",
        "optimiser__momentum": "0",
        "optimiser__learning_rate": "0.1",
    }
    plain, lasso = tmp_path / "plain", tmp_path / "lasso"
    train(small(**changes), {"": pretext_store}, plain)
    train(small(**changes, optimiser__l1="0.01"), {"": pretext_store}, lasso)
    untrained = tmp_path / "untrained"
    train(small(**{**changes, "optimiser__learning_rate": "1e-30"}), {"": pretext_store}, untrained)
    start, one, other = (load_file(run / "weights.safetensors") for run in (untrained, plain, lasso))
    name = "backbone.net.down_1.convs.conv_0.conv.weight"
    assert torch.allclose(one[name] - other[name], 0.1 * 0.01 * start[name].sign(), atol=1e-7)


def test_summary_is_plain_data() -> None:
    summary = RunSummary(Path("run"), 1, 2.0, 3.0, {"a/b": 1.0}, ("note",))
    assert json.loads(json.dumps(summary.as_json()))["notes"] == ["note"]
