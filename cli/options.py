"""The options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on standard output, all else on standard error.")
]

WorkspaceFolder = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        envvar="ANATPREP_WORKSPACE",
        help="Where catalogue, stores and runs lie when not named one by one [default: ./anatprep-work].",
    ),
]

Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.")
]

CatalogueArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CATALOGUE]", help="What `anatprep index` wrote.", show_default="the workspace's"
    ),
]
