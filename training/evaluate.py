"""How good a finished run is on patients it never saw.

Each patient is a row of the table; mean, standard deviation and bootstrap interval are over patients. Dice
and distances are of a volume: all slices of one stack at one phase; a patient's value is the mean over its
volumes. A run records whom it was trained on, its ancestors included, and test patients among them are
refused. Images whose pixels could not be read are left out, and counted.

``evaluation.json``
===================
::

    version                 of this layout: 2
    split                   whose patients: "test", "validation", "train" or "all"
    protocol                of the store
    store                   SHA-256 of the store's plan: equal for equal stores, wherever they lie
    weights                 SHA-256 of the weights that were measured
    ancestors_known         whether the run's initial weights say whom they were trained on
    patients_comparable     whether it is proven that the keys of this store and of all stores learned from
                            have one salt (see `seen_patients.py`)
    images_left_out         images of the split whose pixels cannot be used
    tasks                   label of the stream ->
        images              how many were measured
        volumes             how many, and of them `volumes_incomplete`: with an image left out
        patients            salted key in hexadecimal -> measure -> value
        mean, median, sd    measure -> over patients; sd is over n - 1, null for one patient
        interval            measure -> [low, high], bootstrap 95 % of the mean; null for one patient
        measured            measure -> patients who have it (lines are found in some images only)
        counts              what was counted: empty masks, lines not found, contours alone in their slice
        all_slices          measure -> value over all images at once: a location's errors, r, R^2, explained
                            variance, slope and intercept; median and mean of line angles and offsets
        all_slices_interval measure -> [low, high]; patients are drawn with all of their images
        auc                 of findings: `auc NAME`, and `auc mean`; null where undefined. A patient's
                            probability is the mean over its series
        auc_interval        the same -> [low, high]

Measures of a segmentation are `dice`, `assd`, `hd95` and `contour distance` of each structure and their
`mean`, `volume`, `true volume` and `volume error`, with their unit in brackets; of boxes `box dice`; of lines
`heatmap squared error`, `heatmap absolute error`, `line found`, `line angle` and `line offset` of each
partner view; of a location `location squared error` and `location absolute error`; of findings `probability`
and `true` of each. Policies for empty masks are in `segmentation_measures.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from dicomgeom.errors import NothingUsable, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.places import Where
from pretext_targets.reader import StoreReader
from pretext_targets.store import SPLITS
from training.checkpoint import write_json
from training.data import facts_of, label_columns, patients_of, rows_of, sound_rows
from training.measured_task import MeasuredTask
from training.model import Model, read_model
from training.recipe import Recipe
from training.run_file import sha256_of
from training.seen_patients import read_seen_patients
from training.sources import Rows
from training.tasks.task import StoreFacts, Task
from training.team import chosen_device
from training.transfer import WEIGHTS_FILE, read_initial_weights
from training.volumes import facts_for, predicted_volumes

EVALUATION_FILE = "evaluation.json"
EVALUATION_VERSION = 2
SPACING_TOLERANCE_MM = 1e-3
"""Pixel spacings that differ by less are the same grid."""


def evaluate(
    run: Path,
    store: Where,
    *,
    split: str = "test",
    any_spacing: bool = False,
    write: bool = True,
    device: str = "auto",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure a finished run on one split of a store, and write ``evaluation.json`` into the run.

    Parameters
    ----------
    store
        A path or a URL.
    split
        "test", "validation", "train" or "all".
    any_spacing
        Whether the store's pixels may have another size than those the run was trained on, as where a set
        lost its spacing.
    write
        Whether ``evaluation.json`` is written, in the place of the one that the run has.

    Returns
    -------
    dict
        What stands in ``evaluation.json``; see above.

    Raises
    ------
    HalfWritten, IntegrityError
        The run is not finished, or one of the two is damaged.
    WrongUse
        A split that does not exist; patients of it that the run was trained on; a store of another grid or
        of other structures.
    NothingUsable
        No image of the split has a label for any of the run's tasks, or they learn nothing measurable.
    """
    if split not in (*SPLITS, "all"):
        raise WrongUse(f"{split!r} is no split; expected one of {', '.join((*SPLITS, 'all'))}")
    run = Path(run)
    read_initial_weights(run)  # says in one line what is wrong with a run that is not finished
    chosen = chosen_device(device)
    model, configuration = read_model(run / WEIGHTS_FILE)
    model.to(chosen).eval()
    reader = StoreReader(store)
    recipe, facts = configuration.recipe, facts_of(reader.attributes)
    rows = sound_rows(reader, split, recipe.normalise)
    left_out = np.setdiff1d(rows_of(reader, split), rows)
    read_seen_patients(run).refuse(patients_of(reader, rows), split)
    found: dict[str, Any] = {}
    for label in _measurable(model):
        task = model.task(label)
        if task.needs <= set(reader.names):
            usable = rows[task.usable(label_columns(reader, task, rows))]
            if len(usable):
                check_same(configuration.facts[label], facts, task, any_spacing=any_spacing)
                measured = _measured(model, label, reader, usable, recipe, chosen, progress)
                about = {"images": len(usable), **_completeness(reader, usable, left_out)}
                found[label] = about | measured.summary()
    if not found:
        raise NothingUsable(
            f"no image of the split {split!r} of the store has a label for {', '.join(model.labels)}; "
            "choose another split or store"
        )
    result = _ground(run, reader, split) | {"images_left_out": len(left_out), "tasks": found}
    if write:
        write_json(run / EVALUATION_FILE, result)
    return result


