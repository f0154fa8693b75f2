"""Random numbers that are a pure function of their keys, so that a run can go on from its step number alone.

A counter-based generator: the splitmix64 finaliser (Steele, Lea and Flood, OOPSLA 2014, "Fast splittable
pseudorandom number generators") over a chain of keys, written in 64-bit integer tensor arithmetic. The same
keys give the same numbers on a CPU and on a GPU, whatever was drawn before.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _signed(number: int) -> int:
    """The same 64 bits read as a signed integer, which is what a tensor holds."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    return number - (1 << 64) if number >= 1 << 63 else number


_GOLDEN = _signed(0x9E37_79B9_7F4A_7C15)
_FIRST = _signed(0xBF58_476D_1CE4_E5B9)
_SECOND = _signed(0x94D0_49BB_1331_11EB)
_ALL_BITS = 0xFFFF_FFFF_FFFF_FFFF


def _shifted(bits: Tensor, by: int) -> Tensor:
    """Logical shift to the right: the sign bit is not dragged along."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _finalised(state: Tensor) -> Tensor:
    state = (state ^ _shifted(state, 30)) * _FIRST
    state = (state ^ _shifted(state, 27)) * _SECOND
    return state ^ _shifted(state, 31)


def _finalised_number(state: int) -> int:
    """`_finalised` of one number: what all examples share needs no tensor, and no copy to a device."""
    state &= _ALL_BITS
    state = (state ^ state >> 30) * _FIRST & _ALL_BITS
    state = (state ^ state >> 27) * _SECOND & _ALL_BITS
    return state ^ state >> 31


def mixed(*keys: int | Tensor) -> Tensor:
    """Mix integer keys, in their order, into 64 well-spread bits.

    Parameters
    ----------
    keys
        Integers or int64 tensors that broadcast together.

    Returns
    -------
    Tensor
        int64, of the broadcast shape of the keys.
    """
    state: int | Tensor = 0
    for key in keys:
        if isinstance(key, Tensor):
            state = _finalised(
                key + _signed(state + _GOLDEN) if isinstance(state, int) else state + key + _GOLDEN
            )
        elif isinstance(state, Tensor):
            state = _finalised(state + _signed(int(key) + _GOLDEN))
        else:
            state = _finalised_number(state + int(key) + _GOLDEN)
    return state if isinstance(state, Tensor) else torch.tensor(_signed(state), dtype=torch.int64)


def uniform(*keys: int | Tensor) -> Tensor:
    """Numbers in [0, 1), float32, one for each set of keys: 24 bits each, so that 1.0 is never reached."""
    return _shifted(mixed(*keys), 40).to(torch.float32) * (1.0 / (1 << 24))


def normal(*keys: int | Tensor) -> Tensor:
    """Standard normal numbers by Box and Muller's transform of two uniform ones."""
    radius = torch.sqrt(-2.0 * torch.log1p(-uniform(*keys, 1)))
    return radius * torch.cos(2.0 * math.pi * uniform(*keys, 2))


def shuffled(count: int, *keys: int) -> Tensor:
    """A permutation of 0 .. count-1 that depends on the keys only; int64, on the CPU."""
    return torch.argsort(mixed(*keys, torch.arange(count, dtype=torch.int64)), stable=True)
