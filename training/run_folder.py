"""The folder of a run: what it is, whether a command fits it, whether it is whole.

``run.json`` says the recipe, the stores by protocol and plan (no paths), the initial weights by their hash,
the state, and of a finished run the SHA-256 of its weights. ``seen_patients.json`` says whom it was trained
on (`seen_patients.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dicomgeom.differences import differences
from dicomgeom.errors import IntegrityError, WrongUse
from pretext_targets.reader import StoreReader
from training.checkpoint import position_of, write_json
from training.log import LOG_FILE, read_log
from training.model import read_model
from training.recipe import Recipe
from training.run_file import (
    DONE,
    RUN_FILE,
    RUN_FORMAT,
    RUN_VERSION,
    WEIGHTS_SHA256,
    changed_weights,
    read_run,
    sha256_of,
)
from training.seen_patients import SEEN_FILE, read_seen_patients
from training.transfer import WEIGHTS_FILE, InitialWeights
from training.validation import SAMPLES_FILE

CHECKPOINT_FILE = "checkpoint.safetensors"
NEW = "new"
"""Beside the states that a run.json can have: there is none yet."""


def identity_of(
    recipe: Recipe, readers: Mapping[str, StoreReader], initial: InitialWeights | None
) -> dict[str, Any]:
    """Everything that makes two runs the same run."""
    stores = {
        name: {
            "protocol": reader.attributes.protocol.get("name", ""),
            "plan_sha256": reader.attributes.plan_sha256,
            "examples": reader.attributes.examples,
        }
        for name, reader in readers.items()
    }
    return {
        "recipe": recipe.as_json(),
        "recipe_sha256": recipe.sha256(),
        "stores": stores,
        "init_sha256": initial.sha256 if initial else "",
    }


def state_of(run: Path, identity: Mapping[str, Any]) -> str:
    """Whether a folder is new, a run of this identity to go on with, or such a run that is done.

    Raises
    ------
    WrongUse
        The folder holds another run, or other files.
    """
    if run.exists() and not run.is_dir():
        raise WrongUse(f"{run} is a file, a run is a folder; choose an empty or a new folder")
    # A write that was killed leaves a hidden file, which is nobody's work.
    if not run.exists() or all(entry.name.startswith(".") for entry in run.iterdir()):
        return NEW
    if not (run / RUN_FILE).is_file():
        raise WrongUse(f"{run} holds files but no run; choose an empty or a new folder")
    found = read_run(run)
    differing = [
        _told(found, identity, key) for key in ("stores", "init_sha256") if found.get(key) != identity[key]
    ]
    if found.get("recipe_sha256") != identity["recipe_sha256"]:
        differing.insert(0, "recipe: " + ", ".join(differences(found.get("recipe", {}), identity["recipe"])))
    if differing:
        raise WrongUse(f"{run} holds a run of something else ({'; '.join(differing)}); choose another folder")
    return str(found["state"])


def _told(found: Mapping[str, Any], identity: Mapping[str, Any], key: str) -> str:
    if key == "init_sha256":
        return "other initial weights"
    names = {name: store.get("protocol", "?") for name, store in found.get("stores", {}).items()}
    told = ", ".join(f"{name} ({protocol})" for name, protocol in names.items())
    return f"other stores: it was begun on {told}"


def write_run(run: Path, identity: Mapping[str, Any], state: str, **more: Any) -> None:
    """Write ``run.json``."""
    run.mkdir(parents=True, exist_ok=True)
    write_json(
        run / RUN_FILE, {"format": RUN_FORMAT, "version": RUN_VERSION, "state": state, **identity, **more}
    )


def verify_run(run: Path) -> list[str]:
    """What is wrong with a run's folder; empty when it is finished and sound."""
    try:
        found = read_run(run)
    except IntegrityError as error:
        return [str(error)]
    done = found["state"] == DONE
    problems = [] if done else ["not finished; run the same train command again to finish it"]
    expected = [SEEN_FILE, LOG_FILE] + ([WEIGHTS_FILE, CHECKPOINT_FILE, SAMPLES_FILE] if done else [])
    problems += [f"{run / name} is missing" for name in expected if not (run / name).is_file()]
    weights = run / WEIGHTS_FILE
    changed = changed_weights(weights, sha256_of(weights)) if weights.is_file() else ""
    problems += [changed] if changed else []
    for name, read in (
        (WEIGHTS_FILE, read_model),
        (CHECKPOINT_FILE, position_of),
        (SEEN_FILE, lambda _: read_seen_patients(run)),
    ):
        if (run / name).is_file():
            try:
                read(run / name)
            except IntegrityError as error:
                problems.append(str(error))
    steps = [line["step"] for line in read_log(run) if "loss" in line]
    if steps != sorted(set(steps)):
        problems.append(f"{run / LOG_FILE} has steps twice or out of order")
    if done and steps and steps[-1] != found["recipe"]["steps"]:
        problems.append(
            f"{run / LOG_FILE} ends at step {steps[-1]}, the run at step {found['recipe']['steps']}"
        )
    return problems


def unchecked_of(run: Path) -> list[str]:
    """What `verify_run` cannot tell of a run, though nothing is wrong with it."""
    found = read_run(run)
    if found["state"] == DONE and not found.get(WEIGHTS_SHA256):
        reason = "finished under an earlier version: whether they are as they were written cannot be told"
        return [f"{RUN_FILE} holds no SHA-256 of the weights ({reason})"]
    return []
