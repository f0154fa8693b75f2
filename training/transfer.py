"""From a pretrained network to the next one: which weights are taken over, and whether they fit.

The ways of Bai et al., MICCAI 2019, are settings of a recipe:

- from scratch: no initial weights;
- SSL+Decoder: initial weights, and ``frozen = "encoder"``;
- SSL+All: initial weights, nothing frozen;
- SSL+MultiTask: two streams, the pretext with 1 turn and the target with beta = 10 turns.

The backbone is taken over, and the heads of tasks that go on (`heads.py`). Of the backbone only those parts
count that the pretraining reached: a network trained to tell locations has an encoder to give, and a decoder
that never learned.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dicomgeom.errors import HalfWritten, IntegrityError, WrongUse
from training.backbones import Backbone
from training.heads import LearnedTask, learned_tasks
from training.model import read_safetensors
from training.run_file import DONE, RUN_FILE, changed_weights, read_run, sha256_of
from training.seen_patients import SEEN_FILE, SeenPatients, read_seen_patients

WEIGHTS_FILE = "weights.safetensors"
BACKBONE = "backbone."
NETWORK = "net."
"""Where a backbone keeps the network of another library."""


@dataclass(frozen=True)
class InitialWeights:
    """Weights to begin with, as read from a file.

    Attributes
    ----------
    tensors
        Of the backbone, named as in `Backbone.state_dict`.
    trained
        Parts of the backbone that their training reached; empty for another program's file, which does not
        say: then those parts count of which it names any tensor.
    sha256
        Of the file.
    seen
        Whom they were trained on, earlier ancestors included; None when nothing is known of that.
    width
        Of the network they come from, where known.
    learned
        Tasks with their heads; none of another program's file.
    spacings_mm
        Pixel spacings of the stores that they learned from, where known.
    """

    tensors: dict[str, Tensor]
    trained: tuple[str, ...]
    sha256: str
    seen: SeenPatients | None
    width: int | None
    learned: tuple[LearnedTask, ...] = ()
    spacings_mm: tuple[float, ...] = ()


@dataclass(frozen=True)
class TransferTable:
    """What became of each weight of the parts that count, which `parts` names."""

    parts: tuple[str, ...]
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    misfitting: tuple[str, ...]
    coverage: float

    def as_json(self) -> dict[str, Any]:
        """The parts, how many fit, and the names of what did not."""
        return {
            "parts": list(self.parts),
            "matched": len(self.matched),
            "missing": list(self.missing),
            "misfitting": list(self.misfitting),
            "coverage": self.coverage,
        }


def read_initial_weights(source: Path) -> InitialWeights:
    """Read a run's weights, a safetensors file, or a PyTorch file of plain tensors.

    Raises
    ------
    HalfWritten
        A run that is not finished.
    IntegrityError
        A damaged run, weights that are not those that their run wrote, or not a file of weights.
    WrongUse
        Nothing there.
    """
    if not source.exists():
        raise WrongUse(f"{source} does not exist; give a finished run or a file of weights")
    path = source
    if source.is_dir():
        path = source / WEIGHTS_FILE
        if (source / RUN_FILE).is_file() and read_run(source)["state"] != DONE:
            raise HalfWritten(
                f"run {source} is not finished; run its train command again, then use its weights"
            )
        if not path.is_file() and not (source / RUN_FILE).is_file():
            raise IntegrityError(
                f"{source} is no run: it has no {RUN_FILE}; give a finished run or a file of weights"
            )
    if not path.is_file():
        raise IntegrityError(f"{path} is missing; give a finished run or a file of weights")
    if path.suffix in (".pt", ".pth", ".ckpt"):
        tensors, metadata = _read_torch(path), dict[str, Any]()
    else:
        tensors, metadata = read_safetensors(path)
    sha256 = sha256_of(path)
    if path.name == WEIGHTS_FILE and (path.parent / RUN_FILE).is_file():
        _refuse_changed(path, sha256)
    prefix = BACKBONE if any(name.startswith(BACKBONE) for name in tensors) else ""
    return InitialWeights(
        {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)},
        tuple(metadata.get("trained", ())),
        sha256,
        read_seen_patients(path.parent) if path.with_name(SEEN_FILE).is_file() else None,
        metadata.get("recipe", {}).get("backbone", {}).get("width"),
        learned_tasks(tensors, metadata.get("heads", {})),
        tuple(sorted({float(facts["spacing_mm"]) for facts in metadata.get("facts", {}).values()})),
    )


def _refuse_changed(weights: Path, sha256: str) -> None:
    changed = changed_weights(weights, sha256)
    if changed:
        raise IntegrityError(changed)


def load_into(backbone: Backbone, initial: InitialWeights, least_coverage: float) -> TransferTable:
    """Copy what fits into the backbone.

    Parameters
    ----------
    least_coverage
        The share of the numbers in the pretrained parts of `backbone` that must be found in the weights.

    Raises
    ------
    WrongUse
        Too little fits; the backbone is left as it was.
    """
    initial = replace(initial, tensors=_named_as_here(backbone, initial.tensors))
    parts = initial.trained or _parts_named(backbone, initial.tensors)
    wanted = _state_of(backbone, parts)
    matched = tuple(name for name in wanted if _fits(wanted[name], initial.tensors.get(name)))
    missing = tuple(name for name in wanted if name not in initial.tensors)
    misfitting = tuple(name for name in wanted if name in initial.tensors and name not in matched)
    total = sum(values.numel() for values in wanted.values())
    coverage = sum(wanted[name].numel() for name in matched) / total
    if coverage < least_coverage:
        counts = f"{len(matched)} of {len(wanted)} tensors of its {' and '.join(parts)}"
        raise WrongUse(_does_not_fit(backbone, initial, counts, coverage, least_coverage))
    backbone.load_state_dict({name: initial.tensors[name] for name in matched}, strict=False)
    return TransferTable(parts, matched, missing, misfitting, coverage)


def _named_as_here(backbone: Backbone, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the bare network, as `export` writes them and MONAI names them, under our names for them."""
    known = backbone.state_dict().keys()
    inside = {name: f"{NETWORK}{name}" for name in tensors if name not in known}
    return {inside[name] if inside.get(name) in known else name: values for name, values in tensors.items()}


