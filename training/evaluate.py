"""How good a finished run is on patients it never saw.

Each patient is a row of the table; mean and standard deviation are over patients. Dice is of a volume: all
slices of one stack at one phase; a patient's Dice is the mean over its volumes. A run records whom it was
trained on, its ancestors included, and test patients among them are refused. Images whose pixels could not be
read are left out, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dicomgeom.errors import NothingUsable, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.reader import StoreReader
from pretext_targets.store import SPLITS
from training.checkpoint import write_json
from training.data import (
    facts_of,
    label_columns,
    patients_of,
    plain_batches,
    raw_names,
    rows_of,
    sound_rows,
)
from training.metrics import Overlap, class_overlaps, fitted_line, line_errors, location_measures
from training.model import Model, read_model
from training.recipe import Recipe
from training.seen_patients import SeenPatients, read_seen_patients
from training.sources import Rows, open_source
from training.tasks.task import StoreFacts, Task
from training.team import chosen_device
from training.transfer import WEIGHTS_FILE, read_initial_weights

EVALUATION_FILE = "evaluation.json"
BATCH = 32
SPACING_TOLERANCE_MM = 1e-3
"""Pixel spacings that differ by less are the same grid."""

Table = dict[str, dict[str, list[float]]]
"""Patient -> measure -> a value for each of its images or volumes."""


def evaluate(
    run: Path, store: Path, *, split: str = "test", device: str = "auto", progress: Progress = silent
) -> dict[str, Any]:
    """Measure a finished run on one split of a store, and write ``evaluation.json`` into the run.

    Parameters
    ----------
    split
        "test", "validation", "train" or "all".

    Returns
    -------
    dict
        `split`; `protocol`; `ancestors_known`, whether the run's initial weights say whom they were trained
        on; `patients_comparable`, whether it is proven that the keys of this store and of all stores learned
        from have one salt (see `seen_patients.py`); `images_left_out`, images of the split that cannot be
        read; and in `tasks`, for each task that the store has labels for: `images`, `volumes`, those of them
        with an image left out as `volumes_incomplete`, `patients` (measure by measure for each patient key),
        `mean`, `sd`, and `counts` of empty masks and lines not found; for a location also `all_slices`, its
        measures over all slices at once.

    Raises
    ------
    HalfWritten, IntegrityError
        The run is not finished, or one of the two is damaged.
    WrongUse
        A split that does not exist; patients of it that the run was trained on; a store of another grid or
        of other structures.
    NothingUsable
        No image of the split has a label for any of the run's tasks.
    """
    if split not in (*SPLITS, "all"):
        raise WrongUse(f"{split!r} is no split; expected one of {', '.join((*SPLITS, 'all'))}")
    run = Path(run)
    read_initial_weights(run)  # says in one line what is wrong with a run that is not finished
    chosen = chosen_device(device)
    model, configuration = read_model(run / WEIGHTS_FILE)
    model.to(chosen).eval()
    reader = StoreReader(Path(store))
    recipe, facts = configuration.recipe, facts_of(reader.attributes)
    rows = sound_rows(reader, split, recipe.normalise)
    left_out = np.setdiff1d(rows_of(reader, split), rows)
    seen = read_seen_patients(run)
    _refuse_seen(seen, reader, rows, split)
    result: dict[str, Any] = {
        "split": split,
        "protocol": facts.protocol,
        "ancestors_known": seen.ancestors_known,
        "patients_comparable": seen.comparable_with(patients_of(reader, rows_of(reader, "all"))),
        "images_left_out": len(left_out),
    }
    found: dict[str, Any] = {}
    for label in model.labels:
        task = model.task(label)
        if task.needs <= set(reader.names):
            usable = rows[task.usable(label_columns(reader, task, rows))]
            if len(usable):
                _check_same(configuration.facts[label], facts, task)
                found[label] = _of_task(model, label, reader, usable, recipe, chosen, progress)
                found[label] |= _completeness(reader, usable, left_out)
    if not found:
        raise NothingUsable(
            f"no image of the split {split!r} of the store has a label for {', '.join(model.labels)}; "
            "choose another split or store"
        )
    result |= {"tasks": found}
    write_json(run / EVALUATION_FILE, result)
    return result


def _refuse_seen(seen: SeenPatients, reader: StoreReader, rows: Rows, split: str) -> None:
    """Raise when the run was trained on patients of these rows."""
    both = seen.trained & set(patients_of(reader, rows))
    if both and split != "train":
        raise WrongUse(
            f"the run, or one whose weights it began with, was trained on {len(both)} of the {split} "
            "patients of this store; measure on patients it never saw"
        )


def _completeness(reader: StoreReader, rows: Rows, left_out: Rows) -> dict[str, int]:
    """How many volumes were measured, and how many of them without all of their images."""
    stacks, phases = reader.column("stack_key"), reader.column("phase_index")
    measured, damaged = (
        {(bytes(stacks[row]), int(phases[row])) for row in some.tolist()} for some in (rows, left_out)
    )
    return {"volumes": len(measured), "volumes_incomplete": len(measured & damaged)}


def _check_same(trained: StoreFacts, given: StoreFacts, task: Task) -> None:
    """The labels must mean the same as those the run was trained on, and a pixel be as large."""
    if abs(trained.spacing_mm - given.spacing_mm) > SPACING_TOLERANCE_MM:
        raise WrongUse(
            f"the run was trained on pixels of {trained.spacing_mm:g} mm, those of the store are "
            f"{given.spacing_mm:g} mm; build the store with the same spacing"
        )
    for name, needed in (
        ("segment_names", "segmentation"),
        ("partners", "line"),
        ("box_names", "box_centre"),
    ):
        if needed in task.needs and getattr(trained, name) != getattr(given, name):
            raise WrongUse(
                f"the run was trained on {name} {', '.join(getattr(trained, name))}; the store has "
                f"{', '.join(getattr(given, name)) or 'none'}; give a store of the same protocol"
            )


def _of_task(
    model: Model,
    label: str,
    reader: StoreReader,
    rows: Rows,
    recipe: Recipe,
    device: torch.device,
    progress: Progress,
) -> dict[str, Any]:
    """Predict all rows of a task, volume by volume, and measure them."""
    task = model.task(label)
    facts = replace(facts_of(reader.attributes), segment_names=task.segment_names)
    kept = volumes_of(reader, rows)
    source = open_source(reader, raw_names(task, recipe.normalise), rows, device, progress=progress)
    table: Table = {}
    counts: dict[str, int] = {}
    pairs: list[tuple[float, float]] = []
    for number, (patient, volume) in enumerate(kept):
        measures = table.setdefault(patient, {})
        said: dict[str, list[NDArray[Any]]] = {}
        for _, batch in plain_batches(source, volume, BATCH, facts, recipe.normalise):
            with torch.no_grad():
                shown = {f"said {name}": v for name, v in task.predict(model.backbone, batch.image).items()}
            shown |= {f"true {name}": values for name, values in task.targets(batch).items()}
            shown |= {"line": batch.labels["line"]} if "line" in batch.labels else {}
            for name, values in shown.items():
                said.setdefault(name, []).append(values.cpu().numpy())
        whole = {name: np.concatenate(parts) for name, parts in said.items()}
        _measure_volume(whole, facts, measures, counts)
        if "said location" in whole:
            pairs += zip(whole["said location"].tolist(), whole["true location"].tolist(), strict=True)
        progress(f"evaluating {label}", done=number + 1, total=len(kept))
    return _summary(table, counts, pairs, len(rows))


def volumes_of(reader: StoreReader, rows: Rows) -> list[tuple[str, Rows]]:
    """Rows grouped into volumes (a stack at a phase) in slice order, each with its patient's key."""
    stacks, phases = reader.column("stack_key"), reader.column("phase_index")
    groups: dict[tuple[bytes, int], list[int]] = {}
    for row in rows.tolist():
        groups.setdefault((bytes(stacks[row]), int(phases[row])), []).append(row)
    slices, patients = reader.column("slice_index"), reader.column("patient_key")
    volumes = [
        np.array(sorted(one, key=lambda row: int(slices[row])), dtype=np.int64) for one in groups.values()
    ]
    return [(bytes(patients[volume[0]]).hex(), volume) for volume in volumes]


