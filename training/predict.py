"""What a finished segmentation run says of all images of a store, annotated or not, stack by stack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dicomgeom.errors import NothingUsable, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.predicted import PredictedStack
from pretext_targets.reader import StoreReader
from training.data import STATISTICS, as_they_are, dequantised, facts_of, normalised, rows_of, sound_rows
from training.evaluate import check_spacing
from training.model import Model, read_model
from training.recipe import Recipe
from training.sources import Rows, Source, open_source
from training.team import chosen_device
from training.transfer import WEIGHTS_FILE, read_initial_weights
from training.volumes import BATCH

SEGMENTATION = "segmentation"
NO_ROWS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Predictions:
    """What a run says of the images of a store.

    Attributes
    ----------
    stacks
        Segmented one after the other while they are taken.
    images_left_out
        How many images have pixels that cannot be used.
    """

    stacks: Iterator[PredictedStack]
    images_left_out: int


def predict(
    run: Path,
    store: Path | str,
    *,
    split: str = "all",
    device: str = "auto",
    progress: Progress = silent,
) -> Predictions:
    """Segment the images of a store, one stack after the other.

    Parameters
    ----------
    split
        "train", "validation", "test" or "all".

    Raises
    ------
    HalfWritten, IntegrityError
        The run is not finished, or one of the two is damaged.
    WrongUse
        A run that does not segment, or a store of another pixel size or view.
    NothingUsable
        No image of the split can be read.
    """
    read_initial_weights(run)  # says in one line what is wrong with a run that is not finished
    model, configuration = read_model(run / WEIGHTS_FILE)
    labels = [label for label in model.labels if model.task(label).segment_names]
    if not labels:
        raise WrongUse(f"{run} learned {', '.join(model.labels)}; only a run that segments can predict")
    reader = StoreReader(store)
    trained, given = configuration.facts[labels[0]], facts_of(reader.attributes)
    check_spacing(trained.spacing_mm, given.spacing_mm)
    if trained.view != given.view:
        raise WrongUse(
            f"the run learned to segment {trained.view} images, the store holds {given.view} images "
            f"(protocol {given.protocol}); give another store or run"
        )
    chosen = chosen_device(device)
    model.to(chosen).eval()
    rows = sound_rows(reader, split, configuration.recipe.normalise)
    if not len(rows):
        raise NothingUsable(f"no image of the split {split!r} of the store can be read")
    left_out = np.setdiff1d(rows_of(reader, split), rows)
    stacks = _stacks(model, labels[0], reader, rows, left_out, configuration.recipe, chosen, progress)
    return Predictions(stacks, len(left_out))


def _stacks(
    model: Model,
    label: str,
    reader: StoreReader,
    rows: Rows,
    left_out: Rows,
    recipe: Recipe,
    device: torch.device,
    progress: Progress,
) -> Iterator[PredictedStack]:
    names = ("image", "image_scale", "image_offset", *STATISTICS[recipe.normalise])
    source = open_source(reader, names, rows, device, progress=progress)
    stacks, lacking = _by_stack(reader, rows), _by_stack(reader, left_out)
    for done, (key, of_stack) in enumerate(stacks.items()):
        classes = np.concatenate(
            [
                _classes(model, label, source, of_stack[start : start + BATCH], recipe)
                for start in range(0, len(of_stack), BATCH)
            ]
        )
        segment_names = model.task(label).segment_names
        yield _assembled(reader, of_stack, classes, segment_names, lacking.get(key, NO_ROWS))
        progress("predicting", done=done + 1, total=len(stacks))


def _by_stack(reader: StoreReader, rows: Rows) -> dict[bytes, Rows]:
    stacks: dict[bytes, list[int]] = {}
    for row, key in zip(rows.tolist(), reader.column("stack_key")[rows], strict=True):
        stacks.setdefault(bytes(key), []).append(row)
    return {key: np.array(members, dtype=np.int64) for key, members in stacks.items()}


@torch.no_grad()
def _classes(model: Model, label: str, source: Source, rows: Rows, recipe: Recipe) -> NDArray[np.uint8]:
    """(n, rows, columns): the class of each pixel."""
    raw = source.fetch(as_they_are(rows).rows)
    image = normalised(dequantised(raw)[:, None], raw, recipe.normalise)
    image = image.contiguous(memory_format=torch.channels_last)
    said = model.task(label).predict(model.backbone, image)[SEGMENTATION]
    classes: NDArray[np.uint8] = said.cpu().numpy().astype(np.uint8)
    return classes


def _assembled(
    reader: StoreReader,
    rows: Rows,
    classes: NDArray[np.uint8],
    segment_names: tuple[str, ...],
    left_out: Rows = NO_ROWS,
) -> PredictedStack:
    """Images of one stack in the order of their slices and phases; those left out keep their places."""
    every = np.concatenate([rows, left_out])
    slice_of, phase_of = (reader.column(name)[every].astype(int) for name in ("slice_index", "phase_index"))
    slices, place = np.unique(slice_of, return_inverse=True)
    phases, moment = np.unique(phase_of, return_inverse=True)
    whole = np.zeros((len(phases), len(slices), *classes.shape[1:]), dtype=np.uint8)
    known = np.zeros(whole.shape[:2], dtype=bool)
    matrices = np.full((len(slices), 4, 4), np.nan)
    seen = moment[: len(rows)], place[: len(rows)]
    whole[seen], known[seen] = classes, True
    matrices[place] = reader.column("patient_from_pixel")[every]
    return PredictedStack(
        patient_key=bytes(reader.column("patient_key")[rows[0]]),
        stack_key=bytes(reader.column("stack_key")[rows[0]]),
        slices=tuple(slices.tolist()),
        phases=tuple(phases.tolist()),
        classes=whole,
        known=known,
        patient_from_pixel=matrices,
        spacing_mm=reader.attributes.spacing_mm,
        segment_names=segment_names,
    )
