"""The curves of a run in MLflow or Weights & Biases, for groups that keep their experiments there.

What leaves this machine is the recipe and the numbers of the log: no path, no name of a patient, machine or
user, no picture, no code. Where it goes, the tools' own variables say (MLFLOW_TRACKING_URI, WANDB_MODE,
WANDB_BASE_URL). A run that goes on goes on there too. A server that fails costs the curve, never the run:
`RunLog` is the record.

Neither tool is a dependency; each is imported when it is asked for.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from dicomgeom.errors import WrongUse, first_line
from training.checkpoint import write_json
from training.recipe import Recipe

TrackerName = Literal["mlflow", "wandb"]

TRACKING_FILE = "tracking.json"
"""In the run: what the run is called there."""

PROJECT = "anatprep"
PARAMETERS_AT_ONCE = 100
"""MLflow takes no more in one call."""


class Tracker(Protocol):
    """Takes numbers by step."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step."""
        ...

    def close(self) -> None:
        """Say that the run ended here, finished or not."""
        ...


class MlflowTracker:
    """A run in MLflow, made through its client: its fluent interface would add user and script."""

    def __init__(self, mlflow: Any, known: str | None, name: str, settings: Mapping[str, Any]) -> None:
        self._mlflow, self._client = mlflow, mlflow.MlflowClient()
        self.id = known or self._begin(name, settings)

    def _begin(self, name: str, settings: Mapping[str, Any]) -> str:
        experiment = self._client.get_experiment_by_name(PROJECT)
        number = experiment.experiment_id if experiment else self._client.create_experiment(PROJECT)
        made: str = self._client.create_run(number, run_name=name).info.run_id
        parameters = [self._mlflow.entities.Param(key, str(value)) for key, value in settings.items()]
        for start in range(0, len(parameters), PARAMETERS_AT_ONCE):
            self._client.log_batch(made, params=parameters[start : start + PARAMETERS_AT_ONCE])
        return made

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """As metrics, with the characters MLflow allows in names."""
        metric = self._mlflow.entities.Metric
        metrics = [
            metric(re.sub(r"[^\w\-. :/]", "_", name), value, 0, step) for name, value in values.items()
        ]
        self._client.log_batch(self.id, metrics=metrics)

    def close(self) -> None:
        """End the run there."""
        self._client.set_terminated(self.id)


class WandbTracker:
    """A run in Weights & Biases, without what it collects by itself."""

    def __init__(self, wandb: Any, known: str | None, name: str, settings: Mapping[str, Any]) -> None:
        quiet = wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            host="",
            program="",
            save_code=False,
            silent=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        self._run = wandb.init(
            project=PROJECT, name=name, id=known, resume="allow", config=dict(settings), settings=quiet
        )
        self.id: str = self._run.id

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """As one line of the run's history."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """End the run there."""
        self._run.finish()


KINDS: Mapping[TrackerName, type[MlflowTracker] | type[WandbTracker]] = {
    "mlflow": MlflowTracker,
    "wandb": WandbTracker,
}


class Forgiving:
    """A tracker that falls silent at its first error, which it keeps as a note."""

    def __init__(self, name: TrackerName, tracker: Tracker) -> None:
        self._name, self._tracker = name, tracker
        self.note = ""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Pass on, unless it failed before."""
        self._try(lambda: self._tracker.write(step, values), f"from step {step} on its curves are missing")

    def close(self) -> None:
        """End the run there, where that is possible."""
        self._try(self._tracker.close, "it may look unfinished there")

    def _try(self, call: Any, consequence: str) -> None:
        if self.note:
            return
        try:
            call()
        except Exception as error:  # noqa: BLE001  a server far away may fail in any way
            show_aside(error)
            kind = type(error).__name__
            self.note = f"{self._name} failed ({kind}): {consequence}; log.jsonl is complete"


def tool_of(name: TrackerName) -> Any:
    """The package of a tracker.

    Raises
    ------
    WrongUse
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise WrongUse(
            f"--track {name} needs the package {name}, which is not installed: pip install 'anatprep[{name}]'"
        ) from error


def open_tracker(name: TrackerName, run: Path, recipe: Recipe) -> Forgiving:
    """Begin a run there, or go on with the one that this run had.

    Raises
    ------
    WrongUse
        The tool is not installed, or does not let a run begin.
    """
    tool, path = tool_of(name), run / TRACKING_FILE
    known: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    try:
        tracker = KINDS[name](tool, known.get(name), recipe.name, dict(flat(recipe.as_json())))
    except Exception as error:
        raise WrongUse(
            f"{name} does not let a run begin ({first_line(error)}); see its own settings, "
            "MLFLOW_TRACKING_URI or WANDB_MODE, or leave --track out"
        ) from error
    write_json(path, {**known, name: tracker.id})
    return Forgiving(name, tracker)


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings under dotted keys, as `--set` takes them."""
    found: list[tuple[str, Any]] = []
    for key, value in settings.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            found += flat({str(place): one for place, one in enumerate(value)}, f"{prefix}{key}.")
        elif isinstance(value, Mapping):
            found += flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, value))
    return found


def show_aside(error: BaseException) -> None:
    """Write what a foreign error says on stderr alone: it may name paths, which no record may hold."""
    sys.stderr.write(f"{type(error).__name__}: {first_line(error)}\n")
