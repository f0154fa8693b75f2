"""`anatprep train` alone, and as one of the processes that torchrun starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_WRONG_USE
from tests.cli.test_whole_way import TINY
from tests.training.conftest import write_store
from training.loop import RunSummary
from training.team import Team

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("words", [[], ["--json"]])
def test_of_several_processes_the_first_one_talks(
    rank: int,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "stores").mkdir()
    write_store(tmp_path / "stores" / "only.zarr")
    summary = RunSummary(tmp_path / "run", 3, 1.0, 12.0, {"location/location": 0.5})
    monkeypatch.setattr("training.team.this_team", lambda _: Team(rank, 2, rank))
    monkeypatch.setattr("training.loop.train", lambda *_, **__: summary)
    common = ["pretrain-location", "--workspace", str(tmp_path), "--device", "cpu"]
    assert run(["train", *common, *words]) == EXIT_DONE
    told = capsys.readouterr()
    if rank:
        assert told.out + told.err == ""
    else:
        assert "training on " in told.out + told.err
        assert "3 steps" in told.out + told.err
        assert bool(words) == told.out.startswith("{")


@pytest.mark.slow
def test_torchrun_gives_one_run_and_one_summary(tmp_path: Path) -> None:
    (tmp_path / "stores").mkdir()
    write_store(tmp_path / "stores" / "only.zarr")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["train", "pretrain-location", *TINY, "--device", "cpu", "--workspace", str(tmp_path), "--json"]
    ended = subprocess.run(
        [*start, "-m", "cli.main", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(ended.stdout)["run"] == str(tmp_path / "runs" / "pretrain-location")
    assert ended.stderr.count("training on ") == 1


def test_momentum_is_asked_for_before_a_run_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = write_store(tmp_path / "store.zarr")
    settings = ["optimiser.kind=sgd", "optimiser.nesterov=true", "optimiser.momentum=0"]
    pairs = [word for setting in settings for word in ("--set", setting)]
    words = ["--store", str(store), "-o", str(tmp_path / "run"), "--device", "cpu"]
    assert run(["train", "pretrain-location", *words, *pairs]) == EXIT_WRONG_USE
    assert "set optimiser.momentum above 0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
