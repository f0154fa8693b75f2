"""Two processes of one machine, as torchrun would start them: one copy of the images, the steps of one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.runs import MakeRecipe
from training.loop import train, verify_run
from training.recipe import Recipe
from training.shared_memory import Layout, shared_arrays
from training.team import Team

# Importing torch takes longer than the training: one process does it, its two children train.
MEMBERS = """
import json, os, sys
from pathlib import Path
import torch, torch._dynamo
torch.set_num_threads(1)
import training.streams
from training.loop import train
from training.recipe import checked_recipe

def told(*given, usual=training.streams.open_source, **named):
    source = usual(*given, **named)
    maps = Path("/proc/self/maps").read_text().splitlines()
    held.append([source.place, sorted({line.split()[4] for line in maps if "anatprep-images" in line})])
    return source

held = []
training.streams.open_source = told
recipe, memory_bytes = checked_recipe(json.loads(sys.argv[1]), "test"), json.loads(sys.argv[4])
children = []
for rank in ("0", "1"):
    child = os.fork()
    if not child:
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}
        run = Path(sys.argv[3])
        summary = train(recipe, {"": Path(sys.argv[2])}, run, memory_bytes=memory_bytes)
        run.with_suffix("." + rank).write_text(json.dumps([held, summary.losses]))
        os._exit(0)
    children.append(child)
os._exit(any([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))
"""


def two_members(recipe: Recipe, store: Path, run: Path, memory_bytes: int | None = None) -> list[Any]:
    """Train in two processes; what each says: where its images were, and its losses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [json.dumps(recipe.as_json()), str(store), str(run), json.dumps(memory_bytes)]
    done = subprocess.run(
        [sys.executable, "-c", MEMBERS, *words],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
        capture_output=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return [json.loads(run.with_suffix(f".{rank}").read_text()) for rank in (0, 1)]


def test_two_processes_share_their_images_and_learn_what_one_does(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    # Without batch norm, which on CPUs each process has for itself. The steps of Adam depend on the sign of
    # gradients that are rounding alone (biases before an instance norm); those of plain descent do not.
    recipe = small(
        backbone__norm="instance", batch_size="5", optimiser__kind="sgd", optimiser__learning_rate="0.01",
        optimiser__clip_norm="1.0", optimiser__l1="1e-4",
    )  # fmt: skip
    summary = train(recipe, {"": pretext_store}, tmp_path / "alone")
    (held, losses), (others, other_losses) = two_members(recipe, pretext_store, tmp_path / "team")
    assert held == others
    ((place, memories),) = held
    assert place == "host"
    assert len(memories) == 1
    assert losses == other_losses == pytest.approx(summary.losses, rel=1e-5)
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("alone", "team"))
    assert all(torch.allclose(values, other[key], rtol=0, atol=1e-5) for key, values in one.items())
    assert verify_run(tmp_path / "team") == []


@pytest.mark.slow
def test_two_processes_without_room_stream_their_images(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    recipe = small(backbone__norm="instance", steps="2")
    (held, _), (others, _) = two_members(recipe, pretext_store, tmp_path / "team", memory_bytes=1)
    assert held == others == [["store", []]]


def test_arrays_of_one_process_come_back_as_they_were_filled() -> None:
    layout = Layout({"a": ((3, 5), np.dtype(np.uint16)), "b": ((7,), np.dtype(np.float32))})
    contents = {"a": np.arange(15).reshape(3, 5), "b": np.linspace(0, 1, 7)}

    def fill(name: str, values: np.ndarray[Any, Any]) -> None:
        values[...] = contents[name]

    found = shared_arrays(layout, True, fill, Team())
    assert found is not None
    for name, (shape, dtype) in layout.arrays.items():
        assert (found[name].shape, found[name].dtype) == (shape, dtype)
        assert np.array_equal(found[name], contents[name].astype(dtype))
        assert found[name].flags.writeable  # or a tensor of it would be a copy
    assert shared_arrays(layout, False, fill, Team()) is None


def test_nothing_is_left_of_shared_memory_that_nobody_holds() -> None:
    layout = Layout({"a": ((1000,), np.dtype(np.float64))})
    found = shared_arrays(layout, True, lambda _, values: values.fill(1.0), Team())
    assert "anatprep-images" in Path("/proc/self/maps").read_text()
    del found
    assert "anatprep-images" not in Path("/proc/self/maps").read_text()
