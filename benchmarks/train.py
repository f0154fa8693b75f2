"""How fast a training runs, beside the same network on one constant batch and beside MONAI's loaders.

    python -m benchmarks.train [--device cpu] [--side 128] [--width 16] [--batch 20] [--recipes ...]

On a machine with a GPU it takes that one, and 224 x 224 pixels, width 64, batches of 20, bfloat16. The store
is made here (`benchmarks.train_store`). Contenders (`benchmarks.train_contenders`) take turns in one process
on one core; ratios are those of a turn beside its neighbour, and their median counts. On a CPU they are by
the process's own time, which other programs disturb less; on a GPU by the clock. Told besides: how the
rate grows with the batch, memory, how busy the GPU is and how often a step waits for it, and how long
commands take to begin.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import torch

from benchmarks.train_begin import report_beginnings
from benchmarks.train_contenders import (
    STREAMED_BYTES,
    constant_steps,
    contenders,
    feeding,
    monai_feeding,
    steps_of,
    trainer,
)
from benchmarks.train_machine import peak_memory_mb, report_gpu
from benchmarks.train_store import write_store
from training.recipe import Recipe, load_recipe

RECIPES = ("pretrain-app", "pretrain-orientation", "pretrain-location", "pretrain-mtl", "segment-sax")
BATCHES = (1, 2, 5, 10, 20, 40)

NETWORK_BAR = 0.90
"""Of the rate on a constant batch."""

MONAI_BAR_ON_GPU = 5.0
FED_BATCHES = 5
"""Of a turn without a network."""

PARTS = ("rates", "feeding", "batches", "memory", "beginnings")


def say(line: str) -> None:
    """One line of the report, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def recipe_of(name: str, asked: argparse.Namespace, batch: int) -> Recipe:
    """A shipped recipe with the network and the batch that are asked for; its end is never reached."""
    changes = {"backbone.width": str(asked.width), "batch_size": str(batch), "steps": "1000000"}
    return load_recipe(name, {**changes, "validation_images": "1"})


def seconds(device: torch.device, work: Callable[[], None], steps: int) -> tuple[float, float]:
    """What so many steps take: of the process's time, and by the clock."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    for _ in range(steps):
        work()
    if on_gpu:
        torch.cuda.synchronize(device)
    return time.process_time() - began_cpu_s, time.perf_counter() - began_s


def in_turns(
    works: dict[str, Callable[[], None]], device: torch.device, rounds: int, steps: int
) -> dict[str, tuple[float, float]]:
    """Median seconds of a step, and median ratio of the first one's seconds to it; the order is turned."""
    for work in works.values():
        seconds(device, work, 2)
    names, which = list(works), 1 if device.type == "cuda" else 0
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(seconds(device, works[name], steps)[which] / steps)
    return {
        name: (
            statistics.median(of),
            statistics.median(a / b for a, b in zip(taken[names[0]], of, strict=True)),
        )
        for name, of in taken.items()
    }


def report_rates(asked: argparse.Namespace, store: Path, device: torch.device) -> dict[str, Any]:
    """All contenders for every recipe."""
    clock = "the clock" if device.type == "cuda" else "processor time"
    say(f"images a second by {clock}; batches of {asked.batch}, width {asked.width}, {asked.side} pixels")
    found: dict[str, Any] = {}
    for name in asked.recipes:
        works = contenders(recipe_of(name, asked, asked.batch), store, device)
        told = in_turns(works, device, asked.rounds, asked.steps)
        rates = {who: asked.batch / step_s for who, (step_s, _) in told.items()}
        ratios = {f"{who} / constant batch": told[who][1] for who in ("resident", "streamed")}
        peers = [who for who in told if who.startswith("MONAI")]
        ratios |= {f"resident / {who}": told["resident"][1] / told[who][1] for who in peers}
        if not found:
            say(f"| recipe | {' | '.join([*rates, *ratios])} |\n|{'---|' * (1 + len(rates) + len(ratios))}")
        shown = [f"{rate:.1f}" for rate in rates.values()] + [f"{one:.3f}" for one in ratios.values()]
        say(f"| `{name}` | {' | '.join(shown)} |")
        found[name] = {"images_per_s": rates, "ratios": ratios}
    for what in next(iter(found.values()))["ratios"]:
        bar = NETWORK_BAR if "constant" in what else MONAI_BAR_ON_GPU if device.type == "cuda" else None
        least = min(one["ratios"][what] for one in found.values())
        say(f"least {what}: {least:.3f}" + (f" (bar {bar:g})" if bar else ""))
    return found


