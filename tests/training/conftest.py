"""Small synthetic stores, in which what a pretext asks for can be seen in the images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from numpy.typing import NDArray

from pretext_targets.drawing import draw_boxes, draw_heatmaps
from pretext_targets.store import StoreAttributes, create_group
from tests.helpers.runs import MakeRecipe
from training.loop import train
from training.recipe import Recipe, load_recipe
from training.tasks.task import StoreFacts

SIDE = 48
BOX_NAMES = (
    "centre",
    "left near",
    "left far",
    "right near",
    "right far",
    "ant near",
    "ant far",
    "post near",
    "post far",
)

WriteStore = Callable[..., Path]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """One thread: exact equality of two runs is promised for equal thread counts only."""
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Content:
    """What a synthetic store holds."""

    patients: tuple[int, int, int] = (4, 2, 2)
    slices: int = 6
    segmentation: bool = False
    locations: bool = True
    findings: tuple[str, ...] = ()
    segment_names: tuple[str, ...] = ("background", "LV cavity", "RV cavity")
    partners: tuple[str, ...] = ("2CH", "4CH")
    partners_known: tuple[bool, bool] = (True, True)
    carrier: str = "SAX"
    mapping: str = "linear"
    side: int = SIDE
    spacing_mm: float = 2.0
    first_patient: int = 0
    seed: int = 1


def _disc(side: int, centre: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    y, x = np.mgrid[0:side, 0:side].astype(np.float64)
    return 1.0 / (1.0 + np.exp(np.hypot(x - centre[0], y - centre[1]) - radius))


def _example(
    content: Content, ratio: float, angle: float, middle: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, Any]:
    """One slice: a bright LV that shrinks toward the apex, a darker RV to one side along the 4CH line."""
    side, scale = content.side, content.side / SIDE
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-math.sin(angle + 0.15), math.cos(angle + 0.15)])
    lv_px, rv_px = (3.0 + 4.0 * (1.0 - ratio)) * scale, (2.5 + 3.0 * (1.0 - ratio)) * scale
    rv_centre = middle - along * (lv_px + rv_px + 1.0)
    lv, rv = _disc(side, middle, lv_px), _disc(side, rv_centre, rv_px)
    image = (
        100.0
        + 400.0 * lv
        + 250.0 * rv
        + 60.0 * _disc(side, middle, 18.0 * scale)
        + rng.normal(0, 8, (side, side))
    )
    lines = []
    for direction in (across, along):  # partners 2CH, 4CH
        normal = np.array([-direction[1], direction[0]])
        sign = 1.0 if normal[0] > 0 or (normal[0] == 0 and normal[1] > 0) else -1.0
        lines.append([*(sign * normal), -sign * float(normal @ middle)])
    steps = [0, *(s * k for s in (1, -1) for k in (1, 2))]
    centres = [middle + 9.0 * scale * step * along for step in steps]
    centres += [middle + 9.0 * scale * step * across for step in steps[1:]]
    segmentation = np.zeros((side, side), np.uint8)
    segmentation[rv > 0.5] = 2
    segmentation[lv > 0.5] = 1
    for code in range(3, len(content.segment_names)):  # small discs round the heart, each of its brightness
        turn = np.array([math.cos(1.9 * code), math.sin(1.9 * code)])
        disc = _disc(side, middle + 15.0 * scale * turn, 3.5 * scale)
        image += 90.0 * code * disc
        segmentation[disc > 0.5] = code
    return {
        "image": image,
        "line": np.array(lines[: len(content.partners)]),
        "box_centre": np.array(centres),
        "segmentation": segmentation,
    }


def write_store(path: Path, content: Content | None = None, **changes: Any) -> Path:
    """Write a finished store; `changes` replace fields of `Content`."""
    content = replace(content or Content(), **changes)
    rng = np.random.default_rng(content.seed)
    side, partners = content.side, content.partners
    count = sum(content.patients) * content.slices
    parts: tuple[Any, ...] = ("rasters", "segmentation") if content.segmentation else ("rasters",)
    parts += ("findings",) if content.findings else ()
    attributes = StoreAttributes(
        protocol={
            "name": f"{content.carrier}-test",
            "carrier": content.carrier,
            "location_mapping": content.mapping,
        },
        plan_sha256=hashlib.sha256(f"{content}".encode()).hexdigest(),
        partners=partners,
        box_names=BOX_NAMES,
        box_side_px=6.0 * side / SIDE,
        line_sigma_px=3.0 * side / SIDE,
        spacing_mm=content.spacing_mm,
        rows=side,
        columns=side,
        examples=count,
        shard=16,
        parts=parts,
        segment_names=content.segment_names if content.segmentation else (),
        finding_names=content.findings,
        complete=True,
    )
    create_group(path, attributes)
    columns: dict[str, list[Any]] = {}
    for patient in range(sum(content.patients)):
        split = int(np.searchsorted(np.cumsum(content.patients), patient, side="right"))
        angle, middle = rng.uniform(-0.6, 0.6), side / 2 + rng.uniform(-4, 4, 2) * side / SIDE
        key = np.frombuffer((content.first_patient + patient + 1).to_bytes(16, "big"), np.uint8)
        found = (np.arange(len(content.findings)) + patient) % 2
        for number in range(content.slices):
            ratio = number / (content.slices - 1) if content.slices > 1 else float("nan")
            made = _example(content, 0.0 if math.isnan(ratio) else ratio, angle, middle, rng)
            if number == content.slices // 2:  # the only slice on which the findings can be seen
                for place in np.flatnonzero(found):
                    made["image"][2:10, 12 * place : 12 * place + 10] += 600.0
            row = _row(content, made, attributes, ratio, number, key, split) | {"findings": found}
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
    with zarr.config.set({"array.write_empty_chunks": True}):  # as in stores that are built: a gap is damage
        for one in attributes.fields:
            array = zarr.open_array(path / one.name, mode="r+")
            known = one.name in columns
            array[...] = np.stack(columns[one.name]).astype(one.dtype) if known else array.fill_value
    return path


def _row(
    content: Content,
    made: dict[str, Any],
    attributes: StoreAttributes,
    ratio: float,
    number: int,
    key: NDArray[np.uint8],
    split: int,
) -> dict[str, Any]:
    image, side = made["image"], content.side
    low, high = float(image.min()), float(image.max())
    scale = (high - low) / 65535.0
    line = made["line"].astype(np.float32)
    line[~np.array(content.partners_known[: len(line)])] = np.nan
    half = attributes.box_side_px / 2
    inside = np.minimum(made["box_centre"] + half, side - 0.5) - np.maximum(made["box_centre"] - half, -0.5)
    present = inside.clip(min=0).prod(axis=1) >= 0.5 * attributes.box_side_px**2
    location = ratio if content.locations else float("nan")
    centre = made["box_centre"].astype(np.float32)
    heat = draw_heatmaps(line, attributes.line_sigma_px, side, side)
    return {
        "image": np.round((image - low) / scale).astype(np.uint16),
        "image_scale": scale,
        "image_offset": low,
        **{f"{of}_mean": image.mean() for of in ("image", "stack")},
        **{f"{of}_std": image.std() for of in ("image", "stack")},
        **{f"{of}_min": low for of in ("image", "stack")},
        **{f"{of}_max": high for of in ("image", "stack")},
        "location": location,
        "location_sine": math.sin(math.pi * location),
        "line": line,
        "box_centre": centre,
        "box_present": present,
        "box_mask": draw_boxes(centre, present, attributes.box_side_px, side, side),
        "line_heatmap": np.rint(255 * heat),
        "segmentation": made["segmentation"],
        "patient_key": key,
        "study_key": key,
        "stack_key": key,
        "slice_index": number,
        "phase_index": 0,
        "n_slices": content.slices,
        "n_phases": 1,
        "split": split,
        "valid": True,
    }


@pytest.fixture(name="write_store", scope="session")
def write_store_fixture() -> WriteStore:
    """The function that writes a store, for tests that need a special one."""
    return write_store


@pytest.fixture(scope="session")
def pretext_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients to train on, two to validate, two to test."""
    return write_store(tmp_path_factory.mktemp("stores") / "pretext.zarr")


