"""Where forward passes compute in bfloat16: where a recipe wants it and the machine has it.

torch runs bfloat16 on other GPUs and CPUs as well, piece by piece in float32: slower than float32 itself (ten
times on a CPU without it), and some operations are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

Amp = bool | Literal["everywhere"]

CPU_CAPABILITIES = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")
"""What torch calls the instructions of Intel and AMD (the first two) and ARM that multiply bfloat16."""


def in_bfloat16(amp: Amp, device: torch.device, native: Callable[[torch.device], bool] | None = None) -> bool:
    """Whether passes on a device are in bfloat16.

    Parameters
    ----------
    amp
        A recipe's `amp`.
    native
        Says whether a device computes with bfloat16 itself.
    """
    return _is_wanted(amp, device) and (native or has_bfloat16)(device)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the GPU in use (NVIDIA: from the Ampere generation of 2020 on), or the CPU, has bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.11 does not know: the recipe is believed
        return True
    convolves = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    capabilities = torch.cpu.get_capabilities()
    return convolves and any(capabilities.get(one) for one in CPU_CAPABILITIES)


def told_of_precision(
    amp: Amp, device: torch.device, native: Callable[[torch.device], bool] | None = None
) -> list[str]:
    """A note where a recipe wants bfloat16 and the device has none; else empty."""
    if not _is_wanted(amp, device) or in_bfloat16(amp, device, native):
        return []
    what = "GPU" if device.type == "cuda" else "CPU"
    return [f"this {what} does not compute in bfloat16: the run is in float32"]


def _is_wanted(amp: Amp, device: torch.device) -> bool:
    return bool(amp) if device.type == "cuda" else amp == "everywhere"
