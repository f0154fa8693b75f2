from __future__ import annotations

import pytest
import torch

from training.mixed_precision import Amp, has_bfloat16, in_bfloat16, told_of_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("amp", "device", "native", "short"),
    [
        (True, GPU, True, True),
        (True, GPU, False, False),
        ("everywhere", GPU, False, False),
        (False, GPU, True, False),
        (True, CPU, True, False),
        ("everywhere", CPU, False, True),
    ],
)
def test_bfloat16_is_taken_where_it_is_wanted_and_there(
    amp: Amp, device: torch.device, native: bool, short: bool
) -> None:
    assert in_bfloat16(amp, device, lambda: native) is short
    told = told_of_precision(amp, device, lambda: native)
    assert bool(told) is (device.type == "cuda" and bool(amp) and not short)


def test_the_first_gpus_with_bfloat16_are_those_of_capability_8(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        major = 7

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    monkeypatch.setattr(torch.version, "hip", None)
    assert not has_bfloat16()
    monkeypatch.setattr(Properties, "major", 8)
    assert has_bfloat16()
