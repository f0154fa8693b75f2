"""All that a run needs to go on, in one safetensors file, replaced in one step that cannot be half done.

The file holds the weights, the state of the optimiser, torch's random state and the step. The order of
examples and the augmentation need no state: they are functions of the step. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dicomgeom.errors import IntegrityError, WrongVersion

CHECKPOINT_FORMAT, CHECKPOINT_VERSION = "anatprep-checkpoint", 1
MODEL, OPTIMISER, RANDOM = "model/", "optimiser/", "random/"
UNFINISHED = ".part"
"""Ending of the hidden file that a write begins with; one that was killed leaves it."""


@dataclass(frozen=True)
class Position:
    """Where a run stands, and what it has to keep beside its tensors.

    `plateau` is what the schedule of that name remembers; empty for all others.
    """

    step: int
    seconds: float
    images: int
    losses: dict[str, float]
    plateau: dict[str, float] = field(default_factory=dict)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that at every moment the old or the new content is there, whole."""
    # Two machines may write one file of an experiment, and in containers processes have equal numbers.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{UNFINISHED}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sweep(folder: Path) -> None:
    """Take away what killed writes left in a folder that nobody else writes into."""
    for path in folder.glob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file with `write_atomically`."""
    write_atomically(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def write_checkpoint(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, position: Position
) -> None:
    """Replace the checkpoint of a run."""
    tensors = {MODEL + name: values for name, values in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        for name, values in state.items():
            if values is not None:
                tensors[f"{OPTIMISER}{number}/{name}"] = torch.as_tensor(values)
    tensors[RANDOM + "cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors[RANDOM + "cuda"] = torch.cuda.get_rng_state()
    metadata = {
        "format": CHECKPOINT_FORMAT,
        "version": str(CHECKPOINT_VERSION),
        "position": json.dumps(position.__dict__),
    }
    write_atomically(
        path, save({name: values.detach().cpu().contiguous() for name, values in tensors.items()}, metadata)
    )


def read_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> Position:
    """Load model, optimiser and random state in place; where the run stands.

    Raises
    ------
    IntegrityError
        Damaged, or of another network.
    WrongVersion
        Written in another version of the format.
    """
    tensors, metadata = _opened(path)
    if metadata.get("version") != str(CHECKPOINT_VERSION):
        raise WrongVersion(
            f"{path} has version {metadata.get('version')} of its format, "
            f"not {CHECKPOINT_VERSION}; start a new run"
        )
    try:
        model.load_state_dict(_below(tensors, MODEL))
    except RuntimeError as error:
        raise IntegrityError(
            f"{path} belongs to another network; start a new run in another folder"
        ) from error
    saved: dict[int, dict[str, Tensor]] = {}
    for key, values in _below(tensors, OPTIMISER).items():
        number, name = key.split("/")
        saved.setdefault(int(number), {})[name] = values
    optimiser.load_state_dict({"state": saved, "param_groups": optimiser.state_dict()["param_groups"]})
    _lay_out_like_parameters(optimiser)
    torch.set_rng_state(tensors[RANDOM + "cpu"])
    if torch.cuda.is_available() and RANDOM + "cuda" in tensors:
        torch.cuda.set_rng_state(tensors[RANDOM + "cuda"])
    return Position(**json.loads(metadata["position"]))


def _lay_out_like_parameters(optimiser: torch.optim.Optimizer) -> None:
    """Give what the optimiser keeps of each parameter the strides the parameter has, as it had them before.

    The file knows no strides. The numbers are the same either way, but a GPU's fast path, one kernel for all
    parameters, wants equal strides.
    """
    for parameter, state in optimiser.state.items():
        for name, values in state.items():
            if isinstance(values, Tensor) and values.dim() and values.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=values.dtype).copy_(values)


def position_of(path: Path) -> Position:
    """Where the run of a checkpoint stands, without loading its tensors."""
    return Position(**json.loads(_opened(path, tensors=False)[1]["position"]))


def _opened(path: Path, *, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            names = opened.keys() if tensors else []
            held = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise IntegrityError(f"{path} is damaged ({error}); start a new run in another folder") from error
    if metadata.get("format") != CHECKPOINT_FORMAT:
        raise IntegrityError(f"{path} is not a checkpoint of anatprep; start a new run in another folder")
    return held, metadata


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: values for name, values in tensors.items() if name.startswith(prefix)}
