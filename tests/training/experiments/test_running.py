from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue

import pytest
import torch

from dicomgeom.errors import WrongUse
from tests.helpers.real import PROJECT
from tests.training.conftest import WriteStore
from training.experiments import running
from training.experiments.cells import Plan
from training.experiments.experiment import TABLES_TEXT_FILE, open_experiment, run_experiment
from training.experiments.grid import load_grid
from training.experiments.running import CELLS, Room, device_of_worker
from training.run_folder import CHECKPOINT_FILE
from training.sources import share_of_memory
from training.transfer import WEIGHTS_FILE

LOCATION_ITSELF = """
name = "location-itself"
about = "The pretext of the tiny grid, at its smaller size, which nothing begins with."
test = { store = "pretext" }

[stores]
pretext = "exams without annotation"
labelled = "not looked at"

[[arms]]
name = "location"
recipe = "pretrain-location"
stores = { main = "pretext" }
set = { "backbone.width" = 4, batch_size = 4, steps = 2, checkpoint_every = 1, log_every = 1, amp = false }

[[tables]]
title = "Location"
measures = ["r"]
"""


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


def test_an_experiment_is_no_work_for_torchrun(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(WrongUse, match="start it once, without torchrun, and say how many with --jobs"):
        run_experiment(load_grid(grid_file), stores, tmp_path / "experiment")
    assert not (tmp_path / "experiment").exists()


def test_a_folder_in_which_the_first_write_was_killed_is_an_empty_one(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / ".experiment.json.0123.part").write_text("{")
    assert len(open_experiment(load_grid(grid_file), stores, folder)[0].cells) == 7
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(WrongUse, match="holds something else"):
        open_experiment(load_grid(grid_file), stores, folder)


ENDLESS = """
import multiprocessing, sys, threading, time

def work():
    from training.experiments.running import _end_with_parent
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print("at work", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=work, daemon=True)
    child.start()
    print(child.pid, flush=True)
    time.sleep(600)
"""


def test_a_worker_ends_when_the_one_that_began_it_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert parent.stdout.readline() == "at work\n"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert parent.stdout.read() == "", "its end of the pipe closes when the worker ends"
    assert not Path(f"/proc/{worker}/exe").exists()


def test_workers_share_the_memory_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.sources.free_on_host", lambda: 64_000)
    monkeypatch.setattr("training.sources.free_on", lambda _: 24_000)
    assert share_of_memory(torch.device("cpu"), 4, 4) == 8_000
    assert share_of_memory(torch.device("cuda", 0), 4, 2) == 4_800
    assert share_of_memory(torch.device("cuda", 0), 8, 1) == 4_000


def test_only_parents_keep_their_weights(grid_file: Path, stores: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    run_experiment(load_grid(grid_file), stores, folder, size="smaller")
    assert len(list((folder / CELLS).glob(f"*/{WEIGHTS_FILE}"))) == 1
    assert not list((folder / CELLS).glob(f"*/{CHECKPOINT_FILE}"))
    kept = tmp_path / "kept"
    run_experiment(load_grid(grid_file), stores, kept, size="smaller", keep_weights=True)
    assert len(list((kept / CELLS).glob(f"*/{WEIGHTS_FILE}"))) == 3


def test_tables_of_what_has_not_run_are_refused_and_those_that_are_there_stay(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path
) -> None:
    grid, folder = load_grid(grid_file), tmp_path / "experiment"
    with pytest.raises(WrongUse, match=r"none of the 7 trainings of grid tiny at size paper .* has run in"):
        run_experiment(grid, stores, folder, train=False)
    assert not folder.exists()
    summary = run_experiment(grid, stores, folder, size="smaller")
    before = {path: path.read_bytes() for path in folder.glob("*.*")}
    with pytest.raises(WrongUse, match="name the grid, --size and --store that it was begun with"):
        run_experiment(grid, stores, folder, train=False)
    assert before == {path: path.read_bytes() for path in folder.glob("*.*")}
    again = run_experiment(grid, stores, folder, size="smaller", train=False)
    assert [table.as_json() for table in again.tables] == [table.as_json() for table in summary.tables]


def test_a_grid_may_begin_with_what_another_has_finished(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path
) -> None:
    folder, alone = tmp_path / "shared", tmp_path / "alone"
    first = tmp_path / "first.toml"
    first.write_text(LOCATION_ITSELF)
    run_experiment(load_grid(first), stores, folder)
    assert not list(folder.glob(f"{CELLS}/*/{WEIGHTS_FILE}"))
    (measured,) = folder.glob(f"{CELLS}/*/measured-*.json")
    before = measured.stat().st_mtime_ns
    second = run_experiment(load_grid(grid_file), stores, folder, size="smaller")
    assert second.failed == {}
    assert second.done == second.cells == 3
    assert measured.stat().st_mtime_ns == before, "what was measured before was measured again"
    whole = run_experiment(load_grid(grid_file), stores, alone, size="smaller")
    assert [table.as_json() for table in second.tables] == [table.as_json() for table in whole.tables]


def test_a_grid_may_measure_elsewhere_what_another_has_finished(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    run_experiment(load_grid(grid_file), stores, folder, size="smaller")
    before = {path: path.stat().st_mtime_ns for path in folder.glob(f"{CELLS}/*/measured-*.json")}
    grid_file.write_text(
        grid_file.read_text().replace(
            'test = { store = "labelled" }', 'test = { store = "labelled", split = "validation" }'
        )
    )
    second = run_experiment(load_grid(grid_file), stores, folder, size="smaller")
    assert second.failed == {}
    assert second.done == second.cells
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())
    after = {path.name for path in folder.glob(f"{CELLS}/*/measured-*.json") if path not in before}
    assert {name.rpartition("-")[0] for name in after} == {"measured-labelled-validation"}
    assert len(list(folder.glob(f"{CELLS}/*/{WEIGHTS_FILE}"))) == 1


def test_another_store_to_test_on_is_measured_anew_and_refused_where_its_patients_were_seen(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path, write_store: WriteStore
) -> None:
    folder = tmp_path / "experiment"
    grid_file.write_text(
        grid_file.read_text()
        .replace('test = { store = "labelled" }', 'test = { store = "others", split = "all" }')
        .replace("[stores]", '[stores]\nothers = "exams of other patients with annotation"')
    )
    grid = load_grid(grid_file)
    eight = write_store(tmp_path / "eight.zarr", segmentation=True, first_patient=300)
    five = write_store(tmp_path / "five.zarr", segmentation=True, first_patient=400, patients=(1, 1, 3))
    first = run_experiment(grid, {**stores, "others": eight}, folder, size="smaller")
    second = run_experiment(grid, {**stores, "others": five}, folder, size="smaller")
    assert [one.tables[0].rows["scratch"][1].patients for one in (first, second)] == [8, 5]
    seen = run_experiment(grid, {**stores, "others": stores["labelled"]}, folder, size="smaller")
    assert seen.tables[0].rows["scratch"] == {}
    assert all("was trained on" in why for why in seen.failed.values())


def test_weights_that_another_grid_keeps_stay(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path
) -> None:
    folder, other = tmp_path / "shared", tmp_path / "other.toml"
    run_experiment(load_grid(grid_file), stores, folder, size="smaller")
    other.write_text(
        LOCATION_ITSELF.replace('store = "pretext" }', 'store = "pretext", split = "validation" }')
    )
    (weights,) = folder.glob(f"{CELLS}/*/{WEIGHTS_FILE}")
    assert run_experiment(load_grid(other), stores, folder).done == 1
    assert weights.is_file()


def test_parents_whose_heirs_are_measured_need_no_weights(
    grid_file: Path, stores: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "experiment"
    run_experiment(load_grid(grid_file), stores, folder, size="smaller")
    (weights,) = folder.glob(f"{CELLS}/*/{WEIGHTS_FILE}")
    weights.unlink()
    again = run_experiment(load_grid(grid_file), stores, folder, size="smaller")
    assert again.done == again.cells
    assert not weights.is_file()


def test_workers_with_more_to_say_than_a_pipe_holds_come_to_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "LOOK_AGAIN_S", 0.01)
    answers = get_context("spawn").SimpleQueue()
    said = [{f"cell {number}": "x" * 200_000} for number in range(2)]
    workers = [threading.Thread(target=answers.put, args=(words,), daemon=True) for words in said]
    for worker in workers:
        worker.start()
    looks = iter(range(500))
    heard = running._answered(workers, answers, lambda: next(looks) and None)
    assert heard == said[0] | said[1]


@pytest.mark.parametrize(
    ("device", "gpus", "devices"),
    [
        ("auto", 2, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 4, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:1", 4, ["cuda:1"] * 3),
        ("cpu", 4, ["cpu"] * 3),
        ("auto", 0, ["auto"] * 3),
        ("cuda", 0, ["cuda"] * 3),
    ],
)
def test_gpus_are_dealt_out_to_workers(device: str, gpus: int, devices: list[str]) -> None:
    assert [device_of_worker(device, number, gpus) for number in range(3)] == devices


@pytest.mark.parametrize(
    ("jobs", "device", "kept_to"), [(3, "cpu", [9]), (3, "cuda:1", []), (2, "cpu", []), (4, "cpu", [])]
)
def test_workers_on_as_many_cores_keep_to_one_each(
    jobs: int, device: str, kept_to: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {9, 2, 5}, raising=False)
    monkeypatch.setattr(running, "keep_to_core", kept.append)
    monkeypatch.setattr(running.torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(running, "_take_cells", lambda room, *_: {"device": room.device})
    answers = SimpleQueue[dict[str, str]]()
    running._one_worker(2, jobs, Room(tmp_path, {}, {}, device), Plan((), ()), answers)
    assert kept == kept_to
    assert answers.get() == {"device": device}


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
