"""The options that several commands share, spelled once."""

from __future__ import annotations

from enum import Enum
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

LARGEST_SIZE = 2048
"""Of a grid; `pretext_targets.protocol.MAX_SIDE`, which is not loaded for a mistyped option."""

SizeOption = Annotated[
    int | None,
    typer.Option("--size", min=16, max=LARGEST_SIZE, help="Rows and columns of the grid."),
]

CatalogueArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CATALOGUE]", help="What `anatprep index` wrote.", show_default="the workspace's"
    ),
]


class Packing(Enum):
    """How pixels are stored."""

    LZ4 = "lz4"
    ZSTD = "zstd"
    NONE = "none"


CompressionOption = Annotated[
    Packing | None,
    typer.Option(
        "--compression",
        help="Of pixels: lz4 is fast, zstd a tenth smaller, none 2.6 times larger.",
        show_default="lz4, or what the store was begun with",
    ),
]


class Centre(Enum):
    """What the grid's centre is."""

    IMAGE = "image"
    CROSSING = "crossing"


CentreOption = Annotated[
    Centre | None,
    typer.Option(
        "--centre",
        help="Of the grid: the image's own, or where the carrier's middle plane crosses its partners'.",
        show_default="the protocol's",
    ),
]

FramesOption = Annotated[
    str | None,
    typer.Option(
        "--frames",
        help="Of each slice: all, ED, ED+ES, or how many, evenly spread.",
        show_default="the protocol's",
    ),
]
