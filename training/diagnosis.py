"""Diagnosis by a random forest on ten features of the heart.

Zhang, Wei et al., Medical Image Analysis 2024: the forest learns from the manual segmentations of all
training patients and is tested on automatic ones, so that it tells how much a network's errors matter. The
manual segmentations of the test patients are told beside it: no network can be expected to do better.

``diagnosis.json``
==================
::

    version             of this layout: 2
    split, store        as in `evaluation.json`
    weights             SHA-256 of the run's weights; null where only manual segmentations were used
    classes             names of the diagnoses, by number
    features            names, in the order of the patients' values
    left_out            features that no training patient has
    trained_on          patients that the forest learned from
    trained_without     volumes of the training patients with an image left out: see `volumes_left_out`
    manual, automatic   each (automatic only with a run) ->
        auc             one against the rest: `auc NAME`, and `auc mean` (macro); null where undefined
        auc_interval    the same -> [low, high], bootstrap 95 % over patients
        accuracy        share of patients whose most probable class is the true one
        confusion       rows = true class, columns = most probable class
        unknown         feature -> patients for whom the training patients' median was taken
        volumes_left_out  volumes (a stack at a phase) of the split with an image whose pixels cannot be
                        used: they are taken for neither end-diastole nor end-systole
        patients        salted key -> `true`, `probabilities` (a number a class), `features`
                        (null where unknown; height and weight are not repeated)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dicomgeom.errors import NothingUsable, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.places import Where
from pretext_targets.reader import StoreReader
from pretext_targets.store import SPLITS
from training.cardiac_features import (
    BODY,
    FEATURES,
    PhaseVolume,
    known_diagnoses,
    manual_features,
    phase_volume,
    place_of,
    told_of,
    with_body,
)
from training.checkpoint import write_json
from training.data import facts_of, label_columns, patients_of, rows_of, sound_rows
from training.evaluate import check_same, weights_sha256
from training.forest import Forest
from training.intervals import statistic_intervals
from training.model import Configuration, Model, read_model
from training.roc import class_aucs
from training.seen_patients import read_seen_patients
from training.sources import Rows
from training.team import chosen_device
from training.transfer import WEIGHTS_FILE, read_initial_weights
from training.volumes import predicted_volumes

DIAGNOSIS_FILE = "diagnosis.json"
DIAGNOSIS_VERSION = 2

ByPatient = Mapping[str, NDArray[np.float64]]


def diagnose(
    run: Path | None,
    store: Where,
    *,
    split: str = "test",
    seed: int = 0,
    device: str = "auto",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train the forest on manual segmentations, test it on those of a run; writes ``diagnosis.json`` into it.

    Parameters
    ----------
    run
        A finished run that segments the short axis; None tests manual segmentations alone.
    store
        A labelled store with diagnoses: its training patients, and those of `split`.
    seed
        Of the forest.

    Returns
    -------
    dict
        What stands in ``diagnosis.json``; see above.

    Raises
    ------
    HalfWritten, IntegrityError
        The run is not finished, or one of the two is damaged.
    WrongUse
        The segmentation has not the three structures; the run has seen patients of the split, or segments
        something else.
    NothingUsable
        No diagnoses, no segmentation, no patients to train or to test on.
    """
    if split not in SPLITS[1:]:
        raise WrongUse(f"the forest learns from the training patients; test it on {' or '.join(SPLITS[1:])}")
    reader = StoreReader(store)
    truth = known_diagnoses(reader, rows_of(reader, "all"))
    learned, held_out = (sound_rows(reader, part, "none") for part in ("train", split))
    training = manual_features(reader, learned, progress)
    values, classes, learned_from = _arrays(training, truth)
    forest = Forest(values, classes, seed)
    names = class_names(reader, max(truth.values()) + 1)
    manual = manual_features(reader, held_out, progress)
    left_out = {"manual": _volumes_left_out(reader, split, held_out)}
    tested = {"manual": _tested(forest, manual, truth, names)}
    if run is not None:
        automatic, rows = automatic_features(Path(run), reader, split, device=device, progress=progress)
        left_out["automatic"] = _volumes_left_out(reader, split, rows)
        tested["automatic"] = _tested(forest, automatic, truth, names)
    result: dict[str, Any] = {
        "version": DIAGNOSIS_VERSION,
        "split": split,
        "store": reader.attributes.plan_sha256,
        "weights": None if run is None else weights_sha256(Path(run)),
        "classes": list(names),
        "features": list(FEATURES),
        "left_out": [name for name, used in zip(FEATURES, forest.used, strict=True) if not used],
        "trained_on": len(learned_from),
        "trained_without": _volumes_left_out(reader, "train", learned),
        **{kind: one | {"volumes_left_out": left_out[kind]} for kind, one in tested.items()},
    }
    if run is not None:
        write_json(Path(run) / DIAGNOSIS_FILE, result)
    return result


