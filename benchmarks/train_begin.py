"""How long commands take to begin, each as a fresh process: the first step of a training, and `--help`."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FIRST_STEP_BAR_S, HELP_BAR_S = 10.0, 0.4
RECIPES = ("pretrain-mtl", "segment-sax")
COMMAND = [sys.executable, "-m", "cli.main"]
LOOKED_EVERY_S = 0.02
LONGEST_S = 600.0
HELP = "import sys; from cli.main import run; run(['--help']); sys.exit('torch' in sys.modules)"


def report_beginnings(
    store: Path, width: int, batch: int, device: str, say: Callable[[str], None], repeats: int = 5
) -> dict[str, Any]:
    """Medians, by the clock and of the processes' own time."""
    found: dict[str, Any] = {}
    say("\n| fresh process | by the clock, s | processor time, s | bar, s |")
    say("|---|---|---|---|")
    for name in RECIPES:
        times = [first_step_s(store, name, width, batch, device) for _ in range(repeats)]
        clock_s, own_s = (statistics.median(one[which] for one in times) for which in (0, 1))
        found[f"first step of {name}"] = {"clock_s": clock_s, "processor_s": own_s}
        say(f"| `anatprep train {name}`, first step | {clock_s:.2f} | {own_s:.2f} | {FIRST_STEP_BAR_S:g} |")
    times = [help_s() for _ in range(2 * repeats)]
    clock_s, own_s = (statistics.median(one[which] for one in times) for which in (0, 1))
    found["help"] = {"clock_s": clock_s, "processor_s": own_s}
    say(f"| `anatprep --help`, torch not imported | {clock_s:.2f} | {own_s:.2f} | {HELP_BAR_S:g} |")
    return found


def first_step_s(store: Path, recipe: str, width: int, batch: int, device: str) -> tuple[float, float]:
    """From the start of `anatprep train` until its log has a line: by the clock, and of its own time."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        changes = {"backbone.width": width, "batch_size": batch, "log_every": 1}
        settings = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
        words = ["train", recipe, "--store", str(store), "-o", str(run), "--device", device, *settings]
        began_s = time.perf_counter()
        with subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL) as running:
            while not _has_a_line(run / "log.jsonl"):
                if running.poll() is not None or time.perf_counter() - began_s > LONGEST_S:
                    raise SystemExit(f"anatprep {' '.join(words)} did not train")
                time.sleep(LOOKED_EVERY_S)
            clock_s, own_s = time.perf_counter() - began_s, _processor_s(running.pid)
            running.kill()
        return clock_s, own_s


def _has_a_line(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _processor_s(pid: int) -> float:
    """What a process and its threads have used, user and system."""
    words = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def help_s() -> tuple[float, float]:
    """Of `anatprep --help`; ends the program where torch was imported for it."""
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", HELP], stdout=subprocess.DEVNULL, check=False)
    clock_s, after = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit("anatprep --help failed, or imported torch")
    return clock_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
