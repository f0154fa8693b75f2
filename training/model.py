"""A backbone with the tasks of a recipe: made from settings, written and read as safetensors.

The metadata of a weights file says all that is needed to use it: the recipe, the facts of each stream's
store, which parts of the backbone the training reached, and of each head the task and what its outputs mean.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dicomgeom.errors import IntegrityError, WrongUse, WrongVersion
from training.backbones import Backbone, make_backbone
from training.checkpoint import write_atomically
from training.recipe import Recipe, checked_recipe
from training.settings import Settings
from training.task_options import Stream, TaskOptions
from training.tasks.registry import TASKS
from training.tasks.task import StoreFacts, Task

WEIGHTS_FORMAT, WEIGHTS_VERSION = "anatprep-weights", 1
METADATA_KEY = "anatprep"


class Model(nn.Module):
    """One backbone, and a task for each stream.

    Parameters
    ----------
    backbone
        The network shared by all tasks.
    tasks
        The tasks by their stream's label.
    """

    def __init__(self, backbone: Backbone, tasks: Mapping[str, Task]) -> None:
        super().__init__()
        self.backbone = backbone
        self._tasks = nn.ModuleDict(dict(tasks))

    def task(self, label: str) -> Task:
        """The task of the stream with this label."""
        return cast("Task", self._tasks[label])

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of all streams, in their order."""
        return tuple(self._tasks)

    def trained_parts(self) -> list[str]:
        """The parts of the backbone that any task's loss reaches, frozen ones included."""
        both = any(self.task(label).trains == "both" for label in self.labels)
        return ["encoder", "decoder"] if both else ["encoder"]


def make_task(stream: Stream, options: TaskOptions, backbone: Backbone, facts: StoreFacts) -> Task:
    """The task a stream names, with a fresh head for the labels of its store."""
    chosen: Settings | None = getattr(options, stream.task.replace("-", "_"), None)
    task = TASKS[stream.task](backbone, facts, **({} if chosen is None else dict(chosen)))
    if stream.unit and stream.unit != task.unit:
        if task.unit != "slice":
            raise WrongUse(f"{stream.task} learns from a {task.unit} at a time; leave its stream's unit out")
        task.unit = stream.unit
    return task


def make_model(recipe: Recipe, facts: Sequence[StoreFacts]) -> Model:
    """A freshly initialised model; the same seed gives the same weights.

    Parameters
    ----------
    facts
        Of the store of each stream, in the streams' order.
    """
    torch.manual_seed(recipe.seed)
    backbone = make_backbone(recipe.backbone)
    for one in facts:
        backbone.check_side(one.rows, one.columns)
    tasks = {
        label: make_task(stream, recipe.tasks, backbone, one)
        for label, stream, one in zip(recipe.labels(), recipe.streams, facts, strict=True)
    }
    return Model(backbone, tasks)


@dataclass(frozen=True)
class Configuration:
    """What a weights file says about itself."""

    recipe: Recipe
    facts: dict[str, StoreFacts]
    switched_off: dict[str, list[str]]
    trained: tuple[str, ...]
    steps: int

    def as_json(self) -> dict[str, Any]:
        """As plain dictionaries, lists, numbers and words."""
        return {
            "format": WEIGHTS_FORMAT,
            "version": WEIGHTS_VERSION,
            "recipe": self.recipe.as_json(),
            "facts": {label: facts.as_json() for label, facts in self.facts.items()},
            "switched_off": self.switched_off,
            "trained": list(self.trained),
            "steps": self.steps,
        }

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Configuration:
        """The inverse of `as_json`."""
        return cls(
            checked_recipe(read["recipe"], "of the weights"),
            {label: StoreFacts.from_json(facts) for label, facts in read["facts"].items()},
            {label: list(heads) for label, heads in read["switched_off"].items()},
            tuple(read["trained"]),
            int(read["steps"]),
        )


def write_weights(path: Path, model: Model, configuration: Configuration) -> str:
    """Write all weights of backbone and heads, with their configuration, whole or not at all.

    Returns
    -------
    str
        SHA-256 of the file.
    """
    tensors = {name: values.detach().cpu().contiguous() for name, values in model.state_dict().items()}
    streams = zip(configuration.recipe.labels(), configuration.recipe.streams, strict=True)
    heads = {
        label: {"task": stream.task, "outputs": list(model.task(label).outputs)} for label, stream in streams
    }
    metadata = {METADATA_KEY: json.dumps({**configuration.as_json(), "heads": heads}, sort_keys=True)}
    content = save(tensors, metadata)
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and our metadata of a safetensors file; the metadata is empty for another program's file.

    Raises
    ------
    IntegrityError
        No such file, or it is not safetensors.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = json.loads((opened.metadata() or {}).get(METADATA_KEY, "{}"))
            return {name: opened.get_tensor(name) for name in opened.keys()}, metadata  # noqa: SIM118
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing; give a finished run or a file of weights") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise IntegrityError(f"{path} is not a readable safetensors file: {error}") from error


def read_model(path: Path) -> tuple[Model, Configuration]:
    """The model in a weights file that this program wrote.

    Raises
    ------
    IntegrityError, WrongVersion
        Not such a file, or from another version.
    """
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != WEIGHTS_FORMAT:
        raise IntegrityError(f"{path} holds no configuration of anatprep; expected the weights file of a run")
    if metadata.get("version") != WEIGHTS_VERSION:
        raise WrongVersion(
            f"{path} has version {metadata.get('version')} of its format, not {WEIGHTS_VERSION}; train again"
        )
    configuration = Configuration.from_json(metadata)
    facts = [configuration.facts[label] for label in configuration.recipe.labels()]
    model = make_model(configuration.recipe, facts)
    for label in model.labels:
        model.task(label).switch_off(configuration.switched_off.get(label, []))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise IntegrityError(
            f"{path}: its weights do not fit its own configuration; the file is damaged"
        ) from error
    return model, configuration
