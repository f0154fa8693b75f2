"""Working off the cells of a grid, one process or several, on one machine or many that share a folder.

Whoever has nothing to do takes the first cell that is free and whose parent is done; the kernel's lock on the
cell's folder says that it is taken, and falls when its process ends, however it ends. A cell that was killed
goes on from its checkpoint. What a cell measured is in its folder as ``measured-STORE-SPLIT-HASH.json``,
written last; the hash is of what is in the store, as another one is measured anew. The last weights are
measured, never ones chosen on labelled images.

Weights are kept of the cells that others of the same grid begin with. Where another grid in the same folder
asks more of a finished cell, to begin with it or to measure it elsewhere, the cell is trained again, and what
it measured before stays.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dicomgeom.cores import cores_for, keep_to_core, usable_cores
from dicomgeom.errors import AnatprepError
from dicomgeom.holding import held
from dicomgeom.progress import Progress, silent
from pretext_targets.where import Where
from training.checkpoint import write_json
from training.diagnosis import DIAGNOSIS_FILE, DIAGNOSIS_VERSION, diagnose
from training.evaluate import EVALUATION_FILE, EVALUATION_VERSION, evaluate
from training.experiments.cells import Cell, Plan
from training.experiments.grid import Measured
from training.loop import train
from training.run_file import DONE, RUN_FILE, RUNNING, read_run
from training.run_folder import CHECKPOINT_FILE
from training.sources import share_of_memory
from training.transfer import WEIGHTS_FILE, read_initial_weights

CELLS = "cells"
MEASURED = "measured-"
LOOK_AGAIN_S = 0.5
"""How long to wait when all that is left is in other hands."""


@dataclass(frozen=True)
class Room:
    """Where an experiment lives.

    Attributes
    ----------
    stores, plans
        Path of each store and hash of what is in it, by the grid's names.
    memory_bytes
        The most that the images of a training may take; None: a share of what is free.
    """

    folder: Path
    stores: Mapping[str, Where]
    plans: Mapping[str, str]
    device: str = "auto"
    keep_weights: bool = False
    memory_bytes: int | None = None

    def of(self, cell: Cell) -> Path:
        """The run of a cell."""
        return self.folder / CELLS / cell.folder

    def measured(self, cell: Cell, test: Measured) -> Path:
        """What a cell measured on a split of a store, as it is now, the way it is measured now."""
        version = DIAGNOSIS_VERSION if test.by == "diagnosis" else EVALUATION_VERSION
        ground = hashlib.sha256(f"{self.plans[test.store]} {version}".encode()).hexdigest()[:8]
        return self.of(cell) / f"{MEASURED}{test.word}-{ground}.json"


def is_done(room: Room, plan: Plan, cell: Cell) -> bool:
    """Whether a cell is measured on everyone it has to be, and no other waits for weights it lacks."""
    if not all(room.measured(cell, test).is_file() for test in plan.tests_of(cell)):
        return False
    run, heirs = room.of(cell), plan.heirs_of(cell)
    return all(is_done(room, plan, heir) for heir in heirs) or (
        _is_trained(run) and (run / WEIGHTS_FILE).is_file()
    )


def _is_trained(run: Path) -> bool:
    return (run / RUN_FILE).is_file() and read_run(run)["state"] == DONE


def run_cells(room: Room, plan: Plan, *, jobs: int = 1, progress: Progress = silent) -> dict[str, str]:
    """Work off all cells; those that were done before are left alone.

    Parameters
    ----------
    jobs
        Processes on this machine; each takes its share of the cores.

    Returns
    -------
    dict
        Folder of each cell that failed -> why.
    """
    (room.folder / CELLS).mkdir(parents=True, exist_ok=True)
    if jobs == 1:
        return _take_cells(room, plan, progress)
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    workers = [
        context.Process(target=_one_worker, args=(number, jobs, room, plan, answers), daemon=True)
        for number in range(jobs)
    ]
    for worker in workers:
        worker.start()
    failed = _answered(workers, answers, lambda: _tell(room, plan, progress))
    died = sum(worker.exitcode != 0 for worker in workers)
    if died:
        failed["a process"] = f"{died} of {jobs} processes ended early; run the same command again"
    _tell(room, plan, progress)
    return failed


def _answered(workers: Sequence[Any], answers: Any, tell: Callable[[], None]) -> dict[str, str]:
    """What workers, processes or threads, answer until all have ended.

    A pipe holds 64 KiB: who has more to say ends only when somebody listens.
    """
    failed: dict[str, str] = {}
    while True:
        alive = any(worker.is_alive() for worker in workers)
        while not answers.empty():
            failed |= answers.get()
        if not alive:
            return failed
        tell()
        time.sleep(LOOK_AGAIN_S)


def _one_worker(number: int, jobs: int, room: Room, plan: Plan, answers: Any) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = device_of_worker(room.device, number, gpus)
    sharing = sum(device_of_worker(room.device, one, gpus) == device for one in range(jobs))
    holds = torch.device(device if device in {f"cuda:{one}" for one in range(gpus)} else "cpu")
    own = replace(room, device=device, memory_bytes=share_of_memory(holds, jobs, max(1, sharing)))
    cores = cores_for(jobs) if device in ("auto", "cpu") else []
    if cores:
        keep_to_core(cores[number])
    torch.set_num_threads(1 if cores else max(1, usable_cores() // jobs))
    answers.put(_take_cells(own, plan, silent))


def _end_with_parent() -> None:
    """End this process when the one that began it is killed: nobody else would listen to it or end it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def device_of_worker(device: str, number: int, gpus: int) -> str:
    """The device of worker `number` (from 0): GPUs are dealt out in turn where none is named.

    Parameters
    ----------
    device
        "auto", "cpu", "cuda" or "cuda:N", as the user gave it.
    gpus
        How many this machine has.
    """
    return f"cuda:{number % gpus}" if device in ("auto", "cuda") and gpus else device