def _ground(run: Path, reader: StoreReader, split: str) -> dict[str, Any]:
    """What the measures rest on."""
    seen = read_seen_patients(run)
    return {
        "version": EVALUATION_VERSION,
        "split": split,
        "protocol": facts_of(reader.attributes).protocol,
        "store": reader.attributes.plan_sha256,
        "weights": weights_sha256(run),
        "ancestors_known": seen.ancestors_known,
        "patients_comparable": seen.comparable_with(patients_of(reader, rows_of(reader, "all"))),
    }


def weights_sha256(run: Path) -> str:
    """SHA-256 of the weights of a run."""
    return sha256_of(run / WEIGHTS_FILE)


def _measurable(model: Model) -> list[str]:
    """Labels of the streams whose tasks say what the store can be asked, too.

    Raises
    ------
    NothingUsable
        There are none.
    """
    tasks = {label: model.task(label) for label in model.labels}
    found = [label for label, task in tasks.items() if task.needs and type(task).predict is not Task.predict]
    if not found:
        raise NothingUsable(
            f"what {', '.join(model.labels)} learns cannot be compared with labels of patients; "
            "fine-tune from this run and measure that run"
        )
    return found


def _measured(
    model: Model,
    label: str,
    reader: StoreReader,
    rows: Rows,
    recipe: Recipe,
    device: torch.device,
    progress: Progress,
) -> MeasuredTask:
    """All volumes of some rows, measured for one task."""
    measured = MeasuredTask(facts_for(model, label, reader), getattr(model.task(label), "label_names", ()))
    for volume in predicted_volumes(model, label, reader, rows, recipe, device, progress):
        measured.add(volume)
    return measured


def _completeness(reader: StoreReader, rows: Rows, left_out: Rows) -> dict[str, int]:
    """How many volumes were measured, and how many of them without all of their images."""
    stacks, phases = reader.column("stack_key"), reader.column("phase_index")
    measured, damaged = (
        {(bytes(stacks[row]), int(phases[row])) for row in some.tolist()} for some in (rows, left_out)
    )
    return {"volumes": len(measured), "volumes_incomplete": len(measured & damaged)}


def check_spacing(trained_mm: float, given_mm: float, otherwise: str = "") -> None:
    """Raise `WrongUse` when pixels of a store have another size than those of the training."""
    if abs(trained_mm - given_mm) > SPACING_TOLERANCE_MM:
        raise WrongUse(
            f"the run was trained on pixels of {trained_mm:g} mm, those of the store are {given_mm:g} mm; "
            f"build the store with the same spacing{otherwise}"
        )


def check_same(trained: StoreFacts, given: StoreFacts, task: Task, *, any_spacing: bool = False) -> None:
    """The labels must mean the same as those the run was trained on, and a pixel be as large."""
    if not any_spacing:
        check_spacing(trained.spacing_mm, given.spacing_mm, ", or say --any-spacing")
    for name, needed in (
        ("segment_names", "segmentation"),
        ("partners", "line"),
        ("box_names", "box_centre"),
        ("finding_names", "findings"),
    ):
        if needed in task.needs and getattr(trained, name) != getattr(given, name):
            raise WrongUse(
                f"the run was trained on {name} {', '.join(getattr(trained, name))}; the store has "
                f"{', '.join(getattr(given, name)) or 'none'}; give a store of the same protocol"
            )