def _measure_volume(
    whole: Mapping[str, NDArray[Any]],
    facts: StoreFacts,
    measures: dict[str, list[float]],
    counts: dict[str, int],
) -> None:
    """Add the measures of one volume to its patient's."""
    if "said segmentation" in whole:
        names = facts.segment_names[1:]
        overlaps = class_overlaps(
            whole["said segmentation"], whole["true segmentation"], range(1, len(names) + 1)
        )
        _add_overlaps("dice", names, overlaps, measures, counts)
    if "said boxes" in whole:
        numbers = range(1, len(facts.box_names) + 1)
        overlaps = class_overlaps(whole["said boxes"], whole["true boxes"], numbers)
        _add_overlaps("box dice", facts.box_names, overlaps, measures, counts)
    if "said heatmaps" in whole:
        _add_lines(whole, facts, measures, counts)
    if "said location" in whole:
        error = whole["said location"].astype(np.float64) - whole["true location"]
        known = error[np.isfinite(error)]
        measures.setdefault("location squared error", []).extend((known**2).tolist())
        measures.setdefault("location absolute error", []).extend(np.abs(known).tolist())


def _add_overlaps(
    what: str,
    names: tuple[str, ...],
    overlaps: list[Overlap],
    measures: dict[str, list[float]],
    counts: dict[str, int],
) -> None:
    for name, overlap in zip(names, overlaps, strict=True):
        measures.setdefault(f"{what} {name}", []).append(overlap.dice)
        if overlap.empty:
            key = f"{what} {name}: empty in {overlap.empty}"
            counts[key] = counts.get(key, 0) + 1
    measures.setdefault(f"{what} mean", []).append(float(np.mean([overlap.dice for overlap in overlaps])))


