from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.runs import MakeRecipe, Stopped, assert_same_bits, stop_after
from training.loop import train
from training.settings import OptimiserSettings
from training.steps import make_optimiser


@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize(("decayed", "bias"), [("all", 0.5 * (1 - 0.1 * 0.2)), ("kernels", 0.5)])
def test_weight_decay_may_leave_out_biases_and_the_scales_of_norms(
    kind: str, decayed: str, bias: float
) -> None:
    kernel, scale = (torch.nn.Parameter(torch.full(shape, 0.5)) for shape in ((3, 2), (3,)))
    settings = OptimiserSettings.model_validate(
        {"kind": kind, "learning_rate": 0.1, "weight_decay": 0.2, "momentum": 0.0, "decayed": decayed}
    )
    optimiser = make_optimiser(settings, [scale, kernel])
    for one in (kernel, scale):
        one.grad = torch.zeros_like(one)
    optimiser.step()
    if kind == "sgd":  # w - rate * decay * w; Adam's first step is the rate, whatever the gradient
        assert kernel[0, 0].item() == pytest.approx(0.5 * (1 - 0.1 * 0.2))
        assert scale[0].item() == pytest.approx(bias)
    else:
        assert kernel[0, 0].item() == pytest.approx(0.4)
        assert scale[0].item() == pytest.approx(0.4 if decayed == "all" else 0.5)


def test_a_resumed_run_in_bfloat16_ends_with_the_same_bits(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.mixed_precision.has_bfloat16", lambda device: True)
    recipe = small(steps="5", amp="everywhere")
    train(recipe, {"": pretext_store}, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(recipe, {"": pretext_store}, tmp_path / "parts", progress=stop_after(4))
    train(recipe, {"": pretext_store}, tmp_path / "parts")
    assert_same_bits(tmp_path / "parts", tmp_path / "whole")
    train(small(steps="5"), {"": pretext_store}, tmp_path / "plain")
    short, plain = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "plain"))
    name = "backbone.net.down_1.convs.conv_0.conv.weight"
    assert short[name].dtype == torch.float32
    assert not torch.equal(short[name], plain[name])
