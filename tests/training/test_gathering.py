"""Two gloo processes on one machine give what one process gives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training.gathering import gathered, in_a_team, team_mean
from training.loop import train
from training.recipe import Recipe

ROWS = """
import json, os, torch
from torch import distributed
torch.set_num_threads(1)
from training.gathering import gathered, in_a_team, team_mean

distributed.init_process_group("gloo")
rank = distributed.get_rank()
torch.manual_seed(0)
image, weight = torch.randn(5, 6), torch.randn(6, 4, requires_grad=True)
number = torch.arange(5)
own, mine = image[rank::2], number[rank::2]  # three rows and two
embedded = own @ weight
rows, start = gathered(embedded, training=True)
numbers, _ = gathered(mine, training=True)
positive = (mine[:, None] - numbers[None]).abs() < 2
total = -((embedded @ rows.T).log_softmax(dim=1) * positive).sum()
total.backward()
alone, nowhere = gathered(embedded, training=False)
print(json.dumps({
    "numbers": numbers.tolist(), "start": start, "team": in_a_team(), "alone": [len(alone), nowhere],
    "sum": total.item(), "gradient": weight.grad.tolist(),
    "mean": team_mean(embedded, training=True).tolist(),
}))
distributed.destroy_process_group()
"""

MEMBER = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from training.loop import train
from training.recipe import checked_recipe
recipe = checked_recipe(json.loads(sys.argv[1]), "test")
print(json.dumps(train(recipe, {"": Path(sys.argv[2])}, Path(sys.argv[3])).losses))
"""


def two_processes(program: str, *given: str) -> list[Any]:
    """What two members of a team print last, as JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    team = {"OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    members = [
        subprocess.Popen(
            [sys.executable, "-c", program, *given],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **team, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    said = []
    for member in members:
        out, err = member.communicate(timeout=120)
        assert member.returncode == 0, err.decode()[-2000:]
        said.append(json.loads(out.decode().splitlines()[-1]))
    return said


def test_alone_rows_stay_as_they_are() -> None:
    rows = torch.randn(3, 2)
    assert not in_a_team()
    found, start = gathered(rows, training=True)
    assert found is rows
    assert start == 0
    assert torch.equal(team_mean(rows, training=True), rows.mean(dim=0))


def test_gathered_rows_carry_the_gradients_of_all_members() -> None:
    torch.manual_seed(0)
    image, weight = torch.randn(5, 6), torch.randn(6, 4, requires_grad=True)
    number = torch.arange(5)
    embedded = image @ weight
    positive = (number[:, None] - number[None]).abs() < 2
    whole = -((embedded @ embedded.T).log_softmax(dim=1) * positive).sum()
    whole.backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    first, second = two_processes(ROWS)
    assert first["numbers"] == second["numbers"] == [0, 2, 4, 1, 3]
    assert (first["start"], second["start"]) == (0, 3)
    assert first["team"]
    assert (first["alone"], second["alone"]) == ([3, 0], [2, 0])
    assert first["sum"] + second["sum"] == pytest.approx(whole.item(), rel=1e-5)
    together = torch.tensor(first["gradient"]) + torch.tensor(second["gradient"])
    assert torch.allclose(together, weight.grad, rtol=1e-4, atol=1e-5)
    assert torch.allclose(torch.tensor(first["mean"]), embedded.mean(dim=0), atol=1e-6)
    assert first["mean"] == second["mean"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["simclr", "pcl"])
def test_two_processes_contrast_as_one_does(
    name: str, small: Callable[..., Recipe], pretext_store: Path, tmp_path: Path
) -> None:
    # No batch norm anywhere: on CPUs each member would normalise its own share.
    changes = {f"tasks__{name}__norm": "none", f"tasks__{name}__hidden": "16", f"tasks__{name}__size": "8"}
    changes |= {"optimiser__learning_rate": "0.01"}  # at 0.1 six steps blow rounding up
    recipe = small(f"pretrain-{name}", backbone__norm="instance", batch_size="5", **changes)
    alone = train(recipe, {"": pretext_store}, tmp_path / "alone")
    given = (json.dumps(recipe.as_json()), str(pretext_store), str(tmp_path / "team"))
    first, second = two_processes(MEMBER, *given)
    loss = f"{name}/nt_xent"
    assert first[loss] == second[loss] == pytest.approx(alone.losses[loss], rel=1e-4)
    one, other = (load_file(tmp_path / run / "weights.safetensors") for run in ("alone", "team"))
    assert all(torch.allclose(values, other[key], atol=1e-5) for key, values in one.items())