def _fits(wanted: Tensor, given: Tensor | None) -> bool:
    return given is not None and given.shape == wanted.shape


def _state_of(backbone: Backbone, parts: tuple[str, ...]) -> Mapping[str, Tensor]:
    inside = [module for part in parts for module in backbone.parts()[part]]
    prefixes = tuple(
        f"{name}." for name, module in backbone.named_modules() if any(module is one for one in inside)
    )
    return {name: values for name, values in backbone.state_dict().items() if name.startswith(prefixes)}


def _parts_named(backbone: Backbone, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Parts of which a file names any tensor; all of them where it names none."""
    parts = tuple(backbone.parts())
    return tuple(part for part in parts if set(_state_of(backbone, (part,))) & set(tensors)) or parts


def other_spacing(initial: InitialWeights, label: str, spacing_mm: float) -> list[str]:
    """A note on a stream whose pixels have another size than those the weights learned from; or none."""
    if not initial.spacings_mm or any(isclose(spacing_mm, one, rel_tol=1e-3) for one in initial.spacings_mm):
        return []
    learned = " and ".join(f"{one:g}" for one in initial.spacings_mm)
    said = f"learned from pixels of {learned} mm, those of this store are {spacing_mm:g} mm"
    return [f"{label}: the initial weights {said}: structures have another size in pixels"]


def told_of_transfer(transfer: Mapping[str, Any]) -> str:
    """One line on what was taken over, of a run's record; empty for runs of earlier versions.

    >>> told_of_transfer({"parts": ["encoder"], "matched": 4, "missing": ["a"], "misfitting": [],
    ...                   "heads": [], "as_drawn": ["decoder", "head of mtl"]})
    'encoder taken over (4 of 5 tensors of the network); as drawn at the start: decoder, head of mtl'
    """
    if "parts" not in transfer:
        return ""
    count = transfer["matched"] + len(transfer["missing"]) + len(transfer["misfitting"])
    taken = [*transfer["parts"], *(f"head of {label}" for label in transfer["heads"])]
    drawn = ", ".join(transfer["as_drawn"]) or "nothing"
    said = " and ".join((", ".join(taken[:-1]), taken[-1])) if len(taken) > 1 else taken[0]
    return (
        f"{said} taken over ({transfer['matched']} of {count} tensors of the network); "
        f"as drawn at the start: {drawn}"
    )


def _does_not_fit(
    backbone: Backbone, initial: InitialWeights, counts: str, coverage: float, least: float
) -> str:
    width = backbone.width
    hint = "give weights of the same network"
    if initial.width is not None and initial.width != width:
        hint = (
            f"they come from a network of width {initial.width}, this one has width {width}: "
            f"give the recipe backbone.width = {initial.width}"
        )
    return (
        f"the weights do not fit the network: {counts} match, {coverage:.0%} of the numbers, "
        f"where at least {least:.0%} are expected; {hint}"
    )


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            # torch warns of pickles it did not write; those it cannot read safely end in the error below.
            warnings.simplefilter("ignore")
            read = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        raise IntegrityError(
            f"{path} is not a file of plain tensors, and nothing else is loaded; "
            "save its state_dict as safetensors"
        ) from error
    read = read.get("state_dict", read) if isinstance(read, dict) else {}
    tensors = {name: values for name, values in read.items() if isinstance(values, Tensor)}
    if not tensors:
        raise IntegrityError(f"{path} holds no named tensors; expected a state_dict")
    return tensors
