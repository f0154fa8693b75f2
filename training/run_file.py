"""``run.json``: what a run says about itself. Reading it needs no torch, so that a report may."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from dicomgeom.errors import IntegrityError, WrongVersion

RUN_FILE = "run.json"
RUN_FORMAT, RUN_VERSION = "anatprep-run", 1
RUNNING, DONE = "running", "done"

KEYS = {"state": str, "recipe": dict, "recipe_sha256": str, "stores": dict, "init_sha256": str, "notes": list}
"""What every run says, and as what."""

KEYS_RECIPE = {"name": str, "steps": int, "batch_size": int}
"""What its recipe says at the least."""

KEYS_DONE = {"steps": int, "seconds": int | float, "images_per_second": int | float, "losses": dict}
"""What a finished one says besides."""

WEIGHTS_SHA256 = "weights_sha256"
"""What a finished one says of its weights; those that finished under earlier versions say nothing."""


def read_run(run: Path) -> dict[str, Any]:
    """What a run says about itself.

    Raises
    ------
    IntegrityError, WrongVersion
        The folder is no run, is damaged, or is of another version.
    """
    path = run / RUN_FILE
    if not path.is_file():
        raise IntegrityError(f"{run} is no run: it has no {RUN_FILE}; make one with anatprep train")
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(f"{path} is damaged: it is not JSON; train again in another folder") from error
    if not isinstance(read, dict) or read.get("format") != RUN_FORMAT:
        raise IntegrityError(f"{path} does not describe a run of anatprep; give the folder of a run")
    if read.get("version") != RUN_VERSION:
        raise WrongVersion(
            f"{path} has version {read.get('version')} of its format, not {RUN_VERSION}; train again"
        )
    expected = KEYS | (KEYS_DONE if read.get("state") == DONE else {})
    wrong = [key for key, kind in expected.items() if not isinstance(read.get(key), kind)]
    if read.get("state") not in (RUNNING, DONE, None):
        wrong.append("state")
    if not isinstance(read.get(WEIGHTS_SHA256, ""), str):
        wrong.append(WEIGHTS_SHA256)
    if "recipe" not in wrong:
        recipe = read["recipe"]
        wrong += [
            f"recipe.{key}" for key, kind in KEYS_RECIPE.items() if not isinstance(recipe.get(key), kind)
        ]
    if wrong:
        raise IntegrityError(
            f"{path} is damaged: {', '.join(wrong)} missing or of the wrong kind; "
            "train again in another folder"
        )
    return read


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changed_weights(weights: Path, sha256: str) -> str:
    """In what way the weights of a run are not those that it wrote; empty where they are, or nobody knows.

    Parameters
    ----------
    weights, sha256
        Their file in the folder of the run, and the SHA-256 of what is in it now.
    """
    told = read_run(weights.parent)
    written = told.get(WEIGHTS_SHA256, "") if told["state"] == DONE else ""
    if written in ("", sha256):
        return ""
    return (
        f"{weights} is not what the run wrote (its SHA-256 begins with {sha256[:12]}, the one in {RUN_FILE} "
        f"with {written[:12]}); copy the run again from where it is whole, or train again in another folder"
    )
