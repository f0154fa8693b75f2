"""`anatprep train`: pretraining and fine-tuning by recipe."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Screen
from cli.given_stores import MAIN_STORE, named_stores
from cli.options import Device, Json, WorkspaceFolder
from cli.workspace import Workspace, command_line
from dicomgeom.errors import AnatprepError, WrongUse
from dicomgeom.folder_marks import STORE_MARK

if TYPE_CHECKING:
    from training.loop import RunSummary
    from training.recipe import Recipe

DEFAULT_RECIPE = "pretrain-mtl"


class Tracking(StrEnum):
    """Tools that keep curves of trainings."""

    MLFLOW = "mlflow"
    WANDB = "wandb"


def train(
    recipe: Annotated[str, typer.Argument(metavar="[RECIPE]", help="A shipped name or a TOML file.")] = (
        DEFAULT_RECIPE
    ),
    stores: Annotated[
        list[str] | None,
        typer.Option(
            "--store",
            metavar="[NAME=]PATH",
            help="A store; NAME where the recipe has several.",
            show_default="the one in the workspace that fits",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="The run to write or to go on with.", show_default="in the workspace"
        ),
    ] = None,
    init: Annotated[
        Path | None, typer.Option("--init", metavar="RUN|WEIGHTS", help="Start from these weights.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override the recipe, e.g. steps=500; may be repeated."
        ),
    ] = None,
    track: Annotated[
        Tracking | None,
        typer.Option("--track", help="Send the log's numbers there, too.", show_default=False),
    ] = None,
    device: Device = "auto",
    workspace: WorkspaceFolder = None,
    json: Json = False,
) -> None:
    """Train a network as a recipe says; goes on by itself where it was interrupted."""
    screen = Screen(as_json=json)
    overrides = _pairs(settings or (), "--set", "KEY=VALUE")
    if init is not None and not init.exists():
        raise WrongUse(f"{init} does not exist; --init takes a run folder or a .safetensors file")
    room = Workspace.at(workspace)
    given = named_stores(stores or ())

    from training.recipe import load_recipe

    checked = load_recipe(recipe, overrides)

    from training.loop import train as train_network
    from training.team import this_team

    if not this_team(device).first:
        screen.fall_silent()
    chosen = given or _fitting_stores(screen, room, checked)
    told = _said_before(screen, checked, chosen)
    run = output or room.create().run(Path(recipe).stem)
    with screen.progress() as progress:
        summary = train_network(
            checked,
            chosen,
            run,
            init=init,
            device=device,
            track=track.value if track else None,
            progress=progress,
        )
    _show(screen, summary, told)
    following = ("report", room.spelled()) if output is None else ("report", run)
    screen.next_command(command_line("anatprep", *following))
    screen.finish(summary.as_json())


def _said_before(screen: Screen, recipe: Recipe, stores: Mapping[str, Path | str]) -> list[str]:
    """Say, before hours are spent, that the recipe was published for other images."""
    from training.fitting import beyond_the_paper
    from training.streams import open_stores

    views = {
        name: str(reader.attributes.protocol.get("carrier", ""))
        for name, reader in open_stores(recipe, stores).items()
    }
    notes = [
        note
        for label, stream in zip(recipe.labels(), recipe.streams, strict=True)
        for note in beyond_the_paper(recipe, label, views[stream.store])
    ]
    for note in notes:
        screen.say(f"note: {note}")
    return notes


def _show(screen: Screen, summary: RunSummary, told: Collection[str]) -> None:
    """Say what came of a run; the notes in `told` were said before."""
    from training.transfer import told_of_transfer

    screen.heading(f"run {summary.run}")
    screen.say(
        f"{summary.steps} steps, {summary.seconds:.0f} s, {summary.images_per_second:.0f} images a second"
    )
    transferred = told_of_transfer(summary.transfer) if summary.transfer else ""
    if transferred:
        screen.say(f"initial weights: {transferred}")
    for note in summary.notes:
        if note not in told:
            screen.say(f"note: {note}")
    screen.table(("loss", "last"), sorted(summary.losses.items()))


def _pairs(words: Sequence[str], option: str, form: str) -> dict[str, str]:
    """Split ``KEY=VALUE`` words."""
    wrong = [word for word in words if not word.partition("=")[0] or "=" not in word]
    if wrong:
        raise WrongUse(f"{option} {' '.join(wrong)}: expected {form}")
    return {key.strip(): value.strip() for key, _, value in (word.partition("=") for word in words)}


def _fitting_stores(screen: Screen, room: Workspace, recipe: Recipe) -> dict[str, Path | str]:
    """Choose for each store that the recipe names one of the workspace that fits.

    Of several those come first that hold images which the recipe was published for, then the largest.

    Raises
    ------
    WrongUse
        When none fits; says what is there.
    """
    return {name: _fitting_store(screen, room, recipe, name) for name in recipe.store_names()}


def _fitting_store(screen: Screen, room: Workspace, recipe: Recipe, name: str) -> Path:
    from pretext_targets.store import open_store
    from training.fitting import command_for, is_published_for, unfit_because

    ranks: dict[Path, tuple[bool, int, str]] = {}
    others: list[str] = []
    for path in room.stores():
        try:
            attributes = open_store(path).attributes
        except AnatprepError as error:
            others.append(str(error))
            continue
        reason = unfit_because(recipe, name, attributes)
        if reason:
            others.append(f"{path.name} {reason}")
            continue
        published = is_published_for(recipe, str(attributes.protocol.get("carrier", "")))
        ranks[path] = (published, attributes.examples, path.name)
    role = "" if name == MAIN_STORE else f" as {name}"
    if not ranks:
        found = "; ".join(others) or f"no */{STORE_MARK} under {room.folder / 'stores'}"
        first = command_for(recipe, name)
        raise WrongUse(f"no store to train on{role} ({found}); run `anatprep {first}` first")
    fitting = max(ranks, key=lambda path: ranks[path])
    others += [
        f"{path.name} {'has fewer examples' if published == ranks[fitting][0] else 'holds other images'}"
        for path, (published, _, _) in ranks.items()
        if path != fitting
    ]
    screen.say(f"training on {fitting}{role}" + (f" ({'; '.join(others)})" if others else ""))
    return fitting
