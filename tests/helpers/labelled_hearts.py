"""Labelled stores of hearts, written straight from masks: without DICOM, in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from phantoms.cardiac_patient import Group
from phantoms.cardiac_scene import CardiacScene
from phantoms.prescription import Grid, HeartPrescription, OperatorError
from phantoms.sampling import plane_points
from phantoms.segmentation import segment_numbers
from phantoms.shapes import Points
from pretext_targets.store import StoreAttributes, create_group

NAMES = ("background", "LV cavity", "LV myocardium", "RV cavity")
GREYS = np.array([60.0, 420.0, 160.0, 330.0])
"""What the structures look like: any network sees them."""


@dataclass(frozen=True)
class Heart:
    """One patient: masks (phases, slices, rows, columns) of `NAMES`, 255 where nobody drew."""

    masks: NDArray[np.uint8]
    slice_distance_mm: float
    diagnosis: int
    split: int
    height_cm: float = float("nan")
    weight_kg: float = float("nan")
    ed_phase: int = -1
    es_phase: int = -1


def phantom_heart(seed: int, index: int, split: int, side: int = 48, spacing_mm: float = 3.5) -> Heart:
    """The short axis of a digital patient at end-diastole and end-systole."""
    rng = np.random.default_rng([seed, index])
    scene = CardiacScene(rng)
    patient = scene.patient
    grid = Grid(spacing_mm, side, side)
    stack = HeartPrescription(
        scene.landmarks(), patient.heart_centre_mm, grid, "", OperatorError(), rng
    ).short_axis()
    tissues = _tissues(scene, np.concatenate([plane_points(plane) for plane in stack.planes], axis=1))
    masks = segment_numbers(tissues).reshape(2, len(stack.planes), side, side)
    masks[masks >= len(NAMES)] = 0
    apart = stack.planes[1].origin_mm - stack.planes[0].origin_mm
    return Heart(
        masks=masks,
        slice_distance_mm=float(np.linalg.norm(apart)),
        diagnosis=list(Group).index(patient.group),
        split=split,
        height_cm=patient.height_m * 100,
        weight_kg=patient.weight_kg,
    )


def _tissues(scene: CardiacScene, points: Points) -> NDArray[np.uint8]:
    """What of the beating heart lies at points (3, n) at end-diastole and end-systole, (2, n)."""
    moving = np.flatnonzero(scene.moves(points))
    ready = scene.moving_points(points[:, moving])
    tissues = np.zeros((2, points.shape[1]), np.uint8)
    for found, fraction in zip(tissues, (0.0, scene.patient.end_systole), strict=True):
        for paint in ready.paints(fraction):
            inside = np.flatnonzero(paint.distance_mm < 0)
            found[moving[inside if paint.places is None else paint.places[inside]]] = paint.tissue
    return tissues


def write_hearts(
    path: Path,
    hearts: Sequence[Heart],
    spacing_mm: float = 3.5,
    *,
    placed: bool = True,
    plan: str = "0",
    first_patient: int = 0,
) -> Path:
    """Write a finished store of these hearts; patient number n has the key first_patient + n + 1."""
    rows, columns = hearts[0].masks.shape[2:]
    attributes = StoreAttributes(
        protocol={"name": "hearts", "carrier": "SAX"},
        plan_sha256=plan * 64,
        partners=("2CH", "4CH"),
        box_names=(),
        box_side_px=6.0,
        line_sigma_px=3.0,
        spacing_mm=spacing_mm,
        rows=rows,
        columns=columns,
        examples=sum(heart.masks.shape[0] * heart.masks.shape[1] for heart in hearts),
        shard=64,
        parts=("segmentation", "diagnosis"),
        segment_names=NAMES,
        diagnosis_names=tuple(Group),
        complete=True,
    )
    create_group(path, attributes)
    examples = [
        _example(heart, number, phase, place, spacing_mm, placed=placed)
        for number, heart in enumerate(hearts, start=first_patient)
        for phase in range(heart.masks.shape[0])
        for place in range(heart.masks.shape[1])
    ]
    with zarr.config.set({"array.write_empty_chunks": True}):  # as in stores that are built: a gap is damage
        for one in attributes.fields:
            array = zarr.open_array(path / one.name, mode="r+")
            known = one.name in examples[0]
            values = np.stack([example[one.name] for example in examples]) if known else array.fill_value
            array[...] = values.astype(one.dtype) if known else values
    return path


def _example(
    heart: Heart, number: int, phase: int, place: int, spacing_mm: float, *, placed: bool
) -> dict[str, Any]:
    mask = heart.masks[phase, place]
    image = GREYS[np.where(mask == 255, 0, mask)]
    image = image + np.random.default_rng([number, phase, place]).normal(0, 10, mask.shape)
    low, high = float(image.min()), float(image.max())
    scale = (high - low) / 65535.0
    matrix = np.diag([spacing_mm, spacing_mm, 1.0, 1.0])
    matrix[2, 3] = place * heart.slice_distance_mm
    key = np.frombuffer((number + 1).to_bytes(16, "big"), np.uint8)
    statistics = {"mean": image.mean(), "std": image.std(), "min": low, "max": high}
    return {
        "image": np.round((image - low) / scale).astype(np.uint16),
        "image_scale": scale,
        "image_offset": low,
        **{f"{of}_{name}": value for of in ("image", "stack") for name, value in statistics.items()},
        "patient_from_pixel": matrix if placed else np.full((4, 4), np.nan),
        "slice_distance_mm": heart.slice_distance_mm,
        "patient_key": key,
        "study_key": key,
        "stack_key": key,
        "slice_index": place,
        "phase_index": phase,
        "n_slices": heart.masks.shape[1],
        "n_phases": heart.masks.shape[0],
        "split": heart.split,
        "valid": True,
        "segmentation": mask,
        "diagnosis": heart.diagnosis,
        "height_cm": heart.height_cm,
        "weight_kg": heart.weight_kg,
        "ed_phase": heart.ed_phase,
        "es_phase": heart.es_phase,
    }
