"""How much memory a GPU, or this machine, could still give this process.

What lies idle counts as free: blocks that torch keeps for later, and the page cache of the system. What a
container or a batch system allows (a control group) counts as the machine's end.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import torch

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
KIB_BYTES = 1024


def free_on(device: torch.device) -> int:
    """Bytes of a GPU that this process could have."""
    gc.collect()  # images of a training before may hang in a cycle; torch's first import leaves one
    return could_have(
        torch.cuda.mem_get_info(device)[0],
        torch.cuda.memory_reserved(device),
        torch.cuda.memory_allocated(device),
    )


def room_on(device: torch.device) -> int:
    """Bytes of a GPU that this process has in use or could have, once torch has let go of what lies idle."""
    could = free_on(device)
    torch.cuda.empty_cache()
    return could + torch.cuda.memory_allocated(device)


def could_have(free_bytes: int, reserved_bytes: int, allocated_bytes: int) -> int:
    """What the driver calls free, and what torch keeps reserved of the rest without using it."""
    return free_bytes + reserved_bytes - allocated_bytes


def free_on_host(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Bytes this process could have without swapping, and without being killed by its control group.

    Parameters
    ----------
    proc, groups
        Where the system's tables and the control groups are.
    """
    return min([_available_bytes(proc), *_left_in_groups(proc, groups)])


def _available_bytes(proc: Path) -> int:
    """`MemAvailable`; MemFree is near 0 on any machine that has read more files than it has memory."""
    try:
        lines = (proc / "meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    table = {line.partition(":")[0]: line.partition(":")[2] for line in lines}
    return int(table["MemAvailable"].split()[0]) * KIB_BYTES


def _left_in_groups(proc: Path, groups: Path) -> Iterator[int]:
    """What the limit of each group leaves that this process belongs to, of both versions of control groups.

    A limit holds for all groups below. In a container the path may be the host's, of which only the root is
    to be seen here; then that root is the container's own group.
    """
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = groups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = groups / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = root / path.lstrip("/")
        for group in (own, *own.parents):
            if group.is_relative_to(root):
                yield from _left_in_group(group, *names)


def _left_in_group(group: Path, limit: str, used: str, idle: str) -> Iterator[int]:
    """Nothing where there is no such file or no limit; pages of files that can go at once are not in use."""
    try:
        allowed = (group / limit).read_text().strip()
        if allowed == "max":
            return
        in_use = int((group / used).read_text())
        table = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:
        return
    yield max(0, int(allowed) - in_use + int(table.get(idle, 0)))
