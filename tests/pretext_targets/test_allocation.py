"""Memory that was freed is used again, however dask started the process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from tests.helpers.real import PROJECT

FAULTS = """
import resource, sys
import numpy as np
from pretext_targets.allocation import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(400):
    np.ones(100_000)
sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
"""


def page_faults(how: str) -> int:
    """Of a process that makes 400 arrays of 800 kB one after the other, with dask's setting."""
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", FAULTS, how]
    done = subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is that of glibc")
def test_freed_memory_is_not_faulted_in_anew() -> None:
    given_back, kept = page_faults("given back"), page_faults("kept")
    assert given_back > 400 * 100
    assert kept < given_back / 20
