"""`anatprep experiment`: a grid of trainings, and the tables of a paper from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen, counted
from cli.given_stores import named_stores
from cli.options import Device, Json
from cli.workspace import command_line
from dicomgeom.errors import EXIT_SOME_SKIPPED


def experiment(
    grid: Annotated[str, typer.Argument(metavar="GRID", help="A shipped name or a TOML file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write or to go on with.")],
    stores: Annotated[
        list[str] | None,
        typer.Option("--store", metavar="NAME=PATH", help="A store, by the name the grid gives it."),
    ] = None,
    size: Annotated[
        str, typer.Option("--size", help="paper: the published settings; small: for two CPU cores.")
    ] = "paper",
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Trainings at a time here, on GPUs in turn; others may join.")
    ] = 1,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep the weights of every training, not only of parents.")
    ] = False,
    only_tables: Annotated[
        bool,
        typer.Option(
            "--only-tables",
            help="Train nothing: the tables of what has run so far. Needs the stores: what was measured "
            "counts only for stores as they are now.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and stop.")] = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Run a grid of trainings described in TOML, and print its tables; goes on where it was interrupted."""
    screen = Screen(as_json=json)

    from training.experiments.experiment import open_experiment, run_experiment
    from training.experiments.grid import load_grid
    from training.experiments.running import is_done

    wanted, given = load_grid(grid), named_stores(stores or ())
    if dry_run:
        plan, room = open_experiment(wanted, given, output, size=size, device=device)
        done = sum(is_done(room, plan, cell) for cell in plan.cells)
        steps = sum(cell.recipe.steps for cell in plan.cells if not is_done(room, plan, cell))
        screen.say(f"{counted(len(plan.cells), 'training')}, {done} done; {counted(steps, 'step')} at most")
        screen.finish({"cells": len(plan.cells), "done": done, "steps_left": steps})
        return
    with screen.progress() as progress:
        summary = run_experiment(
            wanted,
            given,
            output,
            size=size,
            device=device,
            jobs=jobs,
            keep_weights=keep_weights,
            train=not only_tables,
            progress=progress,
        )
    screen.heading(f"{wanted.name} ({size}): {summary.done} of {counted(summary.cells, 'training')} done")
    for table in summary.tables:
        screen.heading(f"{table.title}: {table.measure}")
        screen.table(table.heads, [(arm, *table.spelled(arm)) for arm in table.rows])
    for cell, why in summary.failed.items():
        screen.say(f"failed: {cell}: {why}")
    screen.say(f"tables: {output / 'tables.md'}; as a picture: {command_line('anatprep', 'report', output)}")
    screen.finish(summary.as_json())
    if summary.failed:
        raise typer.Exit(EXIT_SOME_SKIPPED)
