"""Heads go along where training goes on with what the initial weights learned.

A head is of use to the next run where that has a stream of the same task whose outputs mean the same: the
pretext that is trained on beside the target (SSL+MultiTask), a segmentation carried from one data set to
another. Begun anew it drives noise into a trained backbone: the cross-entropy of anatomical positions was
0.18 after 400 steps, and 2.2 at the first steps of fine-tuning with a new head.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dicomgeom.errors import AnatprepError
from training.model import Model, read_model
from training.recipe import Recipe
from training.tasks.task import Task

RUNNING = ("running_mean", "running_var", "num_batches_tracked")
"""Statistics that batch norm keeps beside its weights; other buffers are a run's own."""


@dataclass(frozen=True)
class LearnedTask:
    """A task of a finished run: its name, what its outputs mean, its weights."""

    task: str
    outputs: tuple[str, ...]
    tensors: dict[str, Tensor]


def learned_tasks(weights: Path) -> tuple[LearnedTask, ...]:
    """The tasks in a weights file of this program; none where another program wrote it."""
    try:
        model, configuration = read_model(weights)
    except AnatprepError:
        return ()
    recipe = configuration.recipe
    return tuple(
        LearnedTask(stream.task, task.outputs, head_of(task))
        for stream, task in zip(recipe.streams, map(model.task, recipe.labels()), strict=True)
    )


def head_of(task: Task) -> dict[str, Tensor]:
    """Weights of a task's own layers, with the running statistics of their batch norm."""
    weights = {name for name, _ in task.named_parameters()}
    return {
        name: values
        for name, values in task.state_dict().items()
        if name in weights or name.rpartition(".")[2] in RUNNING
    }


def take_heads(model: Model, recipe: Recipe, learned: tuple[LearnedTask, ...]) -> list[str]:
    """Copy the heads that fit into the tasks of a model.

    Returns
    -------
    list of str
        Labels of the streams whose tasks got one.
    """
    taken = []
    for label, stream in zip(recipe.labels(), recipe.streams, strict=True):
        task = model.task(label)
        for one in learned:
            if one.task == stream.task and one.outputs == task.outputs and _same_shapes(task, one.tensors):
                task.load_state_dict(one.tensors, strict=False)
                taken.append(label)
                break
    return taken


def _same_shapes(task: Task, tensors: dict[str, Tensor]) -> bool:
    own = head_of(task)
    return own.keys() == tensors.keys() and all(own[name].shape == tensors[name].shape for name in own)