def report_feeding(asked: argparse.Namespace, store: Path, device: torch.device) -> dict[str, Any]:
    """What a batch costs that no network learns from."""
    say("\n| recipe | feeding an image, ms: resident | streamed | MONAI | MONAI / resident |")
    say("|---|---|---|---|---|")
    found = {}
    for name in asked.recipes:
        recipe = recipe_of(name, asked, asked.batch)
        works = {
            "resident": feeding(trainer(recipe, store, device)),
            "streamed": feeding(trainer(recipe, store, device, STREAMED_BYTES)),
            "MONAI": monai_feeding(trainer(recipe, store, device), store),
        }
        told = in_turns(works, device, asked.rounds, FED_BATCHES)
        each = {who: 1e3 * step_s / asked.batch for who, (step_s, _) in told.items()}
        found[name] = {"ms_an_image": each, "MONAI / resident": 1.0 / told["MONAI"][1]}
        shown = " | ".join(f"{one:.2f}" for one in each.values())
        say(f"| `{name}` | {shown} | {found[name]['MONAI / resident']:.1f} |")
    return found


def report_batches(asked: argparse.Namespace, store: Path, device: torch.device) -> dict[str, Any]:
    """How the rate grows with the batch, of the first recipe asked for."""
    name = asked.recipes[0]
    say(f"\n| images in a batch of `{name}` | constant batch, images a second | resident | of it |")
    say("|---|---|---|---|")
    found = {}
    for batch in asked.batches:
        recipe = recipe_of(name, asked, batch)
        works = {
            "constant": constant_steps(trainer(recipe, store, device)),
            "resident": steps_of(trainer(recipe, store, device)),
        }
        # About as many images in a turn, whatever the batch.
        steps = max(1, asked.steps * asked.batch // batch)
        told = in_turns(works, device, asked.rounds, steps)
        rates = {who: batch / step_s for who, (step_s, _) in told.items()}
        found[str(batch)] = {"images_per_s": rates, "ratio": told["resident"][1]}
        say(f"| {batch} | {rates['constant']:.1f} | {rates['resident']:.1f} | {told['resident'][1]:.3f} |")
    return found


def asked_for() -> argparse.Namespace:
    """The options, with their values for the device."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--side", type=int, help="pixels; 128, on a GPU 224")
    parser.add_argument("--width", type=int, help="of the network; 16, on a GPU 64")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--examples", type=int, default=2000, help="slices of the store")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="of a turn; 1, on a GPU 20")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--work", help="a folder for the store; kept")
    parser.add_argument("--json", help="a file for the figures")
    parser.add_argument("--only-memory", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    on_gpu = asked.device.startswith("cuda")
    asked.side = asked.side or (224 if on_gpu else 128)
    asked.width = asked.width or (64 if on_gpu else 16)
    asked.steps = asked.steps or (20 if on_gpu else 1)
    return asked


def report(asked: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Measure what is asked for, and say it as it comes."""
    device = torch.device(asked.device)
    if not asked.device.startswith("cuda"):
        torch.set_num_threads(1)
    store = write_store(work / f"{asked.examples}x{asked.side}.zarr", asked.examples, asked.side)
    found: dict[str, Any] = {"device": asked.device, "torch": torch.__version__}
    if "rates" in asked.parts:
        found["rates"] = report_rates(asked, store, device)
    if "feeding" in asked.parts:
        found["feeding"] = report_feeding(asked, store, device)
    if "batches" in asked.parts:
        found["batches"] = report_batches(asked, store, device)
    if "memory" in asked.parts:
        recipe = recipe_of(asked.recipes[0], asked, asked.batch)
        if device.type == "cuda":
            found["gpu"] = report_gpu(steps_of(trainer(recipe, store, device)), device, say)
        else:
            found["peak_memory_mb"] = peak_memory_mb(asked, store)
            say(f"\npeak memory of a process that trains: {found['peak_memory_mb']:.0f} MB")
    if "beginnings" in asked.parts:
        found["beginnings"] = report_beginnings(store, asked.width, asked.batch, asked.device, say)
    return found


def main() -> None:
    """Entry point."""
    asked = asked_for()
    if asked.only_memory:
        recipe = recipe_of(asked.recipes[0], asked, asked.batch)
        step = steps_of(trainer(recipe, Path(asked.only_memory), torch.device(asked.device)))
        for _ in range(3):
            step()
        say(Path("/proc/self/status").read_text("ascii").split("VmHWM:")[1].split()[0])
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = report(asked, Path(asked.work or folder))
    if asked.json:
        Path(asked.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
