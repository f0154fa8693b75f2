"""Volumes of a store, and what a network says of each: one stack at one phase at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dicomgeom.progress import Progress, silent
from pretext_targets.reader import StoreReader
from training.data import facts_of, plain_batches, raw_names
from training.model import Model
from training.recipe import Recipe
from training.sources import Rows, open_source
from training.tasks.task import StoreFacts
from training.volume_grid import VolumeGrid, grid_of

BATCH = 32


@dataclass(frozen=True)
class PredictedVolume:
    """A volume as a network sees it and as it is.

    Attributes
    ----------
    patient
        Key in hexadecimal.
    rows
        Of the store, in the order of the slices.
    said, true
        What the task predicts and its targets, by name; the first axis is that of `rows`, for tasks that
        look at whole series their own.
    line
        (slices, partners, 3), where the task needs lines.
    """

    patient: str
    rows: Rows
    grid: VolumeGrid
    said: dict[str, NDArray[Any]]
    true: dict[str, NDArray[Any]]
    line: NDArray[np.float64] | None


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


def facts_for(model: Model, label: str, reader: StoreReader) -> StoreFacts:
    """Facts of a store, with the structures that a task tells apart."""
    return replace(facts_of(reader.attributes), segment_names=model.task(label).segment_names)


def predicted_volumes(
    model: Model,
    label: str,
    reader: StoreReader,
    rows: Rows,
    recipe: Recipe,
    device: torch.device,
    progress: Progress = silent,
) -> Iterator[PredictedVolume]:
    """What a task of a model says of some rows of a store, volume by volume.

    Parameters
    ----------
    model
        On `device`, in evaluation mode.
    """
    task, facts = model.task(label), facts_for(model, label, reader)
    volumes = volumes_of(reader, rows)
    source = open_source(reader, raw_names(task, recipe.normalise), rows, device, progress=progress)
    for number, (patient, volume) in enumerate(volumes):
        parts: dict[str, list[NDArray[Any]]] = {}
        size = len(volume) if task.unit == "series" else BATCH
        for _, batch in plain_batches(source, volume, size, facts, recipe.normalise):
            with torch.no_grad():
                shown = {f"said {name}": v for name, v in task.predict(model.backbone, batch.image).items()}
            shown |= {f"true {name}": values for name, values in task.targets(batch).items()}
            shown |= {"line": batch.labels["line"]} if "line" in batch.labels else {}
            for name, values in shown.items():
                parts.setdefault(name, []).append(values.cpu().numpy())
        whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
        yield PredictedVolume(
            patient=patient,
            rows=volume,
            grid=grid_of(reader, volume),
            said={name[5:]: values for name, values in whole.items() if name.startswith("said ")},
            true={name[5:]: values for name, values in whole.items() if name.startswith("true ")},
            line=whole.get("line"),
        )
        progress(f"evaluating {label}", done=number + 1, total=len(volumes))
