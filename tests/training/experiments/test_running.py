from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dicomgeom.errors import WrongUse
from training.experiments.experiment import TABLES_TEXT_FILE, run_experiment
from training.experiments.grid import load_grid
from training.experiments.running import CELLS
from training.run_folder import CHECKPOINT_FILE
from training.transfer import WEIGHTS_FILE


@pytest.fixture
def stores(pretext_store: Path, labelled_store: Path) -> dict[str, Path]:
    return {"pretext": pretext_store, "labelled": labelled_store}


def test_an_experiment_fills_its_tables_and_is_not_run_again(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path
) -> None:
    grid, folder = load_grid(grid_file), tmp_path / "experiment"
    summary = run_experiment(grid, stores, folder)
    assert (summary.cells, summary.done, summary.failed) == (7, 7, {})
    dice, location = summary.tables
    assert {n: entry.subsets for n, entry in dice.rows["from location"].items()} == {1: 2, 2: 1}
    assert dice.rows["from location"][1].difference is not None
    assert -1.0 <= location.rows["location itself"][1].mean <= 1.0
    assert "not run" not in (folder / TABLES_TEXT_FILE).read_text()
    cells = sorted((folder / CELLS).iterdir())
    before = {path: path.stat().st_mtime_ns for cell in cells if cell.is_dir() for path in cell.iterdir()}
    again = run_experiment(grid, stores, folder)
    assert [table.as_json() for table in again.tables] == [table.as_json() for table in summary.tables]
    assert before == {
        path: path.stat().st_mtime_ns for cell in cells if cell.is_dir() for path in cell.iterdir()
    }


def test_only_parents_keep_their_weights(grid_file: Path, stores: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    run_experiment(load_grid(grid_file), stores, folder, size="smaller")
    assert len(list((folder / CELLS).glob(f"*/{WEIGHTS_FILE}"))) == 1
    assert not list((folder / CELLS).glob(f"*/{CHECKPOINT_FILE}"))
    kept = tmp_path / "kept"
    run_experiment(load_grid(grid_file), stores, kept, size="smaller", keep_weights=True)
    assert len(list((kept / CELLS).glob(f"*/{WEIGHTS_FILE}"))) == 3


def test_a_cell_that_fails_is_told_and_the_others_run(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path
) -> None:
    grid_file.write_text(grid_file.read_text().replace("2 = 1", "99 = 1"))
    summary = run_experiment(load_grid(grid_file), stores, tmp_path / "experiment")
    assert summary.done == 5
    assert len(summary.failed) == 2
    assert all("subjects = 99" in why for why in summary.failed.values())


def test_missing_stores_are_named_with_what_belongs_in_them(grid_file: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"pretext \(exams without annotation\); labelled \(exams with"):
        run_experiment(load_grid(grid_file), {}, tmp_path / "experiment")


def test_an_interrupted_experiment_goes_on_with_what_is_left(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path
) -> None:
    calls = 0

    def stop_later(_: str, **__: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise KeyboardInterrupt

    grid, folder, whole = load_grid(grid_file), tmp_path / "interrupted", tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        run_experiment(grid, stores, folder, size="smaller", progress=stop_later)
    resumed = run_experiment(grid, stores, folder, size="smaller")
    uninterrupted = run_experiment(grid, stores, whole, size="smaller")
    assert resumed.done == resumed.cells
    assert [t.as_json() for t in resumed.tables] == [t.as_json() for t in uninterrupted.tables]


@pytest.mark.slow
def test_a_killed_experiment_ends_as_if_nothing_had_happened(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path
) -> None:
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    given = [f"--store={name}={path}" for name, path in stores.items()]
    command = [sys.executable, "-m", "cli.main", "experiment", str(grid_file), *given, "--jobs", "2", "-o"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen([*command, str(folder)], env=environment, start_new_session=True)
    deadline_s = time.monotonic() + 60
    while not list(folder.glob(f"{CELLS}/*/measured-*.json")) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    grid = load_grid(grid_file)
    resumed = run_experiment(grid, stores, folder)
    uninterrupted = run_experiment(grid, stores, whole)
    assert resumed.done == resumed.cells
    assert [t.as_json() for t in resumed.tables] == [t.as_json() for t in uninterrupted.tables]
