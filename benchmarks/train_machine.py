"""What a training needs of its machine: memory, and how busy it keeps a GPU."""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SAMPLED_EVERY_S = 0.1
WATCHED_S = 5.0


def peak_memory_mb(asked: argparse.Namespace, store: Path) -> float:
    """Peak resident memory of a process of its own that trains the first recipe asked for."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.train",
        "--only-memory",
        str(store),
        "--device",
        asked.device,
    ]
    command += ["--width", str(asked.width), "--batch", str(asked.batch), "--recipes", asked.recipes[0]]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout) / 1024


def report_gpu(step: Callable[[], None], device: torch.device, say: Callable[[str], None]) -> dict[str, Any]:
    """Memory, utilisation and waits of steps on a GPU."""
    for _ in range(3):
        step()
    torch.cuda.reset_peak_memory_stats(device)
    busy = utilisation(step, device)
    found = {
        "peak_gb": torch.cuda.max_memory_allocated(device) / 1e9,
        "utilisation_percent": busy,
        "waits_a_step": waits(step),
    }
    say(f"\npeak memory of the GPU: {found['peak_gb']:.2f} GB")
    say(f"utilisation of the GPU: {'unknown, no nvidia-smi' if busy is None else f'{busy:.0f} %'}")
    say(f"times a step waits for the GPU: {found['waits_a_step']:.1f}")
    return found


def waits(step: Callable[[], None], steps: int = 5) -> float:
    """How often a step waits until the GPU has done all it was told, as torch itself counts."""
    usual = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(steps):
                step()
    finally:
        torch.cuda.set_sync_debug_mode(usual)
    return sum("synchronizing" in str(one.message) for one in caught) / steps


def utilisation(step: Callable[[], None], device: torch.device) -> float | None:
    """Median of what nvidia-smi says while steps run; None where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [
        tool,
        "--query-gpu=utilization.gpu",
        "--format=csv,noheader,nounits",
        f"--id={device.index or 0}",
    ]
    said: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLED_EVERY_S):
            answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
            if answer.isdigit():
                said.append(float(answer))

    watching = threading.Thread(target=watch)
    watching.start()
    until_s = time.perf_counter() + WATCHED_S
    while time.perf_counter() < until_s:
        step()
    torch.cuda.synchronize(device)
    over.set()
    watching.join()
    return statistics.median(said) if said else None
