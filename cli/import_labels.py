"""`anatprep import-labels`: manual segmentations become a labelled store of the same schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen
from cli.options import Json
from cli.stores import load_on_grid, refuse_empty, show_store
from cli.workspace import command_line
from dicomgeom.errors import WrongUse


def import_labels(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="What `anatprep index` wrote.")],
    segmentations: Annotated[
        Path, typer.Argument(metavar="SEGMENTATIONS", help="A folder with DICOM SEG objects of its images.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The store to write.")],
    protocol: Annotated[
        str, typer.Option("--protocol", help="The grid and the views: a shipped name or a TOML file.")
    ] = "cardiac-sax",
    size: Annotated[int | None, typer.Option("--size", min=16, help="Rows and columns of the grid.")] = None,
    spacing_mm: Annotated[float | None, typer.Option("--spacing-mm", help="Spacing of the grid.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes on this machine.")] = 1,
    json: Json = False,
) -> None:
    """Match segmentations with the images they were drawn on, and build a labelled store.

    Images without a segmentation stay in it as not annotated.
    """
    screen = Screen(as_json=json)
    if not segmentations.is_dir():
        raise WrongUse(f"{segmentations} is no folder; give the folder that holds the DICOM SEG objects")

    from dicomgeom.catalogue import open_catalogue
    from pretext_targets.build import build, plan_build
    from pretext_targets.labelled import index_segmentations
    from training.recipe import shipped_recipes

    wanted = load_on_grid(protocol, size=size, spacing_mm=spacing_mm)
    with screen.progress() as progress:
        found = index_segmentations(segmentations, progress=progress)
        plan = plan_build(open_catalogue(catalogue), wanted, segmentations=found)
        summary = build(plan, output, workers=workers, progress=progress)
    show_store(screen, summary)
    refuse_empty(summary)
    fitting = f"segment-{wanted.carrier.lower()}"
    recipe = fitting if fitting in shipped_recipes() else "RECIPE"
    screen.next_command(command_line("anatprep", "train", recipe, "--store", output, "-o", "RUN"))
    screen.finish(summary.as_json(), skipped=bool(summary.left_out or summary.invalid))
