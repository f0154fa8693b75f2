"""Several processes, one for each GPU, under torchrun; one process alone is a team of one.

Every step has one batch for the whole team; each member takes its share of it. Losses are sums and counts:
the counts are added over the team before the division, the gradients after, so the step equals that of one
process with the whole batch, masked labels or not. Batch norm is synchronised on GPUs; on CPUs, where
PyTorch has no synchronised form, each member normalises its own share. Only the first member writes.
"""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from dicomgeom.errors import WrongUse
from training.sources import Rows
from training.tasks.task import SumAndCount

Result = TypeVar("Result")

LONGEST_WAIT = timedelta(hours=6)
"""What members wait for each other: the first one of a machine may read a whole store from afar meanwhile."""


@dataclass(frozen=True)
class Team:
    """The place of a process among `size` processes."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this member writes files and shows progress."""
        return self.rank == 0

    def share(self, rows: Rows, keys: Tensor) -> tuple[Rows, Tensor]:
        """A member's part of a batch."""
        return rows[self.rank :: self.size], keys[self.rank :: self.size]

    def check_shares(self, batch_size: int, least: int = 1) -> None:
        """Raise `WrongUse`, on all members, when some of them get fewer images than these of a batch."""
        if self.size > 1 and batch_size < least * self.size:
            each = f", with {least} images or more for each" if least > 1 else ""
            raise WrongUse(
                f"a batch of {batch_size} cannot be shared by {self.size} processes{each}; "
                f"start fewer, or give --set batch_size={least * self.size} or a multiple of it"
            )

    def totals(self, parts: Mapping[str, SumAndCount]) -> dict[str, SumAndCount]:
        """Sums and counts of the whole team, without gradients."""
        flat = torch.stack(
            [value.detach().double() for part in parts.values() for value in (part.sum, part.count)]
        )
        if self.size > 1:
            distributed.all_reduce(flat)
        return {name: SumAndCount(flat[2 * i], flat[2 * i + 1]) for i, name in enumerate(parts)}

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over the team."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for gradient, values in zip(
            gradients, torch.split(flat, [one.numel() for one in gradients]), strict=True
        ):
            gradient.copy_(values.view_as(gradient))

    def gathered(self, own: Result) -> list[Result]:
        """What each member has, in the order of their ranks, on all."""
        if self.size == 1:
            return [own]
        box: list[Any] = [None] * self.size
        distributed.all_gather_object(box, own)
        return box

    def from_first(self, made: Callable[[], Result]) -> Result:
        """What `made` returns on the first member, on all."""
        if self.size == 1:
            return made()
        box = [made() if self.first else None]
        distributed.broadcast_object_list(box, src=0)
        return cast("Result", box[0])


def this_team(device: str) -> Team:
    """The team torchrun's variables describe; joins its process group the first time."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Team()
    team = Team(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    if not distributed.is_initialized():
        on_gpu = device != "cpu" and torch.cuda.is_available()
        distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=LONGEST_WAIT)
    return team


def leave_in_order(team: Team) -> None:
    """Have this process take the group down when it ends, as all members do that came this far.

    They do it together, so one that failed must not: the others wait for it elsewhere, and with NCCL none
    would ever end. It simply ends, and torchrun ends the others.
    """
    if team.size > 1:
        atexit.unregister(distributed.destroy_process_group)  # once is enough
        atexit.register(distributed.destroy_process_group)


def chosen_device(device: str, team: Team | None = None) -> torch.device:
    """The device a word means; "auto" is a GPU where there is one, else the CPU.

    Raises
    ------
    WrongUse
        No such device here.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    chosen = device_of(device, team or Team(), gpus)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return chosen


def device_of(word: str, team: Team, gpus: int) -> torch.device:
    """The device a word means to a member of a team, on a machine where so many GPUs are seen.

    Raises
    ------
    WrongUse
        No word for a device, no such GPU, or one GPU for several processes.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", word):
        raise WrongUse(f"{word!r} is no device; expected auto, cpu, cuda or cuda:N")
    if word == "cpu" or (word == "auto" and not gpus):
        return torch.device("cpu")
    _, given, number = word.partition(":")
    if given and team.size > 1:
        raise WrongUse(
            f"device {word} was asked for, but each of {team.size} processes needs a GPU of its own; "
            "use --device cuda, or CUDA_VISIBLE_DEVICES to choose among them"
        )
    index = int(number) if given else team.local_rank
    if index < gpus:
        return torch.device("cuda", index)
    if gpus and not given:
        raise WrongUse(
            f"process {index + 1} of this machine finds {gpus} GPUs, and each process needs one of its own; "
            f"start {gpus} of them (--nproc-per-node={gpus})"
        )
    raise WrongUse(f"device {word} was asked for, but {gpus} GPUs are seen; use --device auto")
