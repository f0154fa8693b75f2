"""The one training loop, for every recipe: streams take turns until the recipe's steps are done.

A step is a function of the weights, the optimiser's state, torch's random state and the step number; a
checkpoint holds these. A run that was killed goes on from its last checkpoint, and on a CPU ends with the
same bits as one that never stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dicomgeom.errors import WrongUse
from dicomgeom.holding import held
from dicomgeom.progress import Progress, silent
from pretext_targets.reader import StoreReader
from pretext_targets.where import Where
from training.checkpoint import Position, sweep
from training.compiling import compile_backbone
from training.data import facts_of, patients_of, rows_of
from training.failures import told_in_one_line
from training.heads import head_of, take_heads
from training.mixed_precision import told_of_precision
from training.model import Configuration, Model, make_model, write_weights
from training.recipe import Recipe
from training.run_file import DONE, RUNNING, WEIGHTS_SHA256, read_run
from training.run_folder import NEW, identity_of, state_of, verify_run, write_run
from training.seen_patients import SEEN_FILE, SeenPatients, write_seen_patients
from training.steps import Training
from training.streams import LearningStream, open_stores, open_streams
from training.tasks.collapse import told_of_collapse
from training.team import Team, chosen_device, leave_in_order, this_team
from training.trackers import TrackerName, open_tracker, tool_of
from training.transfer import WEIGHTS_FILE, InitialWeights, load_into, other_spacing, read_initial_weights
from training.validation import write_samples

__all__ = ["RunSummary", "train", "verify_run"]

LOCK_FILE = ".lock"
"""Hidden: a folder that holds no more than this is a new one."""


@dataclass(frozen=True)
class RunSummary:
    """What a finished run tells.

    Attributes
    ----------
    losses
        The last logged mean of each part of the loss, as "task/part".
    notes
        What was left out and why, in words.
    already_done
        True when the run was finished before, and nothing was done now.
    transfer
        Which initial weights were taken over; None without any.
    """

    run: Path
    steps: int
    seconds: float
    images_per_second: float
    losses: dict[str, float]
    notes: tuple[str, ...] = ()
    already_done: bool = False
    transfer: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**self.__dict__, "run": str(self.run), "notes": list(self.notes)}


def train(
    recipe: Recipe,
    stores: Mapping[str, Where],
    run: Path,
    *,
    init: Path | None = None,
    device: str = "auto",
    memory_bytes: int | None = None,
    track: TrackerName | None = None,
    progress: Progress = silent,
) -> RunSummary:
    """Train as a recipe says; goes on by itself where an interrupted run of the same stopped.

    Parameters
    ----------
    recipe
        What to learn.
    stores
        Paths or URLs of the stores by the names the recipe gives them; "" for the only one.
    run
        Folder of the run.
    init
        A finished run or a file of weights to begin with.
    device
        "auto", "cpu", "cuda" or "cuda:N".
    memory_bytes
        The most that images may take in memory; None: a share of what is free. Larger stores are streamed.
    track
        "mlflow" or "wandb": the log's numbers go there, too.

    Raises
    ------
    AnatprepError
        Everything that is wrong with what was given, before anything is written; and a loss that is not
        finite, a batch too large for the GPU, a full disk.
    """
    team = this_team(device)
    summary = _trained(
        recipe,
        stores,
        Path(run),
        team,
        init=init,
        device=chosen_device(device, team),
        memory_bytes=memory_bytes,
        track=track,
        progress=progress if team.first else silent,
    )
    leave_in_order(team)
    return summary


def _trained(
    recipe: Recipe,
    stores: Mapping[str, Where],
    run: Path,
    team: Team,
    *,
    init: Path | None,
    device: torch.device,
    memory_bytes: int | None,
    track: TrackerName | None,
    progress: Progress,
) -> RunSummary:
    """What one member of a team does of `train`."""
    team.check_shares(recipe.batch_size)
    if track and team.first:
        tool_of(track)
    readers = open_stores(recipe, stores)
    initial = read_initial_weights(Path(init)) if init is not None else None
    identity = identity_of(recipe, readers, initial)
    if team.from_first(lambda: state_of(run, identity)) == DONE:
        return _told_before(run)
    with told_in_one_line(run), ExitStack() as until_done:
        model = make_model(recipe, [facts_of(readers[stream.store].attributes) for stream in recipe.streams])
        streams, notes = open_streams(
            recipe, readers, model, device, memory_bytes=memory_bytes, team=team, progress=progress
        )
        for stream in streams:
            team.check_shares(recipe.batch_size, stream.task.least_images)
        transfer = _begin_with(model, initial, recipe, streams, notes)
        state = team.from_first(lambda: _taken(run, identity, until_done))
        if state == DONE:
            return _told_before(run)
        if team.first and state == NEW:
            write_run(run, identity, RUNNING, notes=notes, transfer=transfer)
        # Asked for on its own: a run that was killed between the two writings gets its record, too.
        if team.first and not (run / SEEN_FILE).is_file():
            write_seen_patients(run, _seen_by(streams, readers, initial))
        for stream in streams:
            stream.task.begin(model.backbone)
        tracker = open_tracker(track, run, recipe) if track and team.first else None
        training = Training(recipe, run, model, streams, device, team, progress, tracker)
        position = _learned(training, notes)
        if team.first:
            _finish(training, position, identity, notes, transfer)
        rate = position.images / position.seconds if position.seconds else 0.0
        return RunSummary(
            run, position.step, position.seconds, rate, position.losses, tuple(notes), False, transfer
        )


def _taken(run: Path, identity: Mapping[str, Any], until_done: ExitStack) -> str:
    """Take a run's folder, for as long as it is trained; the state it is in by now.

    Raises
    ------
    WrongUse
        Another process trains in it, or something else came to be in it.
    """
    run.mkdir(parents=True, exist_ok=True)
    if not until_done.enter_context(held(run / LOCK_FILE, needed=False)):
        raise WrongUse(
            f"{run} is being trained in by another process; wait for it to end, or choose another folder "
            "(several GPUs train one run under torchrun)"
        )
    sweep(run)
    return state_of(run, identity)


def _learned(training: Training, notes: list[str]) -> Position:
    """All steps that are left; what is tried on the way and fails becomes a note."""
    recipe, team, device = training.recipe, training.team, training.device
    notes += told_of_precision(recipe.amp, device)
    if recipe.compiled:
        images, backbone = -(-recipe.batch_size // team.size), training.model.backbone
        notes += compile_backbone(
            backbone, training.streams, device, team, images=images, short=training.short
        )
    position = training.learn()
    notes += told_of_collapse(position.losses)
    if training.tracker and training.tracker.note:
        notes.append(training.tracker.note)
    return position


def _seen_by(
    streams: Sequence[LearningStream], readers: Mapping[str, StoreReader], initial: InitialWeights | None
) -> SeenPatients:
    stores = (patients_of(reader, rows_of(reader, "all")) for reader in readers.values())
    own = SeenPatients(
        frozenset[str]().union(*(stream.patients for stream in streams)),
        frozenset(frozenset(patients) for patients in stores),
    )
    return own if initial is None else own.after(initial.seen)


def _begin_with(
    model: Model,
    initial: InitialWeights | None,
    recipe: Recipe,
    streams: Sequence[LearningStream],
    notes: list[str],
) -> dict[str, Any] | None:
    """Load initial weights and freeze what the recipe freezes."""
    transfer = None
    if initial is not None:
        table = load_into(model.backbone, initial, recipe.init.least_coverage)
        heads = take_heads(model, recipe, initial.learned) if recipe.init.heads else []
        transfer = {**table.as_json(), "heads": heads, "as_drawn": _as_drawn(model, table.parts, heads)}
        for stream in streams:
            notes += other_spacing(initial, stream.label, stream.facts.spacing_mm)
        if initial.seen is None or not initial.seen.ancestors_known:
            notes.append(
                "the initial weights do not say whom they were trained on: keep test patients apart yourself"
            )
    if recipe.frozen == "encoder":
        model.backbone.freeze_encoder()
        if initial is None:
            notes.append("the encoder is frozen but was not pretrained: give initial weights with --init")
    return transfer


def _as_drawn(model: Model, parts: Sequence[str], heads: Sequence[str]) -> list[str]:
    """Parts and heads that initial weights do not reach."""
    left = [part for part in model.backbone.parts() if part not in parts]
    return left + [
        f"head of {label}" for label in model.labels if label not in heads and head_of(model.task(label))
    ]


def _told_before(run: Path) -> RunSummary:
    found = read_run(run)
    return RunSummary(
        run,
        found["steps"],
        found["seconds"],
        found["images_per_second"],
        found["losses"],
        (*found["notes"], "this run was finished before; nothing was done"),
        True,
        found.get("transfer"),
    )


def _finish(
    training: Training, position: Position, identity: Mapping[str, Any], notes: list[str], transfer: Any
) -> None:
    """Write what others use: weights, pictures, and the word that the run is done, last."""
    recipe, run, model, streams = training.recipe, training.run, training.model, training.streams
    configuration = Configuration(
        recipe,
        {stream.label: stream.facts for stream in streams},
        {stream.label: list(stream.switched_off) for stream in streams},
        tuple(model.trained_parts()),
        recipe.steps,
    )
    weights_sha256 = write_weights(run / WEIGHTS_FILE, model, configuration)
    turns = dict(zip(recipe.labels(), (stream.turns for stream in recipe.streams), strict=True))
    write_samples(run, model, max(streams, key=lambda stream: turns[stream.label]), recipe)
    write_run(
        run,
        identity,
        DONE,
        notes=notes,
        transfer=transfer,
        steps=position.step,
        seconds=position.seconds,
        images_per_second=position.images / position.seconds if position.seconds else 0.0,
        losses=position.losses,
        device=training.device.type,
        **{WEIGHTS_SHA256: weights_sha256},
    )
