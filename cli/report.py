"""`anatprep report`: pictures for people, as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from cli.console import Screen
from cli.options import Json, WorkspaceFolder
from cli.workspace import Workspace, open_source
from dicomgeom.errors import IntegrityError, WrongUse
from dicomgeom.folder_marks import CATALOGUE_MARK, STORE_MARK, WORKSPACE_REPORT
from dicomgeom.progress import Progress

TITLE: Final = b"<title>anatprep report</title>"
"""What marks a page as a report of anatprep."""

HEAD_BYTES: Final = 4096
"""How far into a page its title is looked for."""


def report(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CATALOGUE|STORE|RUN|EXPERIMENT]...",
            help="What to show; a store may be a URL. Experiments have to be named.",
            show_default="all in the workspace",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The file to write.",
            show_default="report.html: in the workspace, or here where sources are named",
        ),
    ] = None,
    workspace: WorkspaceFolder = None,
    json: Json = False,
) -> None:
    """Draw catalogues, stores, runs and experiments into one self-contained HTML file.

    Without -o a report that is there is replaced, and a report.html of something else is refused. It names
    patients and exams by hashed keys; the images in it are still patients' images.
    """
    screen = Screen(as_json=json)
    room = Workspace.at(workspace)
    out = output or _unnamed(Path(WORKSPACE_REPORT) if sources else room.report)
    with screen.progress() as progress:
        chosen, broken = _chosen(sources, room, progress)
    if broken and not chosen:
        raise IntegrityError("; ".join(broken))
    if not chosen:
        raise WrongUse(f"nothing to report was named and {room.folder} holds nothing; name a folder")

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


def _unnamed(out: Path) -> Path:
    """Where a report goes by itself: nobody named this file, so nothing but a report is replaced."""
    if out.exists() and not _is_report(out):
        raise WrongUse(f"{out} is there and is no report of anatprep; name another file with -o")
    return out


def _is_report(path: Path) -> bool:
    if not path.is_file():  # a pipe would never answer
        return False
    try:
        with path.open("rb") as file:
            return TITLE in file.read(HEAD_BYTES)
    except OSError:
        return False


def _chosen(
    sources: list[str] | None, room: Workspace, progress: Progress
) -> tuple[list[Path | str], list[str]]:
    """What to show, and what of the workspace cannot be; a broken source that was named is refused."""
    from pretext_targets.where import is_url

    named = [source if is_url(source) else Path(source) for source in sources or ()]
    chosen, broken = [], list[str]()
    for source in named or room.sources():
        try:
            _refuse_broken(source, progress)
        except IntegrityError as error:
            if named:
                raise
            broken.append(str(error))
        else:
            chosen.append(source)
    return chosen, broken


def _refuse_broken(source: Path | str, progress: Progress) -> None:
    """Raise `IntegrityError` when a source cannot be opened, or what is drawn of it is not what was written.

    A path where nothing is, and a folder of something else, are left to the report.
    """
    if isinstance(source, Path):
        open_source(source)
    if isinstance(source, str) or (source / STORE_MARK).exists():
        from reporting.soundness import refuse_changed_store

        refuse_changed_store(source, progress=progress)
    elif (source / CATALOGUE_MARK).exists():
        from reporting.soundness import refuse_changed_catalogue

        refuse_changed_catalogue(source)
