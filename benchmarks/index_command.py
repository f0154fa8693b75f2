"""How long the whole command `anatprep index` takes, from the shell and back, and what its progress costs.

    python -m benchmarks.index_command --folder /somewhere/with/3-GB [--files 20000] [--repeats 3]

Commands take turns within each repeat; medians are given, since one run of a busy machine tells
little. One exam shows what starting costs; the bars are drawn on a terminal made for it.
"""

from __future__ import annotations

import argparse
import os
import pty
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.export_of_any_size import write_export
from cli.console import Screen

PROGRESS_S = 10.0
TOLD_EVERY_S = 0.01
DRAWN = b"\x1b[2K"
"""How a terminal is told to clear the line of the bars, once for each drawing."""


def main() -> None:
    """Run what the command line asks for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "anatprep-benchmark")
    options.add_argument("--files", type=int, default=20_000)
    options.add_argument("--repeats", type=int, default=3)
    asked = options.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    export = write_export(asked.folder / f"export-{asked.files}", asked.files)
    report_commands(export, asked.folder / "catalogue", asked.repeats)
    report_progress()


def report_commands(export: Path, catalogue: Path, repeats: int) -> None:
    """One worker, two workers, and one exam alone."""
    runs = {
        "one exam": (export / "exam00000", 1),
        "two workers": (export, 2),
        "one worker": (export, 1),
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, (source, workers) in runs.items():
            took[name].append(command_s(source, catalogue, workers))
    shutil.rmtree(catalogue)
    middle = {name: statistics.median(wall_s for wall_s, _ in found) for name, found in took.items()}
    for name, found in took.items():
        cpu_s = statistics.median(cpu_s for _, cpu_s in found)
        sys.stdout.write(
            f"{name:12s} {middle[name]:7.2f} s by the clock, {cpu_s:5.2f} s of its own processor\n"
        )
    times = [one / two for (one, _), (two, _) in zip(took["one worker"], took["two workers"], strict=True)]
    sys.stdout.write(
        f"two workers / one: {middle['one worker'] / middle['two workers']:.2f} "
        f"({', '.join(f'{one:.2f}' for one in times)}), load {os.getloadavg()[0]:.1f}\n"
    )


def command_s(source: Path, catalogue: Path, workers: int) -> tuple[float, float]:
    """Seconds of one command by the clock, and of its own process alone."""
    shutil.rmtree(catalogue, ignore_errors=True)
    command = [sys.executable, "-m", "cli.main", "index", str(source), "-o", str(catalogue)]
    wall_s, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "--workers", str(workers)], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - wall_s, cpu_s


def report_progress() -> None:
    """Draw bars on a terminal, far more often told than drawn."""
    reader, writer = pty.openpty()
    drawn: list[int] = []
    watcher = threading.Thread(target=watch, args=(reader, drawn), daemon=True)
    watcher.start()
    stderr, sys.stderr = sys.stderr, os.fdopen(writer, "w")
    try:
        with Screen().progress() as progress:
            began_s, told = time.perf_counter(), 0
            cpu_s = time.process_time() - time.thread_time()
            while time.perf_counter() - began_s < PROGRESS_S:
                progress("reading headers", done=told, total=10**6)
                told += 1
                time.sleep(TOLD_EVERY_S)
            # What the loop itself costs is not progress; nearly all drawing is done by another thread.
            cpu_s = time.process_time() - time.thread_time() - cpu_s
    finally:
        sys.stderr.close()
        sys.stderr = stderr
    sys.stdout.write(
        f"progress: told {told} times, drawn {sum(drawn) / PROGRESS_S:.1f} times a second, "
        f"{100 * cpu_s / PROGRESS_S:.2f} % of one core\n"
    )


def watch(reader: int, drawn: list[int]) -> None:
    """Count the drawings that reach a terminal."""
    while True:
        try:
            drawn.append(os.read(reader, 1 << 16).count(DRAWN))
        except OSError:  # the other end was closed
            return


if __name__ == "__main__":
    main()
