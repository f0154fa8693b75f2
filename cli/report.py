"""`anatprep report`: pictures for people, as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen
from cli.options import Json, WorkspaceFolder
from cli.workspace import Workspace, open_source
from dicomgeom.errors import IntegrityError, WrongUse


def report(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CATALOGUE|STORE|RUN]...",
            help="What to show; a store may be a URL.",
            show_default="all in the workspace",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="The file to write.", show_default="report.html in the workspace"
        ),
    ] = None,
    workspace: WorkspaceFolder = None,
    json: Json = False,
) -> None:
    """Draw catalogues, stores and runs into one self-contained HTML file.

    It names patients and exams by hashed keys; the images in it are still patients' images.
    """
    screen = Screen(as_json=json)
    room = Workspace.at(workspace)
    chosen, broken = _chosen(sources, room)
    if broken and not chosen:
        raise IntegrityError("; ".join(broken))
    if not chosen:
        raise WrongUse(f"nothing to report was named and {room.folder} holds nothing; name a folder")
    out = output or (room.report if not sources else Path("report.html"))

    from reporting.report import write_report

    with screen.progress() as progress:
        written = write_report(chosen, out, progress=progress)
    screen.heading(f"report {written}")
    for reason in broken:
        screen.say(f"left out: {reason}")
    screen.finish(
        {
            "report": written,
            "sources": [str(source) for source in chosen],
            "left_out": broken,
            "size_bytes": written.stat().st_size,
        },
        skipped=bool(broken),
    )


def _chosen(sources: list[str] | None, room: Workspace) -> tuple[list[Path | str], list[str]]:
    """What to show, and what of the workspace cannot be; a broken source that was named is refused."""
    if not sources:
        whole, broken = room.whole_sources()
        return [*whole], broken
    from pretext_targets.places import is_url

    named = [source if is_url(source) else Path(source) for source in sources]
    for source in named:
        if isinstance(source, Path):
            open_source(source)
    return named, []
