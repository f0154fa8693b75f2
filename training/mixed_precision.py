"""Where forward passes compute in bfloat16: where a recipe wants it and the machine has it.

torch runs bfloat16 on older GPUs as well, piece by piece in float32: slower than float32 itself, and some
operations are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

Amp = bool | Literal["everywhere"]


def in_bfloat16(amp: Amp, device: torch.device, native: Callable[[], bool] | None = None) -> bool:
    """Whether passes on a device are in bfloat16.

    Parameters
    ----------
    amp
        A recipe's `amp`.
    native
        Says whether the GPU in use computes with bfloat16 itself; asked for GPUs only.
    """
    if device.type == "cuda":
        return bool(amp) and (native or has_bfloat16)()
    return amp == "everywhere"


def has_bfloat16() -> bool:
    """Whether the GPU in use has bfloat16 (NVIDIA: from the Ampere generation of 2020 on)."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def told_of_precision(amp: Amp, device: torch.device, native: Callable[[], bool] | None = None) -> list[str]:
    """A note where a recipe wants bfloat16 and the GPU has none; else empty."""
    if device.type != "cuda" or not amp or in_bfloat16(amp, device, native):
        return []
    return ["this GPU does not compute in bfloat16: the run is in float32"]
