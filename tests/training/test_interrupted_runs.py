"""Runs that were interrupted, killed or damaged: what is there is never lost nor half-believed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from dicomgeom.errors import AnatprepError, IntegrityError, WrongUse
from dicomgeom.holding import held
from tests.helpers.runs import MakeRecipe, Stopped, assert_same_bits, stop_after
from training.loop import LOCK_FILE, train, verify_run


def test_a_resumed_run_ends_with_the_same_bits(
    small: MakeRecipe, pretext_store: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    run = tmp_path / "resumed"
    for stop in (5, 7):  # after the checkpoint of step 3, then after that of step 6
        with pytest.raises(Stopped):
            train(small(steps="8"), {"": pretext_store}, run, progress=stop_after(stop))
        (problem,) = verify_run(run)
        assert "not finished" in problem
    train(small(steps="8"), {"": pretext_store}, run)
    assert_same_bits(run, uninterrupted)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from training.loop import train
from training.recipe import checked_recipe
import json
import training.checkpoint as checkpoint

def killed_while_writing(descriptor, fsync=os.fsync, calls=[]):
    calls.append(descriptor)
    partial = [name for name in os.listdir(sys.argv[3]) if name.startswith(".checkpoint")]
    if partial and (Path(sys.argv[3]) / "checkpoint.safetensors").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(descriptor)

checkpoint.os.fsync = killed_while_writing
train(checked_recipe(json.loads(sys.argv[1]), "test"), {"": Path(sys.argv[2])}, Path(sys.argv[3]))
"""


def test_a_run_killed_while_it_writes_its_second_checkpoint_goes_on_from_its_first(
    small: MakeRecipe, pretext_store: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    run, recipe = tmp_path / "killed", small(steps="8")
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(recipe.as_json()), str(pretext_store), str(run)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]
    assert (run / "checkpoint.safetensors").is_file()
    assert not (run / "weights.safetensors").exists()
    train(recipe, {"": pretext_store}, run)
    assert_same_bits(run, uninterrupted)


KILLED_BEFORE_THE_RECORD = """
import json, os, signal, sys
from pathlib import Path
import training.loop as loop
from training.recipe import checked_recipe

loop.write_seen_patients = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
loop.train(checked_recipe(json.loads(sys.argv[1]), "test"), {"": Path(sys.argv[2])}, Path(sys.argv[3]))
"""


def test_a_run_killed_before_it_recorded_its_patients_records_them_later(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    run, recipe = tmp_path / "killed", small(steps="1")
    words = [json.dumps(recipe.as_json()), str(pretext_store), str(run)]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE_THE_RECORD, *words],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]
    assert sorted(path.name for path in run.iterdir()) == [".lock", "run.json"]
    train(recipe, {"": pretext_store}, run)
    assert verify_run(run) == []
    assert len(json.loads((run / "seen_patients.json").read_text())["trained"]) == 4


def test_a_run_killed_between_its_weights_and_the_word_that_it_is_done_finishes_later(
    small: MakeRecipe, pretext_store: Path, uninterrupted: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run, recipe = tmp_path / "run", small(steps="8")

    def stopped(*_: object) -> None:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr("training.loop.write_samples", stopped)
        with pytest.raises(Stopped):
            train(recipe, {"": pretext_store}, run)
    assert (run / "weights.safetensors").is_file()
    assert "weights_sha256" not in json.loads((run / "run.json").read_text())
    train(recipe, {"": pretext_store}, run)
    assert verify_run(run) == []
    assert_same_bits(run, uninterrupted)


def test_what_a_killed_writing_left_behind_does_not_block_a_run(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".run.json.4711.part").write_text("{")
    assert train(small(steps="1"), {"": pretext_store}, run).steps == 1


def test_a_run_is_trained_by_one_process_at_a_time(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with held(run / LOCK_FILE), pytest.raises(WrongUse, match="being trained in by another process"):
        train(small(steps="1"), {"": pretext_store}, run)
    assert list(run.iterdir()) == []
    (run / ".checkpoint.safetensors.0123456789abcdef.part").write_bytes(b"a write that was killed")
    train(small(steps="1"), {"": pretext_store}, run)
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]


def test_a_finished_run_says_so_and_does_nothing(
    small: MakeRecipe, pretext_store: Path, uninterrupted: Path
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in uninterrupted.iterdir()}
    summary = train(small(steps="8"), {"": pretext_store}, uninterrupted)
    assert summary.already_done
    assert "finished before" in summary.notes[-1]
    assert summary.losses
    assert before == {path.name: path.stat().st_mtime_ns for path in uninterrupted.iterdir()}


def test_a_folder_of_another_run_is_refused(
    small: MakeRecipe, pretext_store: Path, labelled_store: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    with pytest.raises(WrongUse, match=r"something else \(recipe: seed 0 there, 3 asked for\)"):
        train(small(steps="8", seed="3"), {"": pretext_store}, uninterrupted)
    with pytest.raises(WrongUse, match="other stores"):
        train(small(steps="8"), {"": labelled_store}, uninterrupted)
    with pytest.raises(WrongUse, match="other initial weights"):
        train(small(steps="8"), {"": pretext_store}, uninterrupted, init=uninterrupted)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(WrongUse, match="holds files but no run"):
        train(small(), {"": pretext_store}, tmp_path / "mine")
    with pytest.raises(WrongUse, match="is a file, a run is a folder"):
        train(small(), {"": pretext_store}, tmp_path / "mine" / "thesis.txt")


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    store, run = tmp_path / "store.zarr", tmp_path / "run"
    shutil.copytree(pretext_store, store)
    recipe = small(steps="8", optimiser__kind="sgd", checkpoint_every="1")
    with pytest.raises(Stopped):
        train(recipe, {"": store}, run, progress=stop_after(2))
    before = (run / "checkpoint.safetensors").read_bytes()
    zarr.open_array(store / "location", mode="r+")[...] = np.inf
    with pytest.raises(
        AnatprepError, match=r"the loss became (nan|inf) at step 3, .*its last checkpoint, of step 2, is kept"
    ) as caught:
        train(recipe, {"": store}, run)
    assert "\n" not in str(caught.value)
    assert (run / "checkpoint.safetensors").read_bytes() == before


def test_a_damaged_checkpoint_is_an_error_of_one_line(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        train(small(), {"": pretext_store}, run, progress=stop_after(4))
    (run / "checkpoint.safetensors").write_bytes(b"garbage")
    assert any("damaged" in problem for problem in verify_run(run))
    with pytest.raises(IntegrityError, match="damaged"):
        train(small(), {"": pretext_store}, run)
