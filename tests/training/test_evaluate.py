from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from sklearn.metrics import roc_auc_score

from dicomgeom.errors import HalfWritten, IntegrityError, NothingUsable, WrongUse
from pretext_targets.reader import StoreReader
from tests.helpers.runs import MakeRecipe
from training.data import dequantised
from training.evaluate import evaluate
from training.intervals import mean_interval
from training.loop import train
from training.model import read_model
from training.sources import as_tensor
from training.volumes import volumes_of


@pytest.fixture(scope="module")
def segmenting_run(labelled_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from training.recipe import load_recipe

    changes = {"steps": "25", "backbone.width": "6", "batch_size": "8", "optimiser.learning_rate": "1e-2"}
    run = tmp_path_factory.mktemp("runs") / "run"
    train(load_recipe("segment-sax", changes), {"": labelled_store}, run)
    return run


def test_the_table_equals_a_computation_by_hand(segmenting_run: Path, labelled_store: Path) -> None:
    found = evaluate(segmenting_run, labelled_store)
    table = found["tasks"]["segmentation"]
    assert found == json.loads((segmenting_run / "evaluation.json").read_text())
    reader = StoreReader(labelled_store)
    model, _ = read_model(segmenting_run / "weights.safetensors")
    model.eval()
    by_hand = {}
    for patient in (6, 7):  # test patients, six slices each
        rows = np.arange(patient * 6, patient * 6 + 6)
        raw = {name: as_tensor(reader.read(name, rows)) for name in ("image", "image_scale", "image_offset")}
        image = dequantised(raw)
        image = (image - image.mean((1, 2), keepdim=True)) / image.std((1, 2), keepdim=True, correction=0)
        with torch.no_grad():
            said = model.task("segmentation").predict(model.backbone, image[:, None])["segmentation"].numpy()
        true = reader.read("segmentation", rows)
        overlap = ((said == 1) & (true == 1)).sum()
        by_hand[bytes(reader.column("patient_key")[rows[0]]).hex()] = (
            2 * overlap / ((said == 1).sum() + (true == 1).sum())
        )
    assert {key: measures["dice LV cavity"] for key, measures in table["patients"].items()} == pytest.approx(
        by_hand, abs=1e-3
    )
    assert table["mean"]["dice LV cavity"] == pytest.approx(np.mean(list(by_hand.values())), abs=1e-3)
    assert table["sd"]["dice LV cavity"] == pytest.approx(np.std(list(by_hand.values()), ddof=1), abs=1e-3)
    assert table["images"] == 12


def test_every_number_over_patients_follows_from_the_table(
    segmenting_run: Path, labelled_store: Path
) -> None:
    table = evaluate(segmenting_run, labelled_store)["tasks"]["segmentation"]
    for name in ("dice mean", "assd LV cavity (voxels)", "contour distance RV cavity (voxels)"):
        values = [measures[name] for measures in table["patients"].values()]
        assert table["mean"][name] == pytest.approx(np.mean(values))
        assert table["median"][name] == pytest.approx(np.median(values))
        assert table["interval"][name] == pytest.approx(list(mean_interval(values) or ()))
        assert table["measured"][name] == 2


def test_a_placed_stack_is_measured_in_mm_and_ml(
    segmenting_run: Path, labelled_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "s.zarr"
    shutil.copytree(labelled_store, store)
    matrix = np.diag([2.0, 2.0, 1.0, 1.0])  # pixels of 2 mm, slices 10 mm apart
    places = np.tile(matrix, (48, 1, 1))
    places[:, 2, 3] = 10.0 * np.tile(np.arange(6), 8)
    zarr.open_array(store / "patient_from_pixel", mode="r+")[...] = places
    table = evaluate(segmenting_run, store)["tasks"]["segmentation"]
    true = StoreReader(store).read("segmentation", np.arange(36, 42))
    patient = table["patients"][f"{107:032x}"]
    assert patient["true volume LV cavity (ml)"] == pytest.approx((true == 1).sum() * 2 * 2 * 10 / 1000)
    assert {"assd LV cavity (mm)", "hd95 mean (mm)", "volume error RV cavity (ml)"} <= table["mean"].keys()
    assert not any("voxels" in name for name in table["mean"])


def test_what_is_written_is_plain_json_without_paths(segmenting_run: Path, labelled_store: Path) -> None:
    evaluate(segmenting_run, labelled_store)
    text = (segmenting_run / "evaluation.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert str(labelled_store) not in text


def test_pretext_measures_are_told_for_each_partner(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    for name in ("pretrain-mtl", "pretrain-app"):
        train(small(name), {"": pretext_store}, tmp_path / name)
    found = evaluate(tmp_path / "pretrain-mtl", pretext_store)["tasks"]["mtl"]
    assert {"heatmap squared error 2CH", "heatmap squared error 4CH", "location squared error"} <= set(
        found["mean"]
    )
    assert found["all_slices"]["count"] == 12
    low, high = found["all_slices_interval"]["mse"]
    assert low <= found["all_slices"]["mse"] <= high
    shown = [measures["line found 2CH"] for measures in found["patients"].values()]
    lost = found["counts"].get("line 2CH: none found", 0)
    assert sum(6 * share for share in shown) + lost == pytest.approx(12)
    boxes = evaluate(tmp_path / "pretrain-app", pretext_store, split="validation")["tasks"]["app"]
    assert "box dice centre" in boxes["mean"]
    assert all(count > 0 for count in boxes["counts"].values())


def test_patients_that_the_run_or_its_parents_saw_are_refused(
    small: MakeRecipe,
    pretext_store: Path,
    labelled_store: Path,
    write_store: Callable[..., Path],
    tmp_path: Path,
) -> None:
    train(small(), {"": pretext_store}, tmp_path / "parent")
    train(small("segment-sax"), {"": labelled_store}, tmp_path / "child", init=tmp_path / "parent")
    assert evaluate(tmp_path / "child", labelled_store)["ancestors_known"]
    # Test patients 0 and 1 of this store are training patients of the parent's.
    overlapping = write_store(tmp_path / "s.zarr", segmentation=True, patients=(0, 0, 2))
    with pytest.raises(WrongUse, match="was trained on 2 of the test patients") as caught:
        evaluate(tmp_path / "child", overlapping)
    assert "\n" not in str(caught.value)
    with pytest.raises(WrongUse, match="trained on 4 of the all patients"):
        evaluate(tmp_path / "child", labelled_store, split="all")
    assert evaluate(tmp_path / "child", labelled_store, split="train")["tasks"]


def test_weights_without_a_history_say_so(
    small: MakeRecipe, pretext_store: Path, labelled_store: Path, tmp_path: Path
) -> None:
    train(small(), {"": pretext_store}, tmp_path / "parent")
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes((tmp_path / "parent" / "weights.safetensors").read_bytes())
    summary = train(small("segment-sax"), {"": labelled_store}, tmp_path / "child", init=bare)
    assert any("do not say whom they were trained on" in note for note in summary.notes)
    assert not evaluate(tmp_path / "child", labelled_store)["ancestors_known"]


def test_it_is_said_when_nobody_can_tell_whether_patients_were_seen(
    segmenting_run: Path, labelled_store: Path, write_store: Callable[..., Path], tmp_path: Path
) -> None:
    # The same patients under another salt: other keys, and nothing in common with the run's store.
    salted_anew = write_store(tmp_path / "s.zarr", segmentation=True, seed=2, first_patient=900)
    assert evaluate(segmenting_run, labelled_store)["patients_comparable"]
    assert not evaluate(segmenting_run, salted_anew)["patients_comparable"]
    # One patient in common, a held-out one, proves that the salts are the same.
    overlapping = write_store(tmp_path / "o.zarr", segmentation=True, patients=(0, 0, 2), first_patient=107)
    assert evaluate(segmenting_run, overlapping)["patients_comparable"]


def test_the_stores_of_the_pretraining_must_be_comparable_too(
    small: MakeRecipe,
    pretext_store: Path,
    labelled_store: Path,
    write_store: Callable[..., Path],
    tmp_path: Path,
) -> None:
    train(small(), {"": pretext_store}, tmp_path / "parent")
    child = tmp_path / "child"
    train(small("segment-sax", steps="1"), {"": labelled_store}, child, init=tmp_path / "parent")
    assert not evaluate(child, labelled_store)["patients_comparable"]
    related = write_store(tmp_path / "r.zarr", segmentation=True, patients=(8, 0, 0))
    other = tmp_path / "other"
    train(small("segment-sax", steps="1"), {"": related}, other, init=tmp_path / "parent")
    assert evaluate(other, related, split="train")["patients_comparable"]


def test_pixels_of_another_size_have_to_be_allowed(
    segmenting_run: Path, labelled_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    shutil.copytree(labelled_store, store)
    described = json.loads((store / "zarr.json").read_text())
    described["attributes"]["anatprep"]["spacing_mm"] = 1.5
    (store / "zarr.json").write_text(json.dumps(described))
    with pytest.raises(WrongUse, match=r"pixels of 2 mm, those of the store are 1\.5 mm; .*--any-spacing"):
        evaluate(segmenting_run, store)
    found = evaluate(segmenting_run, store, any_spacing=True)["tasks"]["segmentation"]["mean"]
    same = evaluate(segmenting_run, labelled_store)["tasks"]["segmentation"]["mean"]
    assert found["dice mean"] == same["dice mean"]


def test_images_that_cannot_be_read_are_counted(
    segmenting_run: Path, labelled_store: Path, tmp_path: Path
) -> None:
    whole = evaluate(segmenting_run, labelled_store)
    assert whole["images_left_out"] == 0
    assert (
        whole["tasks"]["segmentation"]["volumes"],
        whole["tasks"]["segmentation"]["volumes_incomplete"],
    ) == (
        2,
        0,
    )
    store = tmp_path / "s.zarr"
    shutil.copytree(labelled_store, store)
    valid = zarr.open_array(store / "valid", mode="r+")
    valid[0], valid[37], valid[38] = False, False, False  # a training image, and two of one test patient
    found = evaluate(segmenting_run, store)
    table = found["tasks"]["segmentation"]
    assert found["images_left_out"] == 2
    assert (table["images"], table["volumes"], table["volumes_incomplete"]) == (10, 2, 1)


def test_a_volume_is_one_stack_at_one_phase_in_slice_order(pretext_store: Path, tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    shutil.copytree(pretext_store, store)
    zarr.open_array(store / "phase_index", mode="r+")[:6] = [0, 0, 0, 1, 1, 1]
    zarr.open_array(store / "slice_index", mode="r+")[:6] = [2, 1, 0, 0, 1, 2]
    volumes = volumes_of(StoreReader(store), np.arange(8))
    assert [rows.tolist() for _, rows in volumes] == [[2, 1, 0], [3, 4, 5], [6, 7]]
    assert [int(patient, 16) for patient, _ in volumes] == [1, 1, 2]


def test_findings_are_told_by_their_areas_and_every_patients_probability(
    small: MakeRecipe, write_store: Callable[..., Path], tmp_path: Path
) -> None:
    store = write_store(tmp_path / "s.zarr", findings=("tear", "edema"), patients=(4, 0, 4), slices=3)
    changes = {"backbone__kind": "basic-unet", "steps": "2", "batch_size": "2"}
    train(small("diagnose-knee", **changes), {"": store}, tmp_path / "run")
    (found,) = evaluate(tmp_path / "run", store)["tasks"].values()
    assert found["auc"].keys() == {"auc tear", "auc edema", "auc mean"}
    truth = [one["true tear"] for one in found["patients"].values()]
    said = [one["probability tear"] for one in found["patients"].values()]
    assert sorted(truth) == [0.0, 0.0, 1.0, 1.0]
    assert found["auc"]["auc tear"] == pytest.approx(roc_auc_score(truth, said))


def test_a_pretext_without_labels_of_patients_is_told_to_be_fine_tuned_first(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    train(small("pretrain-slice-ordering", steps="1"), {"": pretext_store}, tmp_path / "run")
    with pytest.raises(NothingUsable, match="fine-tune from this run and measure that run") as caught:
        evaluate(tmp_path / "run", pretext_store)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_evaluated_is_refused_in_one_line(
    segmenting_run: Path,
    pretext_store: Path,
    labelled_store: Path,
    write_store: Callable[..., Path],
    tmp_path: Path,
) -> None:
    none_to_test = write_store(tmp_path / "s.zarr", segmentation=True, patients=(2, 0, 0), first_patient=300)
    (tmp_path / "unfinished").mkdir()
    described = json.loads((segmenting_run / "run.json").read_text())
    (tmp_path / "unfinished" / "run.json").write_text(json.dumps(described | {"state": "running"}))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text('{"format": "anatprep-run", "version": 1}')
    for arguments, split, error, said in (
        ((segmenting_run, pretext_store), "test", NothingUsable, "no image of the split 'test'"),
        ((segmenting_run, none_to_test), "test", NothingUsable, "no image of the split 'test'"),
        ((segmenting_run, labelled_store), "tests", WrongUse, "is no split; expected one of train"),
        ((tmp_path / "unfinished", labelled_store), "test", HalfWritten, "not finished"),
        ((tmp_path / "damaged", labelled_store), "test", IntegrityError, "damaged: state, recipe"),
        ((tmp_path, labelled_store), "test", IntegrityError, "is no run"),
        ((segmenting_run, tmp_path), "test", IntegrityError, "not an anatprep store"),
    ):
        with pytest.raises(error, match=said) as caught:
            evaluate(*arguments, split=split)
        assert "\n" not in str(caught.value)
