"""`anatprep verify`: whether a catalogue, a store or a run is whole and says what its inputs say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen, counted
from cli.options import Json, WorkspaceFolder
from cli.workspace import Workspace
from dicomgeom.errors import EXIT_DONE, EXIT_INTEGRITY, IntegrityError, WrongUse
from dicomgeom.folder_marks import CATALOGUE_MARK, RUN_MARK, STORE_MARK

PROBLEMS_SHOWN = 20


def verify(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CATALOGUE|STORE|RUN]...",
            help="What to look at; a store may be a URL.",
            show_default="all in the workspace",
        ),
    ] = None,
    recompute: Annotated[
        int, typer.Option("--recompute", min=0, help="Labels of a store to compute again from its geometry.")
    ] = 32,
    workspace: WorkspaceFolder = None,
    json: Json = False,
) -> None:
    """Check catalogues, stores and runs; ends with code 5 when one is broken."""
    screen = Screen(as_json=json)
    room = Workspace.at(workspace)
    chosen = paths or [str(source) for source in room.sources()]
    if not chosen:
        raise WrongUse(f"nothing to verify was named and {room.folder} holds nothing; name a folder")
    problems: dict[str, list[str]] = {}
    notes: dict[str, list[str]] = {}
    for path in chosen:
        found = _problems_of(path, recompute)
        problems[path] = found
        screen.heading(f"{path}: {counted(len(found), 'problem') if found else 'sound'}")
        for problem in found[:PROBLEMS_SHOWN]:
            screen.say(f"  {problem}")
        if len(found) > PROBLEMS_SHOWN:
            screen.say(f"  and {len(found) - PROBLEMS_SHOWN} more")
        unchecked = [] if found else _unchecked(Path(path))
        for note in unchecked:
            screen.say(f"  note: {note}")
        if unchecked:
            notes[path] = unchecked
    broken = any(problems.values())
    screen.finish(
        {"sound": not broken, "problems": problems} | ({"notes": notes} if notes else {}),
        exit_code=EXIT_INTEGRITY if broken else EXIT_DONE,
    )


def _problems_of(path: str, recompute: int) -> list[str]:
    """Ask the floor that wrote it what is wrong with a folder, or a store at a URL."""
    from pretext_targets.where import is_url

    try:
        if is_url(path):
            return _store_checker(recompute)(path)
        return _checker_of(Path(path), recompute)(Path(path))
    except IntegrityError as error:
        return [str(error)]


def _unchecked(path: Path) -> list[str]:
    """What cannot be told of a sound run."""
    if not (path / RUN_MARK).exists():
        return []
    from training.run_folder import unchecked_of

    return unchecked_of(path)


def _store_checker(recompute: int) -> Callable[[Path | str], list[str]]:
    from pretext_targets.verify import verify_store

    return lambda store: verify_store(store, recompute=recompute)


def _checker_of(path: Path, recompute: int) -> Callable[[Path], list[str]]:
    if not path.exists():
        raise WrongUse(f"{path} does not exist; name a catalogue, a store or a run")
    if (path / CATALOGUE_MARK).exists():
        from dicomgeom.catalogue import verify_catalogue

        return verify_catalogue
    if (path / STORE_MARK).exists():
        return _store_checker(recompute)
    if (path / RUN_MARK).exists():
        from training.loop import verify_run

        return verify_run
    raise IntegrityError(
        f"{path} is no catalogue, store or run (none of {CATALOGUE_MARK}, {STORE_MARK}, {RUN_MARK} "
        "in it); name the folder that a command wrote"
    )
