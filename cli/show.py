"""`anatprep show`: a table of the catalogue on the terminal."""

from __future__ import annotations

import sys
from enum import StrEnum
from json import dumps
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.console import Screen
from cli.options import CatalogueArgument, Json, WorkspaceFolder
from cli.workspace import Workspace
from dicomgeom.errors import WrongUse
from dicomgeom.view_names import VIEWS

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

ROWS_FOR_PEOPLE: Final = 200
"""Rows on the screen, unless told otherwise; scripts get all."""


ROWS_AT_ONCE: Final = 2_000
"""Rows that are drawn as one table, or turned to JSON: a million at once takes all memory, and minutes
before the first is seen."""


def show(
    catalogue: CatalogueArgument = None,
    table: Annotated[Table, typer.Option("--table", help="Which table.")] = Table.STACKS,
    view: Annotated[
        list[str] | None, typer.Option("--view", help="Only stacks of this view; may be repeated.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=0,
            help="Rows to show at most; 0 shows all.",
            show_default=f"{ROWS_FOR_PEOPLE}, with --json all",
        ),
    ] = None,
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
        wanted = _checked_views(screen, opened.stacks, table, [name.upper() for name in view])
        frame = _of_views(frame, opened.stacks, wanted)
    if limit is None:
        limit = 0 if json else ROWS_FOR_PEOPLE
    shown = frame if limit == 0 else frame.head(limit)
    if json:
        _print_json(table, len(frame), shown)
        return
    columns = [name for name in COLUMNS[table] if name in shown.columns]
    for piece in shown.select(columns).iter_slices(ROWS_AT_ONCE):
        screen.table(columns, piece.rows())
    if len(shown) < len(frame):
        screen.say(f"{len(shown)} of {len(frame)} rows; --limit 0 shows all")


def _print_json(table: Table, rows: int, shown: pl.DataFrame) -> None:
    """Print the one JSON object piece by piece; NaN, which JSON does not know, becomes null."""
    import polars as pl

    write = sys.stdout.write
    write(f'{{"table": {dumps(table.value)}, "rows": {rows}, "shown": [')
    separator = ""
    for piece in shown.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None)).iter_slices(ROWS_AT_ONCE):
        for row in piece.iter_rows(named=True):
            write(separator + dumps(row, ensure_ascii=False, default=str))
            separator = ", "
    write("]}\n")
    sys.stdout.flush()


def _checked_views(screen: Screen, stacks: pl.DataFrame, table: Table, views: list[str]) -> list[str]:
    """The views that were asked for; those that no stack here has are told.

    Raises
    ------
    WrongUse
        When one is no view, or the rows of the table belong to none.
    """
    if table is Table.FILES:
        raise WrongUse("--view goes with stacks, images and lines; files belong to no view, leave it out")
    there = sorted(stacks["view"].unique())
    told = f"here are {', '.join(there) or 'none'}"
    unknown = [view for view in views if view not in VIEWS]
    if unknown:
        raise WrongUse(f"unknown view {', '.join(unknown)}; {told} (of {', '.join(VIEWS)})")
    absent = [view for view in views if view not in there]
    if absent:
        screen.say(f"no stack is {' or '.join(absent)}; {told}")
    return views


def _of_views(frame: pl.DataFrame, stacks: pl.DataFrame, views: list[str]) -> pl.DataFrame:
    """Keep the rows whose stack is one of the views."""
    import polars as pl

    wanted = stacks.filter(pl.col("view").is_in(views))["stack_id"].to_list()
    return frame.filter(pl.col("stack_id").is_in(wanted))
