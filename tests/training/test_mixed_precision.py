from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from training.mixed_precision import Amp, has_bfloat16, in_bfloat16, told_of_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("amp", "device", "native", "short"),
    [
        (True, GPU, True, True),
        (True, GPU, False, False),
        ("everywhere", GPU, True, True),
        ("everywhere", GPU, False, False),
        (False, GPU, True, False),
        (True, CPU, True, False),
        (False, CPU, True, False),
        ("everywhere", CPU, True, True),
        ("everywhere", CPU, False, False),
    ],
)
def test_bfloat16_is_taken_where_it_is_wanted_and_there(
    amp: Amp, device: torch.device, native: bool, short: bool
) -> None:
    assert in_bfloat16(amp, device, lambda _: native) is short


def test_a_run_tells_where_bfloat16_is_wanted_and_not_there() -> None:
    assert told_of_precision(True, GPU, lambda _: False) == [
        "this GPU does not compute in bfloat16: the run is in float32"
    ]
    assert told_of_precision("everywhere", CPU, lambda _: False) == [
        "this CPU does not compute in bfloat16: the run is in float32"
    ]
    assert not told_of_precision("everywhere", CPU, lambda _: True)
    assert not told_of_precision(True, CPU, lambda _: False), "nobody wanted it there"
    assert not told_of_precision(False, GPU, lambda _: False)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no /proc/cpuinfo on this system")
def test_a_cpu_has_bfloat16_where_the_kernel_says_so() -> None:
    flags = re.findall(r"^(?:flags|Features)\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    named = set(flags[0].split()) & {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}
    assert has_bfloat16(CPU) is (bool(named) and torch.backends.mkldnn.is_available())


def test_a_torch_that_cannot_tell_of_the_cpu_is_no_reason_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert has_bfloat16(CPU)


def test_the_first_gpus_with_bfloat16_are_those_of_capability_8(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        major = 7

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    monkeypatch.setattr(torch.version, "hip", None)
    assert not has_bfloat16(GPU)
    monkeypatch.setattr(Properties, "major", 8)
    assert has_bfloat16(GPU)
