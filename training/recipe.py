"""A recipe: everything that decides what a run learns, as one TOML file read into a checked, frozen model.

``training/recipes/*.toml`` hold the published settings, each named for its paper. Any value can be replaced
with ``key=value`` pairs, dotted for what lies deeper: ``steps``, ``backbone.width``, ``streams.0.turns``.
Keys that the model does not know are refused by name.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from dicomgeom.errors import WrongUse, in_plain_words
from dicomgeom.spelling import meant
from training.recipe_keys import unknown_key
from training.settings import (
    AugmentSettings,
    BackboneSettings,
    InitSettings,
    OptimiserSettings,
    ScheduleSettings,
    Settings,
)
from training.task_options import Stream, TaskOptions

RECIPE_FOLDER = "recipes"


class Recipe(Settings):
    """A whole recipe; see the shipped ones for what each value means in its paper."""

    name: str
    """What the recipe is called."""
    paper: str = ""
    """Where it was published."""
    streams: tuple[Stream, ...] = Field(min_length=1)
    steps: int = Field(ge=1)
    """Steps of the optimiser."""
    batch_size: int = Field(default=20, ge=1)
    """Images of a step, of all GPUs together; series or pairs where a task learns from those."""
    seed: int = 0
    """Of all that is drawn at random."""
    view: str = ""
    """The only view that the store may hold; empty takes any."""
    published_for: tuple[str, ...] = ()
    """Views that the settings were published for; on others the run goes on with a note."""
    normalise: Literal["image-z-score", "stack-z-score", "image-0-1", "stack-0-1", "none"] = "image-z-score"
    """How grey values are scaled, by the image or by its whole stack."""
    frozen: Literal["", "encoder"] = ""
    """What stays as it was given by `--init`."""
    subjects: int = Field(default=0, ge=0)
    """Patients to learn from, those of annotations where a stream has any; 0 is all."""
    backbone: BackboneSettings = BackboneSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    augment: AugmentSettings = AugmentSettings()
    tasks: TaskOptions = TaskOptions()
    init: InitSettings = InitSettings()
    amp: bool | Literal["everywhere"] = True
    """bfloat16 where it does no harm: on a GPU, or everywhere, CPUs too; float32 where a device has none."""
    compiled: bool = False
    """Whether torch.compile is tried on the network; where it does not work the run goes on without."""
    log_every: int = Field(default=50, ge=1)
    """Steps between two lines of the log."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between two checkpoints."""
    validate_every: int = Field(default=500, ge=1)
    """Steps between two validations."""
    validation_images: int = Field(default=512, ge=1)
    """Images of a validation at most."""

    @model_validator(mode="after")
    def _streams_differ(self) -> Recipe:
        pairs = [(stream.store, stream.task) for stream in self.streams]
        if len(set(pairs)) < len(pairs):
            raise ValueError("two streams have the same store and task; give one of them more turns instead")
        return self

    @model_validator(mode="after")
    def _genesis_sees_images_in_0_1(self) -> Recipe:
        if any(stream.task == "genesis" for stream in self.streams) and not self.normalise.endswith("0-1"):
            raise ValueError(
                f"genesis learns from images between 0 and 1, not those of normalise = {self.normalise!r}; "
                "expected image-0-1 or stack-0-1"
            )
        return self

    def labels(self) -> tuple[str, ...]:
        """One word for each stream: its task, with its store where the task alone is not enough."""
        tasks = [stream.task for stream in self.streams]
        return tuple(
            stream.task if tasks.count(stream.task) == 1 else f"{stream.task}@{stream.store}"
            for stream in self.streams
        )

    def store_names(self) -> tuple[str, ...]:
        """What the recipe calls its stores, in alphabetical order."""
        return tuple(sorted({stream.store for stream in self.streams}))

    def turn_of(self, step: int) -> tuple[int, int]:
        """Which stream optimiser step `step` (from 0) belongs to, and its turns before."""
        cycle, place = divmod(step, sum(stream.turns for stream in self.streams))
        for number, stream in enumerate(self.streams):
            if place < stream.turns:
                return number, cycle * stream.turns + place
            place -= stream.turns
        raise AssertionError("a place in a cycle belongs to one of its streams")

    def as_json(self) -> dict[str, Any]:
        """As plain dictionaries, lists, numbers and words."""
        return self.model_dump(mode="json")

    def sha256(self) -> str:
        """Hash of all settings: two runs with the same hash learn the same from the same stores.

        Settings that have their default do not count, so that a run goes on under a later version that has
        more of them. A default, once released, must therefore never change.
        """
        decisive = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the program, in alphabetical order."""
    folder = resources.files("training") / RECIPE_FOLDER
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_recipe(name_or_path: str | Path, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe: the shipped one of that name, or a TOML file.

    Parameters
    ----------
    name_or_path
        "pretrain-mtl", or the path of a file (anything that ends in ``.toml`` or exists).
    overrides
        Dotted keys and the text of their values: ``{"backbone.width": "16", "frozen": "encoder"}``. A
        stream one past the last is added: ``{"streams.1.store": "pretext", "streams.1.task": "app"}``.

    Raises
    ------
    WrongUse
        No such recipe, broken TOML, an unknown key, or a value that makes no sense.
    """
    text, origin = _recipe_text(name_or_path)
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongUse(f"recipe {origin} is not valid TOML: {error}") from error
    for key, value in (overrides or {}).items():
        _override(settings, key, _parsed(value))
    return checked_recipe(settings, origin)