@pytest.fixture(scope="session")
def labelled_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other patients, with segmentations."""
    return write_store(
        tmp_path_factory.mktemp("stores") / "labelled.zarr", segmentation=True, first_patient=100, seed=2
    )


SMALL = {
    "backbone.width": "4",
    "batch_size": "6",
    "steps": "6",
    "log_every": "2",
    "checkpoint_every": "3",
    "validate_every": "3",
}


@pytest.fixture
def small() -> MakeRecipe:
    """A shipped recipe, cut down to a few steps of a tiny network."""

    def make(name: str = "pretrain-mtl", **changes: str) -> Recipe:
        return load_recipe(
            name, {**SMALL, **{key.replace("__", "."): value for key, value in changes.items()}}
        )

    return make


@pytest.fixture
def facts() -> StoreFacts:
    """Facts of a store as `write_store` makes it."""
    return StoreFacts(
        rows=SIDE,
        columns=SIDE,
        spacing_mm=2.0,
        partners=("2CH", "4CH"),
        box_names=BOX_NAMES,
        box_side_px=6.0,
        line_sigma_px=3.0,
        segment_names=("background", "LV cavity", "RV cavity"),
        location_mapping="linear",
        protocol="SAX-test",
        view="SAX",
    )


@pytest.fixture
def uninterrupted(small: MakeRecipe, pretext_store: Path, tmp_path: Path) -> Path:
    """A run of eight steps that nobody stopped."""
    train(small(steps="8"), {"": pretext_store}, tmp_path / "uninterrupted")
    return tmp_path / "uninterrupted"
