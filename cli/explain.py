"""`anatprep explain`: why an image, a stack or a study was judged as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen
from cli.options import Json, WorkspaceFolder
from cli.workspace import Workspace
from dicomgeom.errors import WrongUse


def explain(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[CATALOGUE] ID",
            help="A stack, a study, an image (SOP Instance UID) or a path (absolute, from here, or below the "
            "indexed folder), of the workspace's catalogue or of the one named before it.",
        ),
    ],
    workspace: WorkspaceFolder = None,
    json: Json = False,
) -> None:
    """Say why something was judged as it was: each piece of evidence with its value and its limit."""
    screen = Screen(as_json=json)
    if len(words) > 2:
        raise WrongUse(f"found {len(words)} words, expected [CATALOGUE] ID; quote what holds blanks")
    named = Path(words[0]) if len(words) == 2 else None
    folder = Workspace.at(workspace).catalogue_or(named)

    from dicomgeom.catalogue import open_catalogue
    from dicomgeom.explain import explain as explain_identifier

    lines = explain_identifier(open_catalogue(folder), words[-1])
    for line in lines:
        screen.say(line)
    screen.finish({"id": words[-1], "explanation": lines})
