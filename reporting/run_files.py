"""The files of a run that a report reads beside `run.json`: its log, its evaluation, its examples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import IntegrityError

LOG_FILE, EVALUATION_FILE, SAMPLES_FILE = "log.jsonl", "evaluation.json", "samples.npz"
DIAGNOSIS_FILE = "diagnosis.json"
"""Names of the training's files, spelled again here because the modules that write them load torch."""


def start_of(run: Mapping[str, Any]) -> str:
    """Spell which weights a run began with."""
    return "from pretrained weights" if run.get("init_sha256") else "from scratch"


def read_log(folder: Path) -> Iterator[dict[str, Any]]:
    """Lines of the log; a last line that was cut off while it was written is passed over."""
    path = folder / LOG_FILE
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "step" in entry:
            yield entry


def read_evaluation(folder: Path) -> dict[str, Any]:
    """Read what was measured on a run; empty where nothing was.

    Raises
    ------
    IntegrityError
        When it is damaged.
    """
    content = _read_json(folder / EVALUATION_FILE, "evaluate")
    tasks = content.get("tasks", {})
    if content and not (
        isinstance(tasks, dict) and tasks and all(isinstance(one, dict) for one in tasks.values())
    ):
        raise IntegrityError(
            f"{folder / EVALUATION_FILE} is damaged: it tells no tasks; evaluate the run again"
        )
    return content


def read_diagnosis(folder: Path) -> dict[str, Any]:
    """Read what the run's segmentations are worth to a diagnosis; empty where that was not asked.

    Raises
    ------
    IntegrityError
        When it is damaged.
    """
    return _read_json(folder / DIAGNOSIS_FILE, "diagnose")


def _read_json(path: Path, again: str) -> dict[str, Any]:
    """Read one JSON object; empty where there is no such file."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path} cannot be read ({error}); {again} the run again") from error
    if not isinstance(content, dict) or not content:
        raise IntegrityError(f"{path} is damaged: it holds no JSON object; {again} the run again")
    return content


def read_samples(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the examples of a run: images, targets and predictions; empty where there are none.

    Raises
    ------
    IntegrityError
        When they are damaged.
    """
    path = folder / SAMPLES_FILE
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise IntegrityError(f"{path} cannot be read ({error}); train the run again") from error
