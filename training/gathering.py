"""Rows of all processes of a team side by side, with their gradients.

A loss that compares the images of a batch needs the whole batch, not one member's share of it. Each member
gathers the rows of all and computes the terms of its own; a row that lay on another member gets there the
gradient of every member's terms. Plain `all_gather` gives values only, and half of the gradient is lost.

Only while training: validation runs on the first member alone, and would wait for the others for ever.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


class _Gather(torch.autograd.Function):
    """Forward: rows of all members, by rank. Backward: the gradients of all members, summed, of its own."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        rank = distributed.get_rank()
        ctx.start, ctx.count = sum(counts[:rank]), counts[rank]
        # Shares differ by one row where the batch does not divide evenly; collectives want equal shapes.
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[ctx.start : ctx.start + ctx.count], None


def in_a_team() -> bool:
    """Whether this process is one of several that train together."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def gathered(rows: Tensor, *, training: bool) -> tuple[Tensor, int]:
    """Rows (n, ...) of each member -> rows (sum of n, ...) of all, and where this member's own begin.

    Parameters
    ----------
    rows
        One member's; their number may differ, the rest of the shape may not.
    training
        False leaves the rows as they are: then no other member is there to answer.
    """
    if not training or not in_a_team():
        return rows, 0
    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(count) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, count)
    sizes = [int(one) for one in counts]
    # A Function's `apply` is untyped in torch.
    everyone: Tensor = _Gather.apply(rows, sizes)  # type: ignore[no-untyped-call]
    return everyone, sum(sizes[: distributed.get_rank()])


def team_mean(rows: Tensor, *, training: bool) -> Tensor:
    """Mean over the rows (n, ...) of all members, without gradients."""
    total, count = rows.detach().sum(dim=0), torch.tensor(float(len(rows)), device=rows.device)
    if training and in_a_team():
        distributed.all_reduce(total)
        distributed.all_reduce(count)
    return total / count
