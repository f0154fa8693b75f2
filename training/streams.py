"""The streams of a run, ready to give batches: each a store, a task, and the rows it learns from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dicomgeom.errors import NothingUsable, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.reader import StoreReader, open_reader
from pretext_targets.store import SPLITS
from pretext_targets.where import Where
from training.contrast import Redraw, redraw_of
from training.data import (
    as_they_are,
    chosen_patients,
    facts_of,
    label_columns,
    patients_of,
    prepare,
    raw_names,
    sound_rows,
)
from training.fitting import beyond_the_paper
from training.model import Model
from training.order import Order
from training.recipe import Recipe
from training.sources import Rows, Source, open_source
from training.task_options import DOWNSTREAM
from training.tasks.task import Batch, StoreFacts, Task
from training.team import Team
from training.units import Picked, Units, make_units, view_keys


@dataclass
class LearningStream:
    """One stream with its data.

    Attributes
    ----------
    source, order, units
        Where its rows come from, in which order they are trained on, and what belongs to each.
    validation
        Rows to validate on; may be empty. `validation_units` says what belongs to each.
    patients
        Keys of the patients trained on.
    switched_off
        Heads without any label.
    redraw
        How the contrast of its images is drawn anew, if it is.
    """

    label: str
    task: Task
    facts: StoreFacts
    source: Source
    order: Order
    units: Units
    validation: Rows
    validation_units: Units
    patients: frozenset[str]
    switched_off: tuple[str, ...]
    redraw: Redraw | None = None

    def crops(self, turn: int, recipe: Recipe, team: Team) -> list[Batch]:
        """One member's share of the stream's batch number `turn`, augmented: a batch for each crop.

        The next one is announced to the source.
        """
        picked = self._picked(turn, recipe, team)
        raw = self.source.fetch(_all_rows(picked))
        self.source.announce(_all_rows(self._picked(turn + 1, recipe, team)))
        return self._views(picked, raw, recipe, augmented=True)

    def validation_crops(self, recipe: Recipe, members: int = 1) -> Iterator[list[Batch]]:
        """The validation rows in batches: as they are, or, for tasks of several views, on fixed draws.

        A batch is as large as a member's share in a team of so many: its GPU may have no room for more.
        """
        images = -(-recipe.batch_size // members)
        for start in range(0, len(self.validation), images):
            plain = as_they_are(self.validation[start : start + images])
            picked = self.validation_units.pick(plain.rows, plain.keys)
            raw = self.source.fetch(_all_rows(picked))
            yield self._views(picked, raw, recipe, augmented=len(self.task.crops) > len(picked))

    def _picked(self, turn: int, recipe: Recipe, team: Team) -> list[Picked]:
        return self.units.pick(*team.share(*self.order.batch(turn, recipe.batch_size)))

    def _views(
        self, picked: Sequence[Picked], raw: Mapping[str, Tensor], recipe: Recipe, *, augmented: bool
    ) -> list[Batch]:
        """One batch for each crop the task wants; the crops of a pair show its two slices."""
        starts = np.cumsum([0, *(len(one.rows) for one in picked)])
        views = []
        for number, crop in enumerate(self.task.crops):
            which = number % len(picked)
            rows, keys = picked[which].rows, view_keys(picked[which].keys, number)
            part = {name: values[starts[which] : starts[which + 1]] for name, values in raw.items()}
            augment, redraw = (recipe.augment, self.redraw) if augmented else (None, None)
            view = Picked(rows, keys, picked[which].unit)
            views.append(prepare(part, view, self.facts, recipe.normalise, augment, crop, redraw))
        return views


def _all_rows(picked: Sequence[Picked]) -> Rows:
    return picked[0].rows if len(picked) == 1 else np.concatenate([one.rows for one in picked])


def open_stores(recipe: Recipe, stores: Mapping[str, Where]) -> dict[str, StoreReader]:
    """Readers of the stores a recipe names, by that name; a single unnamed store stands for the only name.

    Raises
    ------
    WrongUse
        Names that do not fit, a store of another view than the recipe is for, or no store that knows the
        tissues of which the contrast shall be redrawn.
    IntegrityError
        A path that is no finished store.
    """
    wanted = recipe.store_names()
    given = {name or "main": path for name, path in stores.items()}
    if len(wanted) == 1 and set(given) == {"main"}:
        given = {wanted[0]: given["main"]}
    if set(wanted) != set(given):
        raise WrongUse(
            f"recipe {recipe.name} reads the stores {', '.join(wanted)}; "
            f"given were {', '.join(sorted(given)) or 'none'}; name each as --store NAME=PATH"
        )
    readers = {name: open_reader(given[name]) for name in wanted}
    for reader in readers.values():
        carrier = facts_of(reader.attributes).view
        if recipe.view and carrier != recipe.view:
            raise WrongUse(
                f"recipe {recipe.name} is for {recipe.view} images, the store holds {carrier} images "
                f"(protocol {reader.attributes.protocol.get('name', '?')}); give another store or recipe"
            )
    if recipe.augment.redraw_contrast and not any("tissue" in r.attributes.parts for r in readers.values()):
        raise WrongUse(
            "augment.redraw_contrast needs a store that knows tissues, and none of the given does; build one "
            "of a phantom export with build-targets --tissues TRUTH, or set augment.redraw_contrast=0"
        )
    return readers


def open_streams(
    recipe: Recipe,
    readers: Mapping[str, StoreReader],
    model: Model,
    device: torch.device,
    *,
    memory_bytes: int | None = None,
    team: Team | None = None,
    progress: Progress = silent,
) -> tuple[list[LearningStream], list[str]]:
    """All streams of a recipe, and notes for people on what is left out.

    Raises
    ------
    NothingUsable
        A stream for which no training row holds a label.
    """
    chosen = [
        _choose(recipe, number, readers[stream.store], model.task(label), progress)
        for number, (stream, label) in enumerate(zip(recipe.streams, recipe.labels(), strict=True))
    ]
    sources = {
        name: _source_of(recipe, name, reader, model, chosen, device, memory_bytes, team, progress)
        for name, reader in readers.items()
    }
    streams, notes = [], []
    for number, (stream, label, rows) in enumerate(zip(recipe.streams, recipe.labels(), chosen, strict=True)):
        reader, task = readers[stream.store], model.task(label)
        task.switch_off(rows.switched_off)
        notes += [
            f"{label}: no training image has a label for the {head}: switched off"
            for head in rows.switched_off
        ]
        notes += beyond_the_paper(recipe, label, facts_of(reader.attributes).view)
        redraw = redraw_of(recipe.augment, reader.attributes, device)
        if recipe.augment.redraw_contrast and redraw is None:
            notes.append(f"{label}: its store knows no tissues: the contrast stays as it is")
        if not len(rows.validation):
            notes.append(f"{label}: no validation patients with labels: the run goes on without validation")
        streams.append(
            LearningStream(
                label=label,
                task=task,
                facts=facts_of(reader.attributes),
                source=sources[stream.store],
                order=Order(rows.units.rows, recipe.seed, number),
                units=rows.units,
                validation=rows.validation,
                validation_units=rows.validation_units,
                patients=frozenset(patients_of(reader, rows.training)),
                switched_off=rows.switched_off,
                redraw=redraw,
            )
        )
    return streams, notes


@dataclass(frozen=True)
class _Chosen:
    """All training rows with their units; the validation units, thinned, with all of theirs."""

    training: Rows
    units: Units
    validation: Rows
    validation_units: Units
    held: Rows
    switched_off: tuple[str, ...]


def _choose(recipe: Recipe, number: int, reader: StoreReader, task: Task, progress: Progress) -> _Chosen:
    """Rows of a stream: sound, labelled, of the chosen patients."""
    training = sound_rows(reader, "train", recipe.normalise)
    columns = label_columns(reader, task, training, progress)
    usable = task.usable(columns)
    if not usable.any():
        raise NothingUsable(_nothing_to_learn(recipe, number, reader, task, progress))
    switched_off = tuple(
        task.heads_without_labels({name: values[usable] for name, values in columns.items()})
    )
    training = training[usable]
    if recipe.subjects and _is_limited(recipe, number):
        patients = patients_of(reader, training)
        kept = chosen_patients(patients, recipe.subjects, recipe.seed)
        training = training[np.array([patient in kept for patient in patients])]
    validation = sound_rows(reader, "validation", recipe.normalise)
    validation = validation[task.usable(label_columns(reader, task, validation))]
    units, held_out = make_units(task.unit, training, reader), make_units(task.unit, validation, reader)
    if not len(units.rows):
        raise NothingUsable(
            f"{recipe.streams[number].task} learns from pairs of slices of one stack, and no training stack "
            "of the store has two slices; give a store of stacks, or another recipe"
        )
    chosen = np.isin(columns["row"], units.rows)
    task.see_training({name: values[chosen] for name, values in columns.items()})
    shown = evenly(held_out.rows, recipe.validation_images)
    # Slices stand alone; the members of pairs and series have to be there, too.
    held = np.concatenate([training, shown if task.unit == "slice" else validation])
    return _Chosen(training, units, shown, held_out, held, switched_off)


def _nothing_to_learn(
    recipe: Recipe, number: int, reader: StoreReader, task: Task, progress: Progress
) -> str:
    told = []
    for split in SPLITS:
        rows = sound_rows(reader, split, recipe.normalise)
        labelled = int(task.usable(label_columns(reader, task, rows, progress)).sum())
        told.append(f"{split} {labelled} of {len(rows)}")
    return (
        f"no readable training image of the store (protocol {reader.attributes.protocol.get('name', '?')}) "
        f"has a label for {recipe.streams[number].task}; readable images with one: {', '.join(told)}; "
        "give a store with labelled training patients or another recipe"
    )


def _is_limited(recipe: Recipe, number: int) -> bool:
    downstream = [stream.task in DOWNSTREAM for stream in recipe.streams]
    return downstream[number] or not any(downstream)


def evenly(rows: Rows, count: int) -> Rows:
    """At most `count` of the rows, spread evenly over all of them."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]


def _source_of(
    recipe: Recipe,
    name: str,
    reader: StoreReader,
    model: Model,
    chosen: Sequence[_Chosen],
    device: torch.device,
    memory_bytes: int | None,
    team: Team | None,
    progress: Progress,
) -> Source:
    """One source for all streams of a store, so that its images are held once."""
    of_store = [i for i, stream in enumerate(recipe.streams) if stream.store == name]
    rows = np.unique(np.concatenate([chosen[i].held for i in of_store]))
    names = dict.fromkeys(
        n for i in of_store for n in raw_names(model.task(recipe.labels()[i]), recipe.normalise)
    )
    if redraw_of(recipe.augment, reader.attributes, device) is not None:
        names["tissue"] = None
    return open_source(
        reader, tuple(names), rows, device, memory_bytes=memory_bytes, team=team, progress=progress
    )
