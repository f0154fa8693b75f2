"""`anatprep phantom`: an export of digital patients with known truth."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen
from cli.options import Json
from cli.workspace import command_line


class Anatomy(StrEnum):
    """What the digital patients have scanned."""

    CARDIAC = "cardiac"
    KNEE = "knee"


def phantom(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The export to write.")],
    exams: Annotated[int, typer.Option("--exams", min=1, help="How many exams, one a patient.")] = 4,
    anatomy: Annotated[Anatomy, typer.Option("--anatomy", help="What was scanned.")] = Anatomy.CARDIAC,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds give equal patients.")] = 0,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="Where the truth goes.", show_default="DIR-truth")
    ] = None,
    phases: Annotated[
        int | None, typer.Option("--phases", min=2, help="Phases of each cine.", show_default="20 to 30")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Exams written side by side.")] = 1,
    json: Json = False,
) -> None:
    """Write digital patients as a DICOM export, and beside it the truth about them."""
    screen = Screen(as_json=json)

    from phantoms.export import write_exams

    with screen.progress() as progress:
        summary = write_exams(
            folder,
            exams=exams,
            anatomy=anatomy.value,
            seed=seed,
            truth=truth,
            workers=workers,
            phases=phases,
            progress=progress,
        )
    screen.heading(f"{summary.exams} exams, {summary.files} files in {summary.folder}")
    screen.say(f"truth in {summary.truth}")
    screen.next_command(command_line("anatprep", "index", summary.folder))
    screen.finish(summary.as_json())
