"""Arrays held once for all processes of a machine, where torchrun starts one for each of its GPUs.

The first process of a machine fills a piece of memory that has no name in any folder (``memfd_create``), the
others map it through the first one's open file. It goes when the last of them ends, however it ends: a kill
leaves nothing behind, and the small ``/dev/shm`` of a container is no limit.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

NAME = "anatprep-images"
"""What /proc calls the memory."""

ALIGNMENT_BYTES = 64


class Members(Protocol):
    """What is asked of a team."""

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def local_rank(self) -> int: ...
    def gathered(self, own: Any) -> list[Any]: ...


@dataclass(frozen=True)
class Layout:
    """Names of arrays -> shape and dtype; all processes know it, so that only bytes are shared."""

    arrays: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]

    def _sizes(self) -> dict[str, int]:
        return {
            name: int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            for name, (shape, dtype) in self.arrays.items()
        }

    @property
    def bytes(self) -> int:
        """Of all arrays, each begun at a multiple of `ALIGNMENT_BYTES`."""
        return max(1, sum(_aligned(size) for size in self._sizes().values()))

    def views(self, memory: mmap.mmap) -> dict[str, NDArray[Any]]:
        """The arrays in a piece of memory of that size; no copies."""
        found, start = {}, 0
        for name, size in self._sizes().items():
            shape, dtype = self.arrays[name]
            count = int(np.prod(shape, dtype=np.int64))
            found[name] = np.frombuffer(memory, dtype, count, start).reshape(shape)
            start += _aligned(size)
        return found


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def shared_arrays(
    layout: Layout, fits: bool, fill: Callable[[str, NDArray[Any]], None], team: Members
) -> dict[str, NDArray[Any]] | None:
    """The same arrays in all processes of a machine, in the same memory; None where they have to do without.

    To be called by all members of the team, in the same order.

    Parameters
    ----------
    fits
        Whether there is room; asked of the first process of each machine.
    fill
        Writes one array, given its name; called in that process only.
    """
    descriptor, said = -1, ""
    if team.local_rank == 0 and fits and hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(NAME)
        os.ftruncate(descriptor, layout.bytes)
        for name, values in layout.views(mmap.mmap(descriptor, layout.bytes)).items():
            fill(name, values)
        said = f"/proc/{os.getpid()}/fd/{descriptor}"
    # Members of a machine have neighbouring ranks, its first one the lowest.
    place = team.gathered(said)[team.rank - team.local_rank]
    try:
        with Path(place).open("r+b") as file:
            found = layout.views(mmap.mmap(file.fileno(), layout.bytes))
    except OSError:
        found = None
    team.gathered("")  # until all have it open the first one keeps it so
    if descriptor >= 0:
        os.close(descriptor)
    return found
