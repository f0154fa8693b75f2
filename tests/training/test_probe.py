from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from torch import Tensor

from dicomgeom.errors import NothingUsable, WrongUse
from pretext_targets.reader import StoreReader
from training.backbones import BasicUNetBackbone
from training.loop import train
from training.probe import PENALTIES, chosen_penalty, pooled_features, probe_location, ridge
from training.recipe import Recipe
from training.team import chosen_device

WriteStore = Callable[..., Path]


class Seen(BasicUNetBackbone):
    """A network whose coarsest level is the image itself, and its square."""

    def encode(self, image: Tensor) -> list[Tensor]:
        return [torch.cat([image, image.square()], dim=1)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, write_store: WriteStore) -> Path:
    return write_store(tmp_path_factory.mktemp("probed") / "s.zarr", patients=(6, 0, 6))


@pytest.fixture(scope="module")
def reader(store: Path) -> StoreReader:
    return StoreReader(store)


def test_the_regression_is_scikit_learns_ridge() -> None:
    rng = np.random.default_rng(0)
    features, others = rng.normal(2, 3, (40, 7)), rng.normal(2, 3, (5, 7))
    features[:, 3], others[:, 3] = 4.0, 9.0  # constant where it is fitted: it says nothing
    truth = rng.normal(size=40)
    middle, spread = features.mean(axis=0), features.std(axis=0)
    spread[3] = np.inf
    oracle = Ridge(alpha=0.1 * 40).fit((features - middle) / spread, truth)
    said = ridge(features, truth, others, 0.1)
    assert said == pytest.approx(oracle.predict((others - middle) / spread), rel=1e-9)


def test_the_penalty_is_chosen_on_patients_left_out() -> None:
    rng = np.random.default_rng(1)
    features, whose = rng.normal(size=(60, 30)), [str(k // 6) for k in range(60)]
    clear = features @ rng.normal(size=30)
    assert chosen_penalty(features, clear, whose) == PENALTIES[0]
    assert chosen_penalty(features, rng.normal(size=60), whose) == PENALTIES[-1]
    assert chosen_penalty(features, clear, ["one"] * 60) == PENALTIES[2]


def test_features_are_means_over_the_pixels_of_normalised_images(reader: StoreReader) -> None:
    rows = np.array([5, 0, 9])
    found = pooled_features(Seen(2), reader, rows, "image-0-1", device="cpu")
    for row, (mean, square) in zip(rows, found, strict=True):
        codes = reader.read("image", np.array([row]))[0].astype(np.float64)
        image = (codes - codes.min()) / (codes.max() - codes.min())
        assert mean == pytest.approx(image.mean(), rel=1e-4)
        assert square == pytest.approx((image**2).mean(), rel=1e-4)


def test_each_level_of_an_encoder_can_be_read(reader: StoreReader) -> None:
    rows = np.arange(6)
    network = BasicUNetBackbone(2)
    shown = torch.from_numpy(np.stack([standardised(one) for one in reader.read("image", rows)]))
    with torch.no_grad():
        levels = network.eval().encode(shown[:, None])
    for level, counted, channels in ((1, -5, 2), (3, -3, 8), (5, -1, 32)):
        found = pooled_features(network, reader, rows, "image-z-score", level=level, device="cpu")
        assert found.shape == (6, channels)
        assert found == pytest.approx(levels[level - 1].mean(dim=(-2, -1)).double().numpy(), abs=1e-5)
        again = pooled_features(network, reader, rows, "image-z-score", level=counted, device="cpu")
        assert (again == found).all()
    for level in (0, 6, -6):
        with pytest.raises(WrongUse, match=rf"no level {level}; expected 1 to 5, or -1 to -5"):
            probe_location(network, reader, level=level)


def standardised(codes: NDArray[np.generic]) -> NDArray[np.float32]:
    """An image with mean 0 and standard deviation 1."""
    values = codes.astype(np.float64)
    return ((values - values.mean()) / values.std()).astype(np.float32)


def test_what_is_told_is_measured_on_other_patients(reader: StoreReader) -> None:
    told = probe_location(Seen(2), reader, normalise="none", device="cpu")
    split, truth = reader.column("split"), reader.column("location").astype(np.float64)
    rows = np.concatenate([np.flatnonzero(split == 0), np.flatnonzero(split == 2)])
    features = pooled_features(Seen(2), reader, rows, "none", device="cpu")
    scaled = (features - features[:36].mean(axis=0)) / features[:36].std(axis=0)
    fitted = Ridge(alpha=told.penalty * 36).fit(scaled[:36], truth[rows[:36]])
    said, true = fitted.predict(scaled[36:]), truth[rows[36:]]
    assert told.r == pytest.approx(np.corrcoef(said, true)[0, 1], rel=1e-6)
    assert told.r2 == pytest.approx(fitted.score(scaled[36:], true), rel=1e-6)
    assert (told.images, told.patients, told.fitted_images, told.fitted_patients) == (36, 6, 36, 6)
    assert told.r > 0.8
    json.dumps(told.as_json())
    fewer = probe_location(Seen(2), reader, normalise="none", device="cpu", subjects=2)
    assert (fewer.fitted_images, fewer.fitted_patients, fewer.images) == (12, 2, 36)


def test_the_network_is_left_as_it_was(reader: StoreReader) -> None:
    network = BasicUNetBackbone(2).train()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    probe_location(network, reader, device="cpu")
    assert network.training
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, write_store: WriteStore) -> Path:
    return write_store(tmp_path_factory.mktemp("many") / "s.zarr", patients=(12, 0, 12), slices=8)


@pytest.fixture(scope="module")
def random_r2(many: Path) -> float:
    """The best of three random networks."""

    def network(seed: int) -> BasicUNetBackbone:
        torch.manual_seed(seed)
        return BasicUNetBackbone(8)

    return max(probe_location(network(seed), StoreReader(many), device="cpu").r2 for seed in range(3))


# Two views that differ little: what tells the place of a slice, its sizes, is left to be seen.
LITTLE = {
    "augment__rotation_deg": "15",
    "augment__scale_min": "0.95",
    "augment__scale_max": "1.05",
    "augment__shift_fraction": "0.05",
    "augment__flip_left_right": "0",
    "augment__flip_up_down": "0",
}


# Two are not among them; docs/pretexts.md has their numbers on digital hearts. Jigsaw: where a tile lies
# says nothing of the slice. Models Genesis: its images are in [0, 1], where brightness alone tells the size
# of these discs.
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("pretrain-slice-ordering", {}),
        ("pretrain-simclr", LITTLE),
        ("pretrain-pcl", LITTLE),
        ("pretrain-byol", {**LITTLE, "tasks__byol__average": "0.9", "tasks__byol__hidden": "256"}),
        (
            "pretrain-dino",
            {
                **LITTLE,
                "tasks__dino__average": "0.9",
                "tasks__dino__prototypes": "256",
                "tasks__dino__local_crops": "2",
                "tasks__dino__local_share": "0.7",
            },
        ),
        (
            "pretrain-mim",
            {
                "tasks__mim__masked": "0.5",
                "tasks__mim__patch_px": "12",
                "optimiser__kind": "adam",
                "optimiser__learning_rate": "3e-3",
            },
        ),
    ],
)
def test_learned_features_tell_the_place_of_slices_of_patients_never_seen_better_than_random_ones(
    name: str,
    changes: Mapping[str, str],
    many: Path,
    random_r2: float,
    small: Callable[..., Recipe],
    tmp_path: Path,
) -> None:
    common = {"steps": "60", "batch_size": "8", "backbone__width": "8", "optimiser__learning_rate": "1e-2"}
    seldom = {"log_every": "60", "checkpoint_every": "60", "validate_every": "60"}
    recipe = small(name, **{**common, **seldom, "normalise": "image-z-score", **changes})
    train(recipe, {"": many}, tmp_path / "run", device="cpu")
    learned = probe_location(tmp_path / "run", StoreReader(many), device="cpu")
    assert learned.strangers
    assert learned.r2 > random_r2 + 0.015, (learned, random_r2)


