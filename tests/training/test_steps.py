from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.runs import MakeRecipe, Stopped, assert_same_bits, stop_after
from training.loop import train


def test_a_resumed_run_in_bfloat16_ends_with_the_same_bits(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
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
