"""Two processes on one machine, as torchrun would start them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import distributed

from dicomgeom.errors import WrongUse
from training.loop import train, verify_run
from training.recipe import Recipe
from training.tasks.task import SumAndCount
from training.team import LONGEST_WAIT, Team, device_of, leave_in_order, this_team

MEMBER = """
import json, sys
from datetime import timedelta
from pathlib import Path
from typing import Any
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
    with pytest.raises(WrongUse, match=r"of 7 .* by 4 processes, with 2 images or more .* batch_size=8 or"):
        Team(0, 4).check_shares(7, least=2)
    Team(0, 4).check_shares(8, least=2)


def test_only_members_that_came_to_their_end_take_the_group_down(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    monkeypatch.setattr("training.team.atexit.register", kept.append)
    monkeypatch.setattr("training.team.atexit.unregister", lambda one: one in kept and kept.remove(one))
    monkeypatch.setattr(distributed, "init_process_group", lambda *_, **how: None)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    team = this_team("cpu")
    assert kept == []
    leave_in_order(team)
    leave_in_order(team)
    assert kept == [distributed.destroy_process_group]
    leave_in_order(Team())
    assert len(kept) == 1


def test_a_word_names_a_device() -> None:
    assert device_of("auto", Team(), gpus=0) == device_of("cpu", Team(), gpus=2) == torch.device("cpu")
    assert device_of("auto", Team(), gpus=2) == device_of("cuda", Team(), gpus=2) == torch.device("cuda", 0)
    assert device_of("cuda:1", Team(), gpus=2) == torch.device("cuda", 1)


def test_each_process_of_a_machine_gets_the_gpu_of_its_number_there() -> None:
    third_of_second_machine = Team(rank=6, size=8, local_rank=2)
    for word in ("auto", "cuda"):
        assert device_of(word, third_of_second_machine, gpus=4) == torch.device("cuda", 2)
    assert device_of("auto", third_of_second_machine, gpus=0) == torch.device("cpu")


@pytest.mark.parametrize(
    ("word", "team", "gpus", "said"),
    [
        ("cuda", Team(), 0, "device cuda was asked for, but 0 GPUs are seen; use --device auto"),
        ("cuda:2", Team(), 2, "device cuda:2 was asked for, but 2 GPUs are seen"),
        ("auto", Team(2, 3, 2), 2, "process 3 of this machine finds 2 GPUs.*--nproc-per-node=2"),
        ("cuda:0", Team(1, 2, 1), 2, "each of 2 processes needs a GPU of its own; use --device cuda"),
        *((word, Team(), 1, "is no device; expected auto, cpu, cuda or cuda:N") for word in
          ("mps", "xpu", "meta", "cuda:", "cuda:-1", "gpu", "")),
    ],
)  # fmt: skip
def test_a_device_that_cannot_be_had_is_refused(word: str, team: Team, gpus: int, said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        device_of(word, team, gpus)


def test_members_wait_for_hours_for_the_one_that_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: dict[str, Any] = {}
    monkeypatch.setattr(distributed, "init_process_group", lambda backend, **how: begun.update(how))
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert this_team("cpu") == Team(1, 2, 1)
    assert begun["timeout"] == LONGEST_WAIT > timedelta(hours=1)
