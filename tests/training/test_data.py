from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from numpy.typing import NDArray

from dicomgeom.errors import WrongUse
from dicomgeom.progress import silent
from pretext_targets.drawing import heatmap_codes
from pretext_targets.reader import StoreReader
from training.backbones import BasicUNetBackbone
from training.data import as_they_are, chosen_patients, facts_of, patients_of, prepare, sound_rows
from training.order import Order
from training.settings import AugmentSettings
from training.sources import Resident, Streamed, layout_of, open_source, read_onto
from training.streams import evenly
from training.tasks.app import AnatomicalPosition
from training.tasks.orientation import Orientation

CPU = torch.device("cpu")
NAMES = (
    "image",
    "image_scale",
    "image_offset",
    "image_mean",
    "image_std",
    "line",
    "box_centre",
    "box_present",
)


def test_an_epoch_has_every_row_once_and_the_next_another_order() -> None:
    order = Order(np.array([3, 5, 7, 11, 13, 17]), seed=1, stream=0)
    turns = [order.batch(turn, 4)[0] for turn in range(3)]
    passed = np.concatenate(turns)
    assert sorted(passed[:6]) == sorted(passed[6:]) == [3, 5, 7, 11, 13, 17]
    assert passed[:6].tolist() != passed[6:].tolist()


def test_a_batch_depends_on_its_turn_alone() -> None:
    rows = np.arange(100, 120)
    fresh, used = Order(rows, 1, 0), Order(rows, 1, 0)
    for turn in range(9):
        used.batch(turn, 7)
    for one, other in zip(fresh.batch(9, 7), used.batch(9, 7), strict=True):
        assert np.array_equal(one, other)


def test_seeds_and_streams_have_their_own_orders() -> None:
    rows = np.arange(50)
    firsts = [Order(rows, seed, stream).batch(0, 50)[0].tolist() for seed, stream in ((1, 0), (2, 0), (1, 1))]
    assert firsts[0] != firsts[1] != firsts[2] != firsts[0]


def test_a_row_that_comes_twice_in_a_batch_is_augmented_differently() -> None:
    rows, keys = Order(np.array([4, 9]), 1, 0).batch(0, 6)
    assert sorted(rows.tolist()) == [4, 4, 4, 9, 9, 9]
    assert len(set(keys.tolist())) == 6


def test_more_subjects_include_the_fewer() -> None:
    patients = [f"{number:032x}" for number in range(20)] * 3
    chosen = [chosen_patients(patients, count, seed=5) for count in (1, 4, 20)]
    assert [len(one) for one in chosen] == [1, 4, 20]
    assert chosen[0] < chosen[1] < chosen[2]
    assert chosen_patients(patients, 4, seed=6) != chosen[1]


def test_more_subjects_than_there_are_is_an_error() -> None:
    with pytest.raises(WrongUse, match="subjects = 5, but only 1 training patients"):
        chosen_patients(["aa", "aa"], 5, seed=0)


