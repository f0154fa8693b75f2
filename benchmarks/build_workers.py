"""Two workers against one: by the clock, and who used how much processor time for what.

    python -m benchmarks.build_workers --export FOLDER [--copies 24] [--rounds 5] [--work FOLDER]

The export becomes so many patients and one plan, as in `benchmarks.build`. Clusters of one and of two
workers, as `--workers` starts them, are up already and have built once; then they build in turns. The
clock counts the whole of `build`: making the empty store, the shards, the statistics of stacks. Client
and scheduler run in this process, beside the workers: on two cores they take from two workers what
one worker leaves them for nothing.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks.build_export import catalogue_of, planned, say
from pretext_targets.build import BuildPlan, build
from pretext_targets.local_cluster import local_cluster

SHARD = 128
"""Examples in a shard: small enough that two workers end together."""


@dataclass(frozen=True)
class Account:
    """One build: slices a second by the clock, and seconds of processor time."""

    clock: float
    here_s: float
    """Client and scheduler."""
    user_s: float
    kernel_s: float
    """Both of all workers together."""
    alone_s: float
    """By the clock: before the first shard is begun and after the last is there, when no worker works."""

    @property
    def workers_s(self) -> float:
        """Processor time of all workers."""
        return self.user_s + self.kernel_s


def account(plan: BuildPlan, cluster: Any, work: Path) -> Account:
    """Build once on a cluster that is up, or without one in this process."""
    marks: list[float] = []
    workers = [] if cluster is None else [psutil.Process(one.pid) for one in cluster.workers.values()]
    address = None if cluster is None else cluster.scheduler_address

    def mark(what: str, *, done: int, total: int | None) -> None:
        marks.append(time.perf_counter())

    def used() -> tuple[float, float]:
        times = [worker.cpu_times() for worker in workers]
        return sum(one.user for one in times), sum(one.system for one in times)

    with tempfile.TemporaryDirectory(dir=work) as folder:
        began, here, before = time.perf_counter(), time.process_time(), used()
        build(plan, Path(folder) / "s.zarr", scheduler=address, shard=SHARD, progress=mark)
        ended, after = time.perf_counter(), used()
        return Account(
            clock=len(plan.examples) / (ended - began),
            here_s=time.process_time() - here,
            user_s=after[0] - before[0],
            kernel_s=after[1] - before[1],
            alone_s=marks[0] - began + ended - marks[-1],
        )


def accounts_of_workers(plan: BuildPlan, work: Path, rounds: int) -> dict[int, list[Account]]:
    """No worker but this process (0), one and two in turns, after a turn that only loads what they need."""
    found: dict[int, list[Account]] = {0: [], 1: [], 2: []}
    with local_cluster(1) as one, local_cluster(2) as two:
        for turn in range(rounds + 1):
            for count, cluster in ((0, None), (1, one), (2, two)):
                told = account(plan, cluster, work)
                if turn:
                    found[count].append(told)
    return found


def report(plan: BuildPlan, work: Path, rounds: int) -> float:
    """Say everything, and return the median ratio of rates by the clock, round by round."""
    found = accounts_of_workers(plan, work, rounds)
    median: dict[int, Account] = {}
    for count, told in found.items():
        median[count] = sorted(told, key=lambda one: one.clock)[len(told) // 2]
        one = median[count]
        say(
            f"  {count} workers: {one.clock:6.0f} slices a second; processor seconds: client and scheduler "
            f"{one.here_s:.2f}, workers {one.user_s:.2f} user + {one.kernel_s:.2f} kernel; "
            f"{one.alone_s:.2f} s without workers"
        )
    pairs = zip(found[2], found[1], strict=True)
    ratio = statistics.median(both.clock / alone.clock for both, alone in pairs)
    alone, both = median[1], median[2]
    free = (alone.workers_s + alone.alone_s) / (
        (both.workers_s + both.here_s - both.alone_s) / 2 + both.alone_s
    )
    say(f"  two workers / one: {ratio:.2f} by the clock (load {os.getloadavg()[0]:.1f})")
    beside = statistics.median(
        both.clock / alone.clock for both, alone in zip(found[2], found[0], strict=True)
    )
    say(f"  two workers / this process without a cluster (`--workers 1`): {beside:.2f}")
    say(f"  processor time alone would allow {free:.2f} on two cores that nobody else uses")
    return ratio


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--export", required=True, help="a cardiac exam with a short-axis cine")
    parser.add_argument("--copies", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", help="a folder to work in; kept")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(arguments.work or folder)
        work.mkdir(parents=True, exist_ok=True)
        plan = planned(catalogue_of(Path(arguments.export), arguments.copies, work))
        say(f"{len(plan.examples)} slices of {arguments.copies} patients")
        report(plan, work, arguments.rounds)


if __name__ == "__main__":
    main()
