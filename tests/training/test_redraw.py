"""The contrast of a store with tissues is redrawn in training, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from dicomgeom.errors import WrongUse
from pretext_targets.reader import StoreReader
from pretext_targets.schema import SCHEMA
from pretext_targets.store import ATTRIBUTE, StoreAttributes, array_options
from pretext_targets.tissue_table import TissueFacts
from tests.training.conftest import WriteStore
from training.contrast import Redraw, drawn_signal, redraw_of
from training.data import as_they_are, facts_of, prepare
from training.draws import mixed
from training.evaluate import evaluate
from training.loop import train
from training.model import make_model
from training.recipe import Recipe
from training.settings import AugmentSettings
from training.sources import open_source
from training.streams import open_stores, open_streams
from training.tasks.task import Batch
from training.team import Team

CPU = torch.device("cpu")
TISSUES = (
    TissueFacts(name="chest", density=0.5, t1_ms=1100, t2_ms=40),
    TissueFacts(name="lv blood", density=0.98, t1_ms=1480, t2_ms=270),
    TissueFacts(name="rv blood", density=0.95, t1_ms=1500, t2_ms=220),
    TissueFacts(name="muscle", density=0.8, t1_ms=1030, t2_ms=47),
)
NAMES = ("image", "image_scale", "image_offset", "image_mean", "image_std", "segmentation", "line", "tissue")


@pytest.fixture
def phantom_store(write_store: WriteStore, tmp_path: Path) -> Path:
    """A labelled store whose tissues are its segments, the muscle round them, and the rest."""
    path = write_store(tmp_path / "phantom.zarr", segmentation=True, seed=2, first_patient=100)
    reader = StoreReader(path)
    every = np.arange(len(reader))
    scale, offset = (reader.column(f"image_{one}")[:, None, None] for one in ("scale", "offset"))
    image, tissue = reader.read("image", every) * scale + offset, reader.read("segmentation", every)
    tissue[(tissue == 0) & (image > 130)] = 3
    with_tissue = reader.attributes.model_copy(
        update={"parts": (*reader.attributes.parts, "tissue"), "tissues": TISSUES}
    )
    add_array(path, with_tissue, tissue)
    return path


def add_array(path: Path, attributes: StoreAttributes, tissue: Any) -> None:
    (field,) = (one for one in SCHEMA if one.name == "tissue")
    zarr.create_array(path, name="tissue", **array_options(field, attributes))[...] = tissue
    content = json.loads((path / "zarr.json").read_text())
    content["attributes"][ATTRIBUTE] = attributes.model_dump(mode="json")
    (path / "zarr.json").write_text(json.dumps(content))


MOVES = AugmentSettings(
    rotation_deg=40, scale_min=0.8, scale_max=1.2, shift_fraction=0.1, flip_left_right=0.5
)


def prepared(store: Path, *, redrawn: bool, augment: AugmentSettings = MOVES, rows: int = 6) -> Batch:
    reader = StoreReader(store)
    picked = as_they_are(np.arange(rows))
    raw = open_source(reader, NAMES, picked.rows, CPU).fetch(picked.rows)
    settings = augment.model_copy(update={"redraw_contrast": 1.0})
    redraw = redraw_of(settings, reader.attributes, CPU) if redrawn else None
    return prepare(raw, picked, facts_of(reader.attributes), "none", augment, redraw=redraw)


def test_labels_stay_and_images_change(phantom_store: Path) -> None:
    plain, redrawn = (prepared(phantom_store, redrawn=redrawn) for redrawn in (False, True))
    assert set(redrawn.labels) == set(plain.labels)
    assert "tissue" not in redrawn.labels
    for name, values in plain.labels.items():
        assert torch.equal(values.nan_to_num(), redrawn.labels[name].nan_to_num()), name
    assert torch.equal(plain.augmented_from_store, redrawn.augmented_from_store)
    assert not torch.allclose(plain.image, redrawn.image, atol=5.0)
    assert torch.equal(prepared(phantom_store, redrawn=True).image, redrawn.image)


def test_tissues_move_with_the_image_before_they_are_redrawn(phantom_store: Path) -> None:
    # Had they not moved, tissues would not come out as bright as drawn where the segmentation, which moves on
    # a way of its own, says they are.
    batch = prepared(phantom_store, redrawn=True)
    signal = drawn_signal(Redraw(_relaxation(phantom_store)).tissues, batch.draw, ("balanced",))
    checked = 0
    for image, classes, of in zip(batch.image[:, 0], batch.labels["segmentation"], signal, strict=True):
        inner = {code: image[_eroded(classes == code)] for code in (1, 2)}
        if min(len(values) for values in inner.values()) < 6:
            continue
        chest = float(image[3:-3, 3:-3][(classes == 0)[3:-3, 3:-3]].quantile(0.2))
        found = (float(inner[1].mean()) - chest) / (float(inner[2].mean()) - chest)
        expected = float((of[1] - of[0]) / (of[2] - of[0]))
        assert found == pytest.approx(expected, rel=0.15)
        checked += 1
    assert checked >= 2


def _relaxation(store: Path) -> Any:
    redraw = redraw_of(AugmentSettings(redraw_contrast=1.0), StoreReader(store).attributes, CPU)
    assert redraw is not None
    return redraw.tissues


def _eroded(mask: torch.Tensor) -> torch.Tensor:
    outside = torch.nn.functional.max_pool2d((~mask)[None].float(), 3, 1, 1)[0]
    return outside == 0


def test_normalised_images_have_the_statistics_they_had(phantom_store: Path) -> None:
    plain, redrawn = (
        prepared(phantom_store, redrawn=redrawn, augment=AugmentSettings()).image for redrawn in (False, True)
    )
    assert torch.allclose(plain.mean((1, 2, 3)), redrawn.mean((1, 2, 3)), rtol=1e-4)
    assert torch.allclose(plain.std((1, 2, 3)), redrawn.std((1, 2, 3)), rtol=1e-4)


def test_training_batches_are_redrawn_and_validation_is_not(
    phantom_store: Path, small: Callable[..., Recipe]
) -> None:
    both = {}
    for chance in ("0", "1"):
        recipe = small("segment-sax", augment__redraw_contrast=chance)
        readers = open_stores(recipe, {"": phantom_store})
        model = make_model(recipe, [facts_of(one.attributes) for one in readers.values()])
        (stream,), _ = open_streams(recipe, readers, model, CPU)
        both[chance] = (
            stream.crops(0, recipe, Team())[0].image,
            next(iter(stream.validation_crops(recipe)))[0].image,
        )
    assert not torch.allclose(both["0"][0], both["1"][0], atol=0.1)
    assert torch.equal(both["0"][1], both["1"][1])


def test_a_store_without_tissues_is_refused_in_one_line(
    labelled_store: Path, small: Callable[..., Recipe]
) -> None:
    recipe = small("segment-sax", augment__redraw_contrast="0.5")
    with pytest.raises(
        WrongUse, match=r"augment\.redraw_contrast needs a store that knows tissues"
    ) as raised:
        open_stores(recipe, {"": labelled_store})
    assert "\n" not in str(raised.value)
    open_stores(small("segment-sax"), {"": labelled_store})


def test_real_stores_beside_a_phantom_keep_their_contrast(
    phantom_store: Path, labelled_store: Path, small: Callable[..., Recipe]
) -> None:
    recipe = small(
        "segment-sax",
        augment__redraw_contrast="1",
        streams__0__store="phantom",
        streams__1__store="real",
        streams__1__task="segmentation",
    )
    readers = open_stores(recipe, {"phantom": phantom_store, "real": labelled_store})
    model = make_model(recipe, [facts_of(readers[stream.store].attributes) for stream in recipe.streams])
    (phantom, real), notes = open_streams(recipe, readers, model, CPU)
    assert phantom.redraw is not None
    assert real.redraw is None
    about_contrast = [note for note in notes if "contrast" in note]
    assert about_contrast == ["segmentation@real: its store knows no tissues: the contrast stays as it is"]
    assert all(stream.crops(0, recipe, Team()) for stream in (phantom, real))


def test_a_network_learns_from_redrawn_images_and_knows_the_plain_ones(
    phantom_store: Path, small: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = small(
        "segment-sax",
        steps="70",
        backbone__width="6",
        batch_size="8",
        optimiser__learning_rate="1e-2",
        log_every="5",
        checkpoint_every="1000",
        validate_every="1000",
        augment__redraw_contrast="1",
    )
    train(recipe, {"": phantom_store}, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.6 * losses[0], losses
    dice = evaluate(tmp_path / "run", phantom_store)["tasks"]["segmentation"]["mean"]
    assert dice["dice mean"] > 0.7


def test_every_step_draws_another_contrast(phantom_store: Path) -> None:
    redraw = Redraw(_relaxation(phantom_store))
    signals = drawn_signal(redraw.tissues, mixed(1, torch.arange(50)), ("balanced",))
    assert len({tuple(row.tolist()) for row in signals}) == 50
