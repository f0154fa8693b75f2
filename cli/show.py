"""`anatprep show`: a table of the catalogue on the terminal."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Screen
from cli.options import CatalogueArgument, Json, WorkspaceFolder
from cli.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl


class Table(StrEnum):
    """The tables of a catalogue."""

    STACKS = "stacks"
    IMAGES = "images"
    LINES = "lines"
    FILES = "files"


COLUMNS = {
    Table.STACKS: (
        "stack_id", "view", "confidence", "kind", "n_slices", "n_phases", "spacing_mm", "regular",
        "series_number", "series_description", "reason",
    ),
    Table.IMAGES: (
        "path", "frame", "role", "kind", "stack_id", "slice_index", "phase_index", "rows", "columns",
    ),
    Table.LINES: (
        "stack_id", "slice_index", "partner_view", "partner_stack_id", "angle_deg", "crosses", "a", "b", "c",
    ),
    Table.FILES: ("path", "size_bytes", "status", "reason", "detail"),
}  # fmt: skip
"""What fits on a terminal, most telling first; `--json` gives every column."""


def show(
    catalogue: CatalogueArgument = None,
    table: Annotated[Table, typer.Option("--table", help="Which table.")] = Table.STACKS,
    view: Annotated[
        list[str] | None, typer.Option("--view", help="Only stacks of this view; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Rows to show at most; 0 shows all.")] = 200,
    workspace: WorkspaceFolder = None,
    json: Json = False,
) -> None:
    """Show what `anatprep index` found: stacks and their views by default."""
    screen = Screen(as_json=json)
    folder = Workspace.at(workspace).catalogue_or(catalogue)

    from dicomgeom.catalogue import open_catalogue

    opened = open_catalogue(folder)
    frame = getattr(opened, table.value)
    if view:
        frame = _of_views(frame, opened.stacks, table, [name.upper() for name in view])
    shown = frame if limit == 0 else frame.head(limit)
    columns = [name for name in COLUMNS[table] if name in shown.columns]
    screen.table(columns, shown.select(columns).rows())
    if len(shown) < len(frame):
        screen.say(f"{len(shown)} of {len(frame)} rows; --limit 0 shows all")
    screen.finish({"table": table.value, "rows": len(frame), "shown": shown.to_dicts()})


def _of_views(frame: pl.DataFrame, stacks: pl.DataFrame, table: Table, views: list[str]) -> pl.DataFrame:
    """Keep the rows whose stack is one of the views; files belong to none and all stay."""
    import polars as pl

    if table is Table.FILES:
        return frame
    wanted = stacks.filter(pl.col("view").is_in(views))["stack_id"].to_list()
    return frame.filter(pl.col("stack_id").is_in(wanted))
