"""`anatprep experiment`: a grid of trainings and the tables that come of it.

The folder holds ``experiment.json`` (the grid and its size), ``cells/`` (a run each, named by its hash), and,
made anew at every call, ``tables.json`` and ``tables.md``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dicomgeom.errors import WrongUse
from dicomgeom.progress import Progress, silent
from dicomgeom.spelling import unknown
from pretext_targets.reader import open_reader
from pretext_targets.where import Where
from training.checkpoint import write_atomically, write_json
from training.experiments.averages import make_tables
from training.experiments.cells import Plan, plan_grid
from training.experiments.grid import Grid
from training.experiments.running import Room, is_done, run_cells
from training.experiments.tables import TABLES_FILE, Table, WrittenTables, markdown

EXPERIMENT_FILE, TABLES_TEXT_FILE = "experiment.json", "tables.md"


@dataclass(frozen=True)
class ExperimentSummary:
    """What an experiment tells.

    Attributes
    ----------
    cells, done
        How many there are, and how many have run.
    failed
        Folder of each cell that failed -> why.
    """

    folder: Path
    cells: int
    done: int
    failed: dict[str, str]
    tables: list[Table]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "folder": str(self.folder),
            "cells": self.cells,
            "done": self.done,
            "failed": self.failed,
            "tables": [table.as_json() for table in self.tables],
        }


def open_experiment(
    grid: Grid, stores: Mapping[str, Where], folder: Path, *, size: str = "paper", device: str = "auto"
) -> tuple[Plan, Room]:
    """Check that every store is there and plan the cells.

    Raises
    ------
    WrongUse
        Stores missing (all of them are named, with what belongs in them) or too many; a folder that holds
        other things.
    IntegrityError
        A path that is no finished store.
    """
    faults = [unknown("store", name, grid.stores) for name in stores if name not in grid.stores]
    missing = [f"{name} ({about})" for name, about in grid.stores.items() if name not in stores]
    if missing:
        faults.append(f"it needs stores; give each as --store NAME=PATH: {'; '.join(missing)}")
    if faults:
        raise WrongUse(f"grid {grid.name}: {'; '.join(faults)}")
    if folder.exists() and not (folder.is_dir() and (_is_experiment(folder) or _is_empty(folder))):
        raise WrongUse(f"{folder} holds something else; choose a new folder")
    plans = {name: open_reader(path).attributes.plan_sha256 for name, path in stores.items()}
    plan = plan_grid(grid, size, plans)
    return plan, Room(folder, dict(stores), plans, device)


def _is_experiment(folder: Path) -> bool:
    return (folder / EXPERIMENT_FILE).is_file()


def _is_empty(folder: Path) -> bool:
    """Whether nobody's work is in a folder; a write that was killed, or is under way, has a hidden file."""
    return all(entry.name.startswith(".") for entry in folder.iterdir())


def run_experiment(
    grid: Grid,
    stores: Mapping[str, Where],
    folder: Path,
    *,
    size: str = "paper",
    device: str = "auto",
    jobs: int = 1,
    keep_weights: bool = False,
    train: bool = True,
    progress: Progress = silent,
) -> ExperimentSummary:
    """Run what is left of a grid, and write its tables.

    Parameters
    ----------
    stores
        Paths by the grid's names.
    folder
        Of the experiment; one folder may serve several grids, which then share equal cells. The tables are
        those of the last.
    size
        "paper", or one of the grid's sizes.
    jobs
        Processes on this machine. Several machines may work in one folder at the same time.
    train
        False only makes the tables of what has run.

    Raises
    ------
    WrongUse
        See `open_experiment`; one process of several under torchrun; tables are
        wanted where nothing of this grid, size and stores has run.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # Each would take a cell of its own, and training would add their gradients up.
        raise WrongUse(
            "an experiment shares its trainings among processes itself: start it once, without torchrun, "
            "and say how many with --jobs"
        )
    plan, room = open_experiment(grid, stores, folder, size=size, device=device)
    if not train and not any(is_done(room, plan, cell) for cell in plan.cells):
        raise WrongUse(
            f"none of the {len(plan.cells)} trainings of grid {grid.name} at size {size} on these stores "
            f"has run in {folder}; name the grid, --size and --store that it was begun with"
        )
    room = replace(room, keep_weights=keep_weights)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / EXPERIMENT_FILE, {"grid": grid.model_dump(mode="json"), "size": size})
    failed = run_cells(room, plan, jobs=jobs, progress=progress) if train else {}
    tables = make_tables(grid, plan, room)
    shared = bool(grid.pretrainings) and not grid.pretrain_each_subset
    written = WrittenTables(grid.name, grid.about, size, shared, tuple(tables))
    write_json(folder / TABLES_FILE, written.as_json())
    write_atomically(folder / TABLES_TEXT_FILE, markdown(tables).encode())
    done = sum(is_done(room, plan, cell) for cell in plan.cells)
    return ExperimentSummary(folder, len(plan.cells), done, failed, tables)