def test_splits_and_failed_rows_are_kept_apart(pretext_store: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    shutil.copytree(pretext_store, store)
    zarr.open_array(store / "valid", mode="r+")[2] = False
    zarr.open_array(store / "image_std", mode="r+")[3] = np.nan
    reader = StoreReader(store)
    training = sound_rows(reader, "train", "image-z-score")
    assert training.tolist() == [0, 1, *range(4, 24)]
    assert sound_rows(reader, "test", "image-z-score").tolist() == list(range(36, 48))
    assert not set(patients_of(reader, training)) & set(
        patients_of(reader, sound_rows(reader, "test", "none"))
    )


def test_resident_and_streamed_rows_are_the_same(pretext_store: Path) -> None:
    reader = StoreReader(pretext_store)
    rows = np.arange(30)
    resident = open_source(reader, NAMES, rows, CPU)
    streamed = open_source(reader, NAMES, rows, CPU, memory_bytes=1000)
    assert isinstance(resident, Resident)
    assert isinstance(streamed, Streamed)
    wanted = np.array([7, 3, 3, 29])
    streamed.announce(wanted)
    one, other = resident.fetch(wanted), streamed.fetch(wanted)
    assert all(torch.equal(one[name], other[name]) for name in NAMES)
    assert torch.equal(streamed.fetch(wanted[::-1].copy())["image"], one["image"].flip(0))


def test_rows_reach_a_device_a_few_at_a_time(pretext_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The device "meta" stands for a GPU: what is put there has a shape, and no place on the host.
    pieces: list[int] = []

    class Watched(StoreReader):
        def read(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
            pieces.append(len(rows))
            return super().read(name, rows)

    monkeypatch.setattr("training.sources.READ_AT_ONCE", 7)
    reader, rows, meta = Watched(pretext_store), np.arange(30), torch.device("meta")
    layout = layout_of(reader, NAMES, len(rows))
    held = read_onto(meta, reader, layout, rows, silent)
    assert pieces == [7, 7, 7, 7, 2] * len(NAMES)
    assert {values.device for values in held.values()} == {meta}
    assert held["image"].dtype == torch.int16
    assert Resident(held, rows, len(reader), meta).place == "device"
    assert open_source(reader, NAMES, rows, CPU).place == "host"


def test_images_come_back_from_their_codes_and_are_normalised(pretext_store: Path) -> None:
    reader = StoreReader(pretext_store)
    rows = np.array([4, 9])
    codes = reader.read("image", rows).astype(np.float64)
    scale, offset = reader.column("image_scale")[rows], reader.column("image_offset")[rows]
    values = codes * scale[:, None, None] + offset[:, None, None]
    raw = open_source(reader, (*NAMES, "stack_min", "stack_max"), rows, CPU).fetch(rows)
    facts, picked = facts_of(reader.attributes), as_they_are(rows)
    scored = prepare(raw, picked, facts, "image-z-score", None).image[:, 0].numpy()
    by_hand = (values - values.mean((1, 2), keepdims=True)) / values.std((1, 2), keepdims=True)
    assert np.allclose(scored, by_hand, atol=1e-3)
    scaled = prepare(raw, picked, facts, "stack-0-1", None).image
    assert float(scaled.min()) == pytest.approx(0.0, abs=1e-6)
    assert float(scaled.max()) == pytest.approx(1.0, abs=1e-6)


def test_without_augmentation_the_drawn_labels_equal_the_stored_rasters(pretext_store: Path) -> None:
    reader = StoreReader(pretext_store)
    rows = np.arange(len(reader))
    facts, backbone = facts_of(reader.attributes), BasicUNetBackbone(2)
    raw = open_source(reader, NAMES, rows, CPU).fetch(rows)
    batch = prepare(raw, as_they_are(rows), facts, "none", AugmentSettings())
    boxes = AnatomicalPosition(backbone, facts).targets(batch)["boxes"]
    assert np.array_equal(boxes.numpy(), reader.read("box_mask", rows))
    heatmaps = Orientation(backbone, facts).targets(batch)["heatmaps"]
    difference = heatmap_codes(heatmaps.numpy()).astype(int) - reader.read("line_heatmap", rows)
    assert np.abs(difference).max() <= 1


def test_an_augmented_batch_carries_its_matrix(pretext_store: Path) -> None:
    reader = StoreReader(pretext_store)
    rows = np.array([4, 9])
    raw = open_source(reader, NAMES, rows, CPU).fetch(rows)
    augment = AugmentSettings(rotation_deg=30, scale_min=0.8, scale_max=1.2)
    batch = prepare(raw, as_they_are(rows), facts_of(reader.attributes), "image-z-score", augment)
    old = torch.cat([raw["box_centre"], torch.ones(2, 9, 1)], dim=-1).double()
    moved = (batch.augmented_from_store @ old.transpose(1, 2)).transpose(1, 2)[..., :2]
    assert torch.allclose(batch.labels["box_centre"].double(), moved, atol=1e-4)
    assert batch.example.tolist() == [4, 9]


def test_rows_are_thinned_evenly() -> None:
    assert evenly(np.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert evenly(np.arange(3), 4).tolist() == [0, 1, 2]
