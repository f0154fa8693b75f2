"""`anatprep index`: what is in an export, and how every plane in it lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Screen, counted
from cli.options import Json, WorkspaceFolder
from cli.workspace import Workspace, command_line
from dicomgeom.errors import WrongUse

if TYPE_CHECKING:
    from dicomgeom.index_summary import IndexSummary


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
    views: Annotated[
        Path | None,
        typer.Option("--views", help="A TOML file with your word on views, which beats the geometry."),
    ] = None,
    propose_ed_es: Annotated[
        bool,
        typer.Option(
            "--propose-ed-es",
            help="Also read pixels of the cines and propose end-diastole and end-systole (phases.parquet).",
        ),
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes that read and sort on this machine.")
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            help="A dask scheduler (tcp://...) whose workers see the sources under the same paths.",
        ),
    ] = None,
    manifest: Annotated[
        str | None,
        typer.Option(
            "--manifest",
            help="Of a public data set (a name such as data-science-bowl-2015, or a TOML file): its counts "
            "are checked and its splits kept.",
        ),
    ] = None,
    workspace: WorkspaceFolder = None,
    json: Json = False,
) -> None:
    """Read the headers of an export and write the catalogue of its planes, stacks and views.

    Reading again reads only what changed. The catalogue holds paths and UIDs: it is private.
    """
    screen = Screen(as_json=json)
    absent = [str(source) for source in sources if not source.exists()]
    if absent:
        raise WrongUse(f"not found: {', '.join(absent)}; give folders, archives or DICOMDIR files that exist")
    room = Workspace.at(workspace)
    catalogue = output or room.create().catalogue

    if manifest is not None:
        from dicomgeom.data_manifest import load_data_manifest

        load_data_manifest(manifest)  # complains before anything is read
    from dicomgeom.workers import team_of

    with screen.progress() as progress, team_of(workers, scheduler, progress=progress) as team:
        # Loaded only now: other processes load the same, side by side with this one.
        from dicomgeom.index import index as index_sources

        summary = index_sources(
            sources,
            catalogue,
            salt_file=salt_file,
            strict_frames=strict_frames,
            views=views,
            team=team,
            progress=progress,
        )
    if propose_ed_es:
        from dicomgeom.catalogue import open_catalogue
        from dicomgeom.phase_table import write_phases

        with screen.progress() as progress:
            write_phases(open_catalogue(catalogue), progress=progress)
    _tell(screen, summary, views)
    missing = []
    if manifest is not None:
        from dicomgeom.data_manifest import incomplete, keep_data_manifest

        missing = incomplete(keep_data_manifest(manifest, catalogue), sources)
        for line in missing:
            screen.say(f"not as the manifest says: {line}")
    named = [] if output is None else [str(output)]
    screen.say(f"look at it: {command_line('anatprep', 'show', named, room.spelled() if not named else [])}")
    following = ["-o", "STORE", "--protocol", "PROTOCOL"] if named else room.spelled()
    screen.next_command(command_line("anatprep", "build-targets", named, following))
    told = {} if manifest is None else {"not_as_the_manifest_says": missing}
    screen.finish(summary.as_json() | told, skipped=bool(summary.missed or summary.views_unused or missing))


def _tell(screen: Screen, summary: IndexSummary, views: Path | None) -> None:
    """What was found, what was left out, and which words of the user found nothing to speak of."""
    screen.heading(f"catalogue {summary.catalogue}")
    screen.say(
        f"{counted(summary.read, 'file')} read, {summary.unchanged} unchanged; "
        f"{counted(summary.patients, 'patient')}, {counted(summary.studies, 'study', 'studies')}, "
        f"{counted(summary.stacks, 'stack')}"
    )
    screen.counts("view", summary.views)
    screen.counts("files left out because", summary.reasons)
    screen.counts("images left out because", summary.images_left_out)
    for folder, files in summary.sources_dropped.items():
        screen.say(f"no source this time, and out of the catalogue with {counted(files, 'file')}: {folder}")
    if summary.of_several_patients:
        screen.say(
            f"{counted(summary.of_several_patients, 'image')} filed under more than one patient, who may be "
            "one person, learned from and tested on: index one copy only, or name them alike"
        )
    for entry in summary.views_unused:
        screen.say(f"not used of {views}: {entry}")