def checked_recipe(settings: Mapping[str, Any], origin: str) -> Recipe:
    """Settings as read from TOML or JSON -> a recipe; `origin` names them in messages. Raises `WrongUse`."""
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        raise WrongUse(f"recipe {origin}: " + "; ".join(_explained(one) for one in _causes(error))) from error


def _causes(error: ValidationError) -> list[Any]:
    """The problems without those that follow from others: a list is too short whose entry was refused."""
    places = [problem["loc"] for problem in error.errors()]
    return [
        problem
        for problem in error.errors()
        if problem["type"] != "too_short"
        or not any(place[: len(problem["loc"])] == problem["loc"] != place for place in places)
    ]


def _recipe_text(name_or_path: str | Path) -> tuple[str, str]:
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        try:
            return path.read_text(encoding="utf-8"), path.name
        except OSError as error:
            raise WrongUse(f"recipe {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise WrongUse(f"recipe {path} is not a text file in UTF-8") from error
    name = str(name_or_path)
    if name not in shipped_recipes():
        raise WrongUse(
            f"there is no recipe called {name!r}{meant(name, shipped_recipes())}; shipped are: "
            f"{', '.join(shipped_recipes())}; or give the path of a .toml file"
        )
    return (resources.files("training") / RECIPE_FOLDER / f"{name}.toml").read_text(encoding="utf-8"), name


def _parsed(value: str) -> Any:
    """The text of a value as TOML reads it; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _override(settings: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key, making tables on the way; numbers step into lists."""
    *way, last = key.split(".")
    place: Any = settings
    for step in way:
        place = _entered(place, step, key)
    if isinstance(place, list):
        raise WrongUse(
            f"--set {key}: {last!r} is the number of a list's entry; name the value inside it to set"
        )
    if not isinstance(place, dict):
        raise WrongUse(f"--set {key}: there is nothing below {'.'.join(way)!r}")
    place[last] = value


def _entered(place: Any, step: str, key: str) -> Any:
    if isinstance(place, dict):
        return place.setdefault(step, {})
    if isinstance(place, list):
        if not step.isdigit() or int(step) > len(place):
            raise WrongUse(f"--set {key}: {step!r} is no entry of a list of {len(place)}; they count from 0")
        if int(step) == len(place):
            place.append({})
        return place[int(step)]
    raise WrongUse(f"--set {key}: there is nothing below {step!r}")


def _explained(problem: Any) -> str:
    """One problem of the validation in one clause."""
    way = [str(step) for step in problem["loc"]]
    key = ".".join(way)
    if problem["type"] == "extra_forbidden":
        return unknown_key(Recipe, way)
    if problem["type"] == "missing":
        return f"{key!r} is missing"
    said = in_plain_words(str(problem["msg"]))
    return f"{key} = {problem['input']!r}: {said}" if key and problem["type"] != "value_error" else said
