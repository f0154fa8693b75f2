"""Heads go along where training goes on with what the initial weights learned.

A head is of use to the next run where that has a stream of the same task whose outputs mean the same: the
pretext that is trained on beside the target (SSL+MultiTask), a segmentation carried from one data set to
another. Begun anew it drives noise into a trained backbone: the cross-entropy of anatomical positions was
0.18 after 400 steps, and 2.2 at the first steps of fine-tuning with a new head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from training.model import Model
from training.recipe import Recipe
from training.tasks.task import Task

OF_TASKS = "_tasks."
"""Where a model keeps its tasks."""

RUNNING = ("running_mean", "running_var", "num_batches_tracked")
"""Statistics that batch norm keeps beside its weights; other buffers are a run's own."""


@dataclass(frozen=True)
class LearnedTask:
    """A task of a finished run: its name, what its outputs mean, its weights."""

    task: str
    outputs: tuple[str, ...]
    tensors: dict[str, Tensor]


def learned_tasks(tensors: Mapping[str, Tensor], told: Mapping[str, Any]) -> tuple[LearnedTask, ...]:
    """The tasks in a weights file, of its tensors and of what it says of its heads (see `write_weights`)."""
    found = []
    for label, one in told.items():
        prefix = f"{OF_TASKS}{label}."
        own = {
            name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)
        }
        found.append(LearnedTask(one["task"], tuple(one["outputs"]), own))
    return tuple(found)


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
            if one.task == stream.task and one.outputs == task.outputs and _fit(task, one.tensors):
                task.load_state_dict({name: one.tensors[name] for name in head_of(task)}, strict=False)
                taken.append(label)
                break
    return taken


def _fit(task: Task, tensors: Mapping[str, Tensor]) -> bool:
    own = head_of(task)
    return own.keys() <= tensors.keys() and all(own[name].shape == tensors[name].shape for name in own)