def class_names(reader: StoreReader, count: int) -> tuple[str, ...]:
    """Names of the diagnoses by number: the store's, or else numbers."""
    told = reader.attributes.diagnosis_names
    return (*told, *(f"class {number}" for number in range(len(told), count)))


def _volumes_left_out(reader: StoreReader, split: str, sound: Rows) -> int:
    left_out = np.setdiff1d(rows_of(reader, split), sound)
    return len({place_of(reader, row) for row in left_out[:, None]})


def automatic_features(
    run: Path, reader: StoreReader, split: str, *, device: str = "auto", progress: Progress = silent
) -> tuple[dict[str, NDArray[np.float64]], Rows]:
    """Features of the patients of a split, from what a run says of their images; and the rows it can use.

    Looked at are the phases at end-diastole and end-systole where the store tells them, else the annotated
    ones, else all.
    """
    read_initial_weights(run)  # says in one line what is wrong with a run that is not finished
    chosen = chosen_device(device)
    model, configuration = read_model(run / WEIGHTS_FILE)
    model.to(chosen).eval()
    label = _segmenting(model)
    check_same(configuration.facts[label], facts_of(reader.attributes), model.task(label))
    rows = sound_rows(reader, split, configuration.recipe.normalise)
    read_seen_patients(run).refuse(patients_of(reader, rows), split)
    phases = _phases(model, label, reader, rows, configuration, chosen, progress)
    return with_body(reader, rows, phases), rows


def _phases(
    model: Model,
    label: str,
    reader: StoreReader,
    rows: Rows,
    configuration: Configuration,
    device: torch.device,
    progress: Progress,
) -> dict[str, list[PhaseVolume]]:
    task, phases = model.task(label), dict[str, list[PhaseVolume]]()
    annotated = task.usable(label_columns(reader, task, rows))
    looked_at = rows[_worth_a_look(reader, rows, annotated)]
    recipe = configuration.recipe
    for volume in predicted_volumes(model, label, reader, looked_at, recipe, device, progress):
        place = place_of(reader, volume.rows)
        said = phase_volume(place, volume.said["segmentation"], task.segment_names, volume.grid)
        phases.setdefault(volume.patient, []).append(said)
    return phases


def _worth_a_look(reader: StoreReader, rows: Rows, annotated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each patient the rows at end-diastole and end-systole where told, else annotated ones, else all."""
    patients, told = np.array(patients_of(reader, rows)), told_of(reader, rows)
    phases = reader.column("phase_index")[rows].tolist()
    at_ends = np.array(
        [
            phase in (told[one].ed_phase, told[one].es_phase)
            for one, phase in zip(patients, phases, strict=True)
        ]
    )
    without_ends = ~np.isin(patients, patients[at_ends])
    without_any = without_ends & ~np.isin(patients, patients[annotated])
    return at_ends | (without_ends & annotated) | without_any


def _segmenting(model: Model) -> str:
    labels = [label for label in model.labels if model.task(label).segment_names]
    if not labels:
        raise WrongUse(
            f"the run learned {', '.join(model.labels)} and segments nothing; give a run of segment-sax"
        )
    return labels[0]


def _arrays(
    features: ByPatient, truth: Mapping[str, int]
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    """Features (n, 10), classes (n,) and keys of the patients whose diagnosis is known, by key.

    Raises
    ------
    NothingUsable
        There are none.
    """
    patients = sorted(features.keys() & truth.keys())
    if not patients:
        raise NothingUsable(
            "no patient has both a segmentation and a known diagnosis; choose another split or store"
        )
    return np.stack([features[one] for one in patients]), np.array([truth[one] for one in patients]), patients


def _tested(
    forest: Forest, features: ByPatient, truth: Mapping[str, int], names: tuple[str, ...]
) -> dict[str, Any]:
    values, classes, patients = _arrays(features, truth)
    said = forest.probabilities(values, len(names))
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (classes, said.argmax(axis=1)), 1)

    def areas(rows: NDArray[np.float64]) -> dict[str, float]:
        return class_aucs(rows[:, :-1], rows[:, -1].astype(np.int64), names)

    table = np.column_stack([said, classes])
    unknown = ~np.isfinite(values) & forest.used
    measured = [number for number, name in enumerate(FEATURES) if name not in BODY]
    return {
        "auc": {name: area if np.isfinite(area) else None for name, area in areas(table).items()},
        "auc_interval": {
            name: list(ends) for name, ends in statistic_intervals(list(table[:, None]), areas).items()
        },
        "accuracy": float((said.argmax(axis=1) == classes).mean()),
        "confusion": confusion.tolist(),
        "unknown": {
            name: int(lacking) for name, lacking in zip(FEATURES, unknown.sum(axis=0), strict=True) if lacking
        },
        "patients": {
            patient: {
                "true": int(classes[row]),
                "probabilities": said[row].tolist(),
                "features": [
                    float(values[row, one]) if np.isfinite(values[row, one]) else None for one in measured
                ],
            }
            for row, patient in enumerate(patients)
        },
    }