def _tell(room: Room, plan: Plan, progress: Progress) -> None:
    done = sum(is_done(room, plan, cell) for cell in plan.cells)
    progress("cells", done=done, total=len(plan.cells))


def _take_cells(room: Room, plan: Plan, progress: Progress) -> dict[str, str]:
    """Take cells until none is left to do, for this process or for others."""
    failed: dict[str, str] = {}
    while True:
        left = [cell for cell in plan.cells if not is_done(room, plan, cell)]
        left = [cell for cell in left if not _is_lost(cell, failed)]
        progress("cells", done=len(plan.cells) - len(left), total=len(plan.cells))
        if not left:
            return failed
        if not any(_try(room, plan, cell, failed, progress) for cell in left):
            time.sleep(LOOK_AGAIN_S)


def _is_lost(cell: Cell, failed: Mapping[str, str]) -> bool:
    """Whether a cell or one that it begins with has failed."""
    return cell.folder in failed or (cell.parent is not None and _is_lost(cell.parent, failed))


def _try(room: Room, plan: Plan, cell: Cell, failed: dict[str, str], progress: Progress) -> bool:
    """Do a cell when it is free and its parent done; whether there was something to do."""
    if cell.parent is not None and not is_done(room, plan, cell.parent):
        return False
    with held(room.folder / CELLS / f"{cell.folder}.lock") as ours:
        if not ours:
            return False
        if not is_done(room, plan, cell):
            try:
                do_cell(room, plan, cell, progress)
            except AnatprepError as error:
                failed[cell.folder] = f"{cell.recipe.name}: {error}"
    return True


def do_cell(room: Room, plan: Plan, cell: Cell, progress: Progress = silent) -> None:
    """Train a cell, or go on with it, and measure it on everyone it has to be and was not yet."""
    run = room.of(cell)
    init = room.of(cell.parent) / WEIGHTS_FILE if cell.parent is not None else None
    # Finished by another grid, and kept: that one may still begin with these weights.
    of_others = _is_trained(run) and not (run / CHECKPOINT_FILE).is_file()
    if of_others and not (run / WEIGHTS_FILE).is_file():
        _begin_again(run, init)
        of_others = False
    stores = {name: room.stores[of_grid] for name, of_grid in cell.stores}
    train(
        cell.recipe,
        stores,
        run,
        init=init,
        device=room.device,
        memory_bytes=room.memory_bytes,
        progress=progress,
    )
    for test in plan.tests_of(cell):
        if room.measured(cell, test).is_file():
            continue
        measure = diagnose if test.by == "diagnosis" else partial(evaluate, any_spacing=test.any_spacing)
        found = measure(run, room.stores[test.store], split=test.split, device=room.device, progress=progress)
        write_json(room.measured(cell, test), found)
    for name in (EVALUATION_FILE, DIAGNOSIS_FILE):
        (run / name).unlink(missing_ok=True)
    # A finished cell never goes on, and hundreds of checkpoints would fill a disk.
    (run / CHECKPOINT_FILE).unlink(missing_ok=True)
    if not (plan.heirs_of(cell) or room.keep_weights or of_others):
        (run / WEIGHTS_FILE).unlink(missing_ok=True)


def _begin_again(run: Path, init: Path | None) -> None:
    """Make a finished run whose weights are gone one that was only begun; what it measured stays.

    Its state is written last: whoever is killed before finds it finished and without weights, as it was.
    """
    found = read_run(run)
    for path in run.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != RUN_FILE and not path.name.startswith(MEASURED):
            path.unlink()
    init_sha256 = read_initial_weights(init).sha256 if init is not None else ""
    write_json(run / RUN_FILE, {**found, "state": RUNNING, "init_sha256": init_sha256})


def measured_values(found: Mapping[str, Any], measure: str) -> dict[str, float]:
    """A measure of an evaluation or a diagnosis: patient -> value.

    What is measured of all patients at once, as an AUC is, has the patient "". "manual ..." is a measure of
    the diagnosis on manual segmentations.
    """
    kind = "manual" if measure.startswith("manual ") else "automatic"
    parts = found["tasks"].values() if "tasks" in found else [found[kind]]
    for part in parts:
        values = {key: one[measure] for key, one in part["patients"].items() if measure in one}
        if values:
            return values
        for whole in ("all_slices", "auc"):
            value = part.get(whole, {}).get(measure.removeprefix("manual "))
            if value is not None:
                return {"": float(value)}
    return {}


def read_measured(room: Room, cell: Cell, test: Measured) -> dict[str, Any] | None:
    """What a cell measured; None when it has not yet."""
    path = room.measured(cell, test)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
