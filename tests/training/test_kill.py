"""kill -9 at any moment of a training, and the same command again: bit for bit the uninterrupted run.

Three random moments; as many as the variable ANATPREP_KILLS says in a longer run.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.helpers.runs import assert_same_bits
from training.checkpoint import position_of
from training.log import read_log
from training.loop import verify_run
from training.recipe import Recipe
from training.run_folder import CHECKPOINT_FILE

KILLS = int(os.environ.get("ANATPREP_KILLS", "3"))
KEPT_EVERY = 4

# Importing torch takes longer than the training: one process does it, a child of it for each training.
TRAININGS = """
import json, os, signal, sys, threading
from pathlib import Path
import tensorboard.summary.writer.record_writer, torch._dynamo
import torch
torch.set_num_threads(1)
from training.loop import train
from training.recipe import checked_recipe

recipe = checked_recipe(json.loads(sys.argv[1]), "test")
for line in sys.stdin:
    folder, moment_s = json.loads(line)
    child = os.fork()
    if not child:
        if moment_s is not None:
            threading.Timer(moment_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
        train(recipe, {"": Path(sys.argv[2])}, Path(folder))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout.write(f"{status}\\n")
    sys.stdout.flush()
"""


class Trainings:
    """Trainings of one recipe, each in a process of its own."""

    def __init__(self, to: IO[str], said: IO[str]) -> None:
        self._to, self._said = to, said

    def run(self, folder: Path, moment_s: float | None = None) -> int:
        """Train there, killed after so long; the exit status."""
        self._to.write(json.dumps([str(folder), moment_s]) + "\n")
        self._to.flush()
        return int(self._said.readline())


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    from tests.training.conftest import SMALL
    from training.recipe import load_recipe

    changes = {"steps": "18", "log_every": "1", "checkpoint_every": str(KEPT_EVERY), "validate_every": "6"}
    return load_recipe("pretrain-mtl", {**SMALL, **changes})


@pytest.fixture(scope="module")
def trainings(recipe: Recipe, pretext_store: Path) -> Iterator[Trainings]:
    command = [sys.executable, "-c", TRAININGS, json.dumps(recipe.as_json()), str(pretext_store)]
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        yield Trainings(running.stdin, running.stdout)
        running.kill()


@pytest.fixture(scope="module")
def uninterrupted(trainings: Trainings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run that nobody disturbed, and how long such a one takes once torch is there."""
    folder = tmp_path_factory.mktemp("kill")
    assert trainings.run(folder / "first") == 0
    started_s = time.perf_counter()
    assert trainings.run(folder / "second") == 0
    return folder / "second", time.perf_counter() - started_s


@pytest.mark.parametrize("number", range(KILLS))
def test_a_training_killed_at_a_random_moment_ends_bit_for_bit_as_if_it_had_not_been(
    number: int, trainings: Trainings, uninterrupted: tuple[Path, float], tmp_path: Path
) -> None:
    whole, usual_s = uninterrupted
    seed = os.environ.get("ANATPREP_KILL_SEED", str(time.time_ns()))
    moment_s = random.Random(f"{seed} {number}").uniform(0, usual_s)
    run = tmp_path / "run"
    trainings.run(run, moment_s)
    told = f"killed after {moment_s:.3f} s, seed {seed}"
    kept = position_of(run / CHECKPOINT_FILE).step if (run / CHECKPOINT_FILE).is_file() else 0
    steps = [line["step"] for line in read_log(run)]
    assert max(steps, default=0) - kept <= KEPT_EVERY, told
    assert trainings.run(run) == 0, told
    assert_same_bits(run, whole)
    assert verify_run(run) == [], told
