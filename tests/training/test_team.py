"""Two processes on one machine, as torchrun would start them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dicomgeom.errors import WrongUse
from training.loop import train, verify_run
from training.recipe import Recipe
from training.tasks.task import SumAndCount
from training.team import Team

MEMBER = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from training.loop import train
from training.recipe import checked_recipe
recipe = checked_recipe(json.loads(sys.argv[1]), "test")
print(json.dumps(train(recipe, {"": Path(sys.argv[2])}, Path(sys.argv[3]), init=Path(sys.argv[4])).losses))
"""


def test_a_team_of_one_takes_the_whole_batch() -> None:
    rows, keys = Team().share(np.arange(5), torch.arange(5))
    assert rows.tolist() == keys.tolist() == [0, 1, 2, 3, 4]


def test_members_share_a_batch_without_overlap() -> None:
    shares = [Team(rank, 3).share(np.arange(7), torch.arange(7))[0].tolist() for rank in range(3)]
    assert sorted(row for share in shares for row in share) == list(range(7))


def test_totals_of_one_are_its_own() -> None:
    totals = Team().totals({"a": SumAndCount(torch.tensor(6.0), torch.tensor(4.0))})
    assert float(totals["a"].mean()) == 1.5


@pytest.mark.slow
def test_two_processes_learn_what_one_does(
    small: Callable[..., Recipe], pretext_store: Path, tmp_path: Path
) -> None:
    train(small(steps="1"), {"": pretext_store}, tmp_path / "parent")
    # Batch norm has no synchronised form on CPUs: with a frozen encoder it plays no part in the location.
    recipe = small("pretrain-location", frozen="encoder", batch_size="5")
    alone = train(recipe, {"": pretext_store}, tmp_path / "alone", init=tmp_path / "parent")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    given = [
        json.dumps(recipe.as_json()),
        str(pretext_store),
        str(tmp_path / "team"),
        str(tmp_path / "parent"),
    ]
    members = [
        subprocess.Popen(
            [sys.executable, "-c", MEMBER, *given],
            cwd=Path(__file__).parents[2],
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "WORLD_SIZE": "2",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            },
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
    assert said[0] == said[1]
    assert said[0] == pytest.approx(alone.losses, rel=1e-4)
    assert verify_run(tmp_path / "team") == []
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("alone", "team"))
    assert all(torch.allclose(values, other[key], atol=1e-5) for key, values in one.items())


def test_a_batch_smaller_than_the_team_is_refused() -> None:
    with pytest.raises(WrongUse, match="a batch of 1 cannot be shared by 4 processes"):
        Team(0, 4).check_shares(1)
    Team(0, 4).check_shares(4)