def test_a_weights_file_is_probed_as_its_run_is(
    store: Path, reader: StoreReader, small: Callable[..., Recipe], tmp_path: Path
) -> None:
    train(small("pretrain-location", steps="1"), {"": store}, tmp_path / "run", device="cpu")
    weights = tmp_path / "run" / "weights.safetensors"
    told = probe_location(weights, reader, device=str(chosen_device("cpu")))
    assert told == probe_location(tmp_path / "run", reader, device="cpu")


def test_patients_that_the_run_was_trained_on_are_refused(
    reader: StoreReader, small: Callable[..., Recipe], write_store: WriteStore, tmp_path: Path
) -> None:
    everyone = write_store(tmp_path / "all.zarr", patients=(9, 0, 3))
    train(small("pretrain-location", steps="1"), {"": everyone}, tmp_path / "run", device="cpu")
    with pytest.raises(WrongUse, match="trained on 3 of the test patients of this store"):
        probe_location(tmp_path / "run", reader, device="cpu")


def test_a_network_without_a_record_of_whom_it_saw_is_not_taken_for_a_stranger(
    reader: StoreReader, store: Path, small: Callable[..., Recipe], tmp_path: Path
) -> None:
    train(small("pretrain-location", steps="1"), {"": store}, tmp_path / "run", device="cpu")
    assert probe_location(tmp_path / "run", reader, device="cpu").strangers
    alone = shutil.copy(tmp_path / "run" / "weights.safetensors", tmp_path / "alone.safetensors")
    assert not probe_location(Path(alone), reader, device="cpu").strangers


def test_what_cannot_be_probed_is_said_in_one_line(
    reader: StoreReader, write_store: WriteStore, tmp_path: Path
) -> None:
    with pytest.raises(WrongUse, match="'slice_index' cannot be probed on 'test'; expected location or"):
        probe_location(Seen(2), reader, label="slice_index")
    with pytest.raises(WrongUse, match=r"on 'train'; expected .* on validation or test"):
        probe_location(Seen(2), reader, split="train")
    with pytest.raises(NothingUsable, match="no readable validation image of the store has a location"):
        probe_location(Seen(2), reader, split="validation")
    lone = StoreReader(write_store(tmp_path / "lone.zarr", slices=1))
    with pytest.raises(NothingUsable, match=r"no readable train image .* has a location_sine; give a store"):
        probe_location(Seen(2), lone, label="location_sine")
