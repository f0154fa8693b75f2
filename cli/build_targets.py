"""`anatprep build-targets`: images and the labels that geometry gives them, as Zarr stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import Screen
from cli.options import CatalogueArgument, Json, WorkspaceFolder
from cli.stores import load_on_grid, refuse_empty, show_store
from cli.workspace import Workspace, command_line
from dicomgeom.errors import NothingUsable, WrongUse

if TYPE_CHECKING:
    from dicomgeom.catalogue import Catalogue
    from pretext_targets.build import BuildPlan, BuildSummary


def build_targets(
    catalogue: CatalogueArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The store to write; needs one --protocol.",
            show_default="in the workspace",
        ),
    ] = None,
    protocols: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            help="A shipped name or a TOML file; may be repeated.",
            show_default="every shipped one that the catalogue has images for",
        ),
    ] = None,
    size: Annotated[int | None, typer.Option("--size", min=16, help="Rows and columns of the grid.")] = None,
    spacing_mm: Annotated[float | None, typer.Option("--spacing-mm", help="Spacing of the grid.")] = None,
    rasters: Annotated[
        bool,
        typer.Option(
            "--rasters/--no-rasters", help="Store boxes and heatmaps drawn, not only as parameters."
        ),
    ] = True,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes on this machine.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="A running dask cluster, tcp://...")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be built.")] = False,
    workspace: WorkspaceFolder = None,
    json: Json = False,
) -> None:
    """Build the training stores; a build that was killed goes on where it stopped."""
    screen = Screen(as_json=json)
    if output is not None and len(protocols or ()) != 1:
        raise WrongUse(
            f"-o names one store, {len(protocols or ())} protocols were named; give one --protocol"
        )
    room = Workspace.at(workspace)
    folder = room.catalogue_or(catalogue)

    from dicomgeom.catalogue import open_catalogue

    opened = open_catalogue(folder)
    plans, not_built = _plans(opened, protocols, size=size, spacing_mm=spacing_mm)
    if not plans:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in not_built.items())
        raise NothingUsable(f"{folder} has no images for any protocol ({reasons}); see `anatprep show`")
    built: dict[str, BuildSummary] = {}
    for name, plan in plans.items():
        if dry_run:
            _show_plan(screen, name, plan)
            continue
        built[name] = _build(
            screen,
            plan,
            output or room.create().store(name),
            rasters=rasters,
            workers=workers,
            scheduler=scheduler,
        )
    for name, reason in not_built.items():
        screen.say(f"{name}: not built, {reason}")
    if dry_run:
        screen.finish(
            {"plans": {name: _plan_as_json(plan) for name, plan in plans.items()}, "not_built": not_built}
        )
        return
    _name_next(screen, room, built, named=output is not None)
    screen.finish(
        {"stores": {name: summary.as_json() for name, summary in built.items()}, "not_built": not_built},
        skipped=any(summary.left_out or summary.invalid for summary in built.values()),
    )


def _plans(
    catalogue: Catalogue, protocols: Sequence[str] | None, *, size: int | None, spacing_mm: float | None
) -> tuple[dict[str, BuildPlan], dict[str, str]]:
    """Plan every protocol; those without an image are named with the reason instead."""
    from pretext_targets.build import plan_build
    from pretext_targets.protocol import shipped_protocols

    plans: dict[str, BuildPlan] = {}
    not_built: dict[str, str] = {}
    for name in protocols or shipped_protocols():
        protocol = load_on_grid(name, size=size, spacing_mm=spacing_mm)
        plan = plan_build(catalogue, protocol)
        if len(plan.examples):
            plans[protocol.name] = plan
        else:
            left = ", ".join(f"{count} {reason}" for reason, count in plan.left_out_counts.items())
            not_built[protocol.name] = left or f"no {protocol.carrier} stack"
    return plans, not_built


def _build(
    screen: Screen, plan: BuildPlan, store: Path, *, rasters: bool, workers: int, scheduler: str | None
) -> BuildSummary:
    from pretext_targets.build import build

    with screen.progress() as progress:
        summary = build(plan, store, rasters=rasters, workers=workers, scheduler=scheduler, progress=progress)
    show_store(screen, summary)
    refuse_empty(summary)
    return summary


def _plan_as_json(plan: BuildPlan) -> dict[str, Any]:
    return {
        "examples": len(plan.examples),
        "bytes_estimate": plan.bytes_estimate,
        "left_out": dict(plan.left_out_counts),
    }


def _show_plan(screen: Screen, name: str, plan: BuildPlan) -> None:
    screen.heading(f"{name}: {len(plan.examples)} examples, about {plan.bytes_estimate / 1e6:.1f} MB")
    screen.counts("left out because", plan.left_out_counts)


def _name_next(screen: Screen, room: Workspace, built: dict[str, BuildSummary], *, named: bool) -> None:
    if not named:
        screen.next_command(command_line("anatprep", "train", room.spelled()))
        return
    store = next(iter(built.values())).store
    screen.next_command(command_line("anatprep", "train", "pretrain-mtl", "--store", store, "-o", "RUN"))
