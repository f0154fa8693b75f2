from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.runs import MakeRecipe
from training.backbones import BasicUNetBackbone
from training.compiling import compile_backbone
from training.loop import train
from training.run_file import read_run
from training.team import Team

Call = Callable[..., Any]
STREAMS: Any = [SimpleNamespace(facts=SimpleNamespace(rows=32, columns=32))]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is compiled, by a compiler that leaves all as it is (the real one takes a minute)."""
    names: list[str] = []

    def compile_nothing(function: Call, backend: str) -> Call:
        names.append(function.__name__)
        return lambda *arguments: function(*arguments)

    monkeypatch.setattr(torch, "compile", compile_nothing)
    return names


def test_a_compiled_run_gives_the_same_files(
    compiled: list[str], small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    train(small(steps="3"), {"": pretext_store}, tmp_path / "plain")
    assert compiled == []
    assert train(small(steps="3", compiled="true"), {"": pretext_store}, tmp_path / "run").notes == ()
    assert compiled == ["encode", "decode"]
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("plain", "run"))
    assert one.keys() == other.keys()
    assert all(torch.equal(values, other[name]) for name, values in one.items())


def test_where_it_does_not_work_the_run_goes_on_and_says_so(
    small: MakeRecipe,
    pretext_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def compile_never(function: Call, backend: str) -> Call:
        def fails(*arguments: Any) -> None:
            raise RuntimeError("/tmp/torchinductor_jane/x.cpp: no compiler\nand more lines")

        return fails

    plain = train(small(steps="3"), {"": pretext_store}, tmp_path / "plain")
    monkeypatch.setattr(torch, "compile", compile_never)
    summary = train(small(steps="3", compiled="true"), {"": pretext_store}, tmp_path / "run")
    assert summary.notes == ("torch.compile does not work here (RuntimeError): the run goes on without it",)
    assert "torchinductor_jane" not in (tmp_path / "run" / "run.json").read_text()
    assert "RuntimeError: /tmp/torchinductor_jane/x.cpp: no compiler" in capsys.readouterr().err
    assert summary.losses == plain.losses
    assert read_run(tmp_path / "run")["notes"] == list(summary.notes)


def test_a_step_that_cannot_be_compiled_is_found_before_the_first_step(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_evaluation_only(function: Call, backend: str) -> Call:
        def passes(*arguments: Any) -> Any:
            if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
                raise RuntimeError("no kernel for this")
            return function(*arguments)

        return passes

    monkeypatch.setattr(torch, "compile", compile_evaluation_only)
    summary = train(small(steps="1", compiled="true"), {"": pretext_store}, tmp_path / "run")
    assert summary.steps == 1
    assert "does not work here" in summary.notes[0]


def test_several_gpus_are_not_compiled_for_and_say_so(compiled: list[str]) -> None:
    backbone = BasicUNetBackbone(4)
    notes = compile_backbone(backbone, STREAMS, torch.device("cuda", 1), Team(1, 2, 1), images=2, short=True)
    assert compiled == []
    (note,) = notes
    assert "several GPUs" in note


@pytest.mark.parametrize("training", [True, False])
def test_trying_it_moves_no_statistics_and_leaves_no_gradients(training: bool, compiled: list[str]) -> None:
    torch.manual_seed(0)
    backbone = BasicUNetBackbone(4).train(training)
    seen: list[bool] = []
    norm = next(one for one in backbone.modules() if isinstance(one, torch.nn.BatchNorm2d))
    norm.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    before = {name: values.clone() for name, values in backbone.state_dict().items()}
    random_state = torch.get_rng_state()
    assert compile_backbone(backbone, STREAMS, torch.device("cpu"), Team(), images=2, short=True) == []
    assert seen == [True, False]
    assert all(torch.equal(values, before[name]) for name, values in backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert backbone.training is training


@pytest.mark.parametrize("network", ["BasicUNetBackbone(4)", "DynUNetBackbone(4, 3)"])
@pytest.mark.slow
def test_the_real_compiler_gives_the_same_network(network: str) -> None:
    program = f"""
import torch
from types import SimpleNamespace
from training.backbones import BasicUNetBackbone, DynUNetBackbone
from training.compiling import compile_backbone
from training.team import Team
torch.manual_seed(0)
backbone = {network}.to(memory_format=torch.channels_last).eval()
image = torch.randn(2, 1, 32, 32)
eager = backbone.decode(backbone.encode(image))
streams = [SimpleNamespace(facts=SimpleNamespace(rows=32, columns=32))]
notes = compile_backbone(backbone, streams, torch.device("cpu"), Team(), images=2, short=False)
compiled = backbone.decode(backbone.encode(image))
assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(eager, compiled)), "differs"
print(notes)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
