from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from sklearn.metrics import roc_auc_score

from dicomgeom.errors import NothingUsable, WrongUse
from phantoms.cardiac_patient import Group
from pretext_targets.reader import StoreReader
from tests.helpers.labelled_hearts import Heart, phantom_heart, write_hearts
from tests.helpers.runs import MakeRecipe
from training.diagnosis import diagnose
from training.loop import train
from training.recipe import load_recipe

TRAINING, TEST = 24, 12


@pytest.fixture(scope="module")
def hearts() -> list[Heart]:
    return [phantom_heart(3, index, split=0 if index < TRAINING else 2) for index in range(TRAINING + TEST)]


@pytest.fixture(scope="module")
def store(hearts: list[Heart], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hearts(tmp_path_factory.mktemp("stores") / "hearts.zarr", hearts)


@pytest.fixture(scope="module")
def run(hearts: list[Heart], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learned the structures from a few of the training patients."""
    folder = tmp_path_factory.mktemp("runs")
    some = write_hearts(folder / "some.zarr", hearts[:6], plan="1")
    changes = {
        "steps": "60",
        "backbone.width": "4",
        "batch_size": "12",
        "optimiser.learning_rate": "1e-2",
        "optimiser.l1": "0",
    }
    train(load_recipe("segment-sax", changes), {"": some}, folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def by_hand(store: Path) -> dict[str, Any]:
    """What the manual segmentations tell."""
    return diagnose(None, store)


def test_the_forest_tells_the_five_groups_of_phantoms_on_manual_masks(by_hand: dict[str, Any]) -> None:
    manual = by_hand["manual"]
    assert by_hand["trained_on"] == TRAINING
    assert len(manual["patients"]) == TEST
    assert manual["auc"]["auc mean"] > 0.85  # 0.5 by chance
    assert manual["accuracy"] > 0.5  # 0.2 by chance
    assert np.sum(manual["confusion"]) == TEST


def test_the_areas_are_those_of_sklearn_on_the_patients_of_the_file(by_hand: dict[str, Any]) -> None:
    manual = by_hand["manual"]
    true = np.array([one["true"] for one in manual["patients"].values()])
    said = np.array([one["probabilities"] for one in manual["patients"].values()])
    for number in sorted(set(true.tolist())):
        area = manual["auc"][f"auc {list(manual['auc'])[number].removeprefix('auc ')}"]
        assert area == pytest.approx(roc_auc_score(true == number, said[:, number]))
    defined = [area for name, area in manual["auc"].items() if name != "auc mean" and area is not None]
    assert manual["auc"]["auc mean"] == pytest.approx(np.mean(defined))
    low, high = manual["auc_interval"]["auc mean"]
    assert low <= manual["auc"]["auc mean"] <= high


def test_automatic_segmentations_of_a_run_are_diagnosed_beside_the_manual_ones(
    run: Path, store: Path
) -> None:
    found = diagnose(run, store)
    assert json.loads((run / "diagnosis.json").read_text()) == found
    automatic, manual = found["automatic"], found["manual"]
    assert automatic["patients"].keys() == manual["patients"].keys()
    said, true = (
        np.array([one["patients"][key]["features"] for key in manual["patients"]])
        for one in (automatic, manual)
    )
    # The network has learned a little: its volumes go with the true ones, and are not equal to them.
    assert said != pytest.approx(true)
    for number in range(2, 6):
        assert np.corrcoef(said[:, number], true[:, number])[0, 1] > 0.6
    assert automatic["auc"]["auc mean"] > 0.6


def test_an_automatic_segmentation_looks_at_the_told_phases_of_a_cine(
    hearts: list[Heart], run: Path, tmp_path: Path
) -> None:
    few = [replace(one, split=0 if number < 4 else 2) for number, one in enumerate(hearts[20:28])]
    told = [replace(one, ed_phase=1, es_phase=0) for one in few]
    found = [
        diagnose(run, write_hearts(tmp_path / f"{name}.zarr", of, plan=name, first_patient=20))
        for name, of in (("2", few), ("3", told))
    ]
    for plain, turned in zip(*(one["automatic"]["patients"].values() for one in found), strict=True):
        # The network's end-diastole and end-systole change places: their volumes do, too.
        assert turned["features"][2:4] == pytest.approx(plain["features"][3:1:-1])


def test_volumes_are_left_out_where_the_store_does_not_know_the_distance_of_slices(
    hearts: list[Heart], tmp_path: Path
) -> None:
    unplaced = [Heart(one.masks, float("nan"), one.diagnosis, one.split) for one in hearts]
    found = diagnose(None, write_hearts(tmp_path / "s.zarr", unplaced, placed=False))
    assert found["left_out"] == found["features"][2:]
    assert found["classes"] == list(Group)
    assert found["manual"]["auc"]["auc mean"] > 0.6  # ejection fractions alone


def test_volumes_with_unreadable_images_are_counted_and_give_no_ejection_fraction(
    hearts: list[Heart], run: Path, tmp_path: Path
) -> None:
    few = [replace(one, split=0 if number < 4 else 2) for number, one in enumerate(hearts[20:28])]
    store = write_hearts(tmp_path / "s.zarr", few, first_patient=20)
    whole = diagnose(run, store)
    assert whole["trained_without"] == whole["manual"]["volumes_left_out"] == 0
    reader = StoreReader(store)
    training, test = (np.flatnonzero(reader.column("split") == split) for split in (0, 2))
    valid = zarr.open_array(store / "valid", mode="r+")
    valid[training[0]] = valid[test[-1]] = valid[test[-2]] = False  # the last two are of one volume
    found = diagnose(run, store)
    assert found["trained_without"] == 1
    for kind in ("manual", "automatic"):
        assert found[kind]["volumes_left_out"] == 1
        *others, torn = (one["features"] for one in found[kind]["patients"].values())
        assert torn == [None] * 8
        assert others == [one["features"] for one in whole[kind]["patients"].values()][:-1]


def test_patients_that_the_run_was_trained_on_are_refused(
    hearts: list[Heart], run: Path, tmp_path: Path
) -> None:
    # The first patients have the keys of those that the run learned from.
    turned = [Heart(one.masks, 8.0, one.diagnosis, 2 if n < 4 else 0) for n, one in enumerate(hearts[:12])]
    with pytest.raises(WrongUse, match="trained on 4 of the test patients") as caught:
        diagnose(run, write_hearts(tmp_path / "s.zarr", turned))
    assert "\n" not in str(caught.value)


def test_what_cannot_be_diagnosed_is_refused_in_one_line(
    small: MakeRecipe, pretext_store: Path, store: Path, tmp_path: Path
) -> None:
    train(small("pretrain-location", steps="1"), {"": pretext_store}, tmp_path / "pretext")
    for run, given, split, said in (
        (tmp_path / "pretext", store, "test", "segments nothing; give a run of segment-sax"),
        (None, pretext_store, "test", "holds no diagnosis"),
        (tmp_path / "none", store, "test", "none does not exist; give a finished run"),
        (None, store, "train", "learns from the training patients; test it on validation or test"),
    ):
        with pytest.raises((WrongUse, NothingUsable), match=said) as caught:
            diagnose(run, given, split=split)
        assert "\n" not in str(caught.value)


def test_phantoms_of_all_groups_are_among_the_patients(hearts: list[Heart]) -> None:
    assert {one.diagnosis for one in hearts[:TRAINING]} == set(range(len(Group)))
    assert len({one.diagnosis for one in hearts[TRAINING:]}) >= 4
