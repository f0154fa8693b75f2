"""`anatprep index`: what is in an export, and how every plane in it lies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen
from cli.options import Json, WorkspaceFolder
from cli.workspace import Workspace, command_line
from dicomgeom.errors import WrongUse


def index(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SRC...", help="Folders, zip or tar archives, DICOMDIR files.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The catalogue to write or bring up to date.",
            show_default="the workspace's",
        ),
    ] = None,
    salt_file: Annotated[
        Path | None,
        typer.Option("--salt-file", help="The salt of the hashed keys, to share keys between catalogues."),
    ] = None,
    strict_frames: Annotated[
        bool,
        typer.Option("--strict-frames", help="Never assume that two frames of reference are the same."),
    ] = False,
    workspace: WorkspaceFolder = None,
    json: Json = False,
) -> None:
    """Read the headers of an export and write the catalogue of its planes, stacks and views.

    Reading again reads only what changed. The catalogue holds paths and UIDs: it is private.
    """
    screen = Screen(as_json=json)
    missing = [str(source) for source in sources if not source.exists()]
    if missing:
        raise WrongUse(
            f"not found: {', '.join(missing)}; give folders, archives or DICOMDIR files that exist"
        )
    room = Workspace.at(workspace)
    catalogue = output or room.create().catalogue

    from dicomgeom.index import index as index_sources

    with screen.progress() as progress:
        summary = index_sources(
            sources,
            catalogue,
            salt_file=salt_file,
            strict_frames=strict_frames,
            progress=progress,
        )
    screen.heading(f"catalogue {summary.catalogue}")
    screen.say(
        f"{summary.read} files read, {summary.unchanged} unchanged; {summary.patients} patients, "
        f"{summary.studies} studies, {summary.stacks} stacks"
    )
    screen.counts("view", summary.views)
    screen.counts("left out because", summary.reasons)
    named = [] if output is None else [str(output)]
    screen.say(f"look at it: {command_line('anatprep', 'show', named, room.spelled() if not named else [])}")
    following = ["-o", "STORE", "--protocol", "PROTOCOL"] if named else room.spelled()
    screen.next_command(command_line("anatprep", "build-targets", named, following))
    screen.finish(summary.as_json(), skipped=bool(summary.reasons))