def _add_lines(
    whole: Mapping[str, NDArray[Any]],
    facts: StoreFacts,
    measures: dict[str, list[float]],
    counts: dict[str, int],
) -> None:
    """Squared error of each known heatmap, and angle and offset of the line fitted to it."""
    for said, true, lines in zip(whole["said heatmaps"], whole["true heatmaps"], whole["line"], strict=True):
        for number, partner in enumerate(facts.partners):
            if np.isnan(true[number]).any():
                continue
            error = said[number].astype(np.float64) - true[number]
            measures.setdefault(f"heatmap squared error {partner}", []).append(float(np.mean(error**2)))
            fitted = fitted_line(said[number])
            if fitted is None:
                counts[f"line {partner}: none found"] = counts.get(f"line {partner}: none found", 0) + 1
                continue
            angle, offset = line_errors(fitted, lines[number], facts.rows, facts.columns, facts.spacing_mm)
            measures.setdefault(f"line angle {partner} (degrees)", []).append(angle)
            measures.setdefault(f"line offset {partner} (mm)", []).append(offset)


def _summary(
    table: Table, counts: dict[str, int], pairs: list[tuple[float, float]], images: int
) -> dict[str, Any]:
    """Means by patient, then mean and sample standard deviation over patients."""
    patients = {
        key: {name: float(np.mean(values)) for name, values in measures.items() if values}
        for key, measures in table.items()
    }
    names = sorted({name for measures in patients.values() for name in measures})
    columns = {name: [one[name] for one in patients.values() if name in one] for name in names}
    result: dict[str, Any] = {
        "images": images,
        "patients": patients,
        "mean": {name: float(np.mean(values)) for name, values in columns.items()},
        "sd": {
            name: float(np.std(values, ddof=1)) if len(values) > 1 else None
            for name, values in columns.items()
        },
        "counts": counts,
    }
    if pairs:
        said, true = zip(*pairs, strict=True)
        measures = location_measures(said, true)
        result["all_slices"] = {
            name: value if np.isfinite(value) else None for name, value in measures.items()
        }
    return result
