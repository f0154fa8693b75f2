"""Keep freed memory in the process instead of handing it back to the kernel page by page.

A shard is made in arrays of some tens of megabytes that come and go. Workers of dask run with
MALLOC_TRIM_THRESHOLD_ at 64 kB, so that every one of them is mapped, faulted in and unmapped
anew: half of a worker's time was the kernel's (docs/results/build.md).
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

KEPT_BYTES: Final = 256 * 2**20
"""Most that is kept free at the top of the heap."""

MAPPED_FROM_BYTES: Final = 32 * 2**20
"""Arrays from this size on are mapped by themselves; the largest that glibc takes for it."""

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
"""Names of the settings in malloc.h of glibc."""


def keep_freed_memory() -> None:
    """Set the thresholds of this process, where its C library is glibc; elsewhere do nothing."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
